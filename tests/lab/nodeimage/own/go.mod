// What has no upstream: programs of the node image.
module lab.local/own

go 1.24
