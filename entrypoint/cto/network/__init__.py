"""How the network is reached: through which proxies, with which certificates, over which session.

One way for every HTTP client of ours, and the same one as helm, kubectl and docker have it: they
are Go's programs, and a run that starts them must not see another network than they do.
"""
