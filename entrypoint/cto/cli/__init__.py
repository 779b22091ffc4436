"""The command line: flags in, one Result out. The only layer that prints or exits."""
