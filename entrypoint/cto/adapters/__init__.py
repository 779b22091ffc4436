"""The outside world: processes, the API server, files, downloads. Each implements a port."""
