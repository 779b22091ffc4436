"""Runs coding agents: a Job for every CodeRun and DocsRun, one after the other as there is room.

`decide` says what is to be done, from what the cluster holds; `control` does it. Everything that a
run needs is named after the run's uid and the number of the attempt: whoever does it again, after
a crash or as another process, makes nothing twice.
"""
