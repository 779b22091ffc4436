"""Writes docs/security.md, from what components say of their network and of what upstream needs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from cto.catalog import ANYWHERE, Catalog, Opening, load

_PREFACE = """\
# Security

Made from `bundle/components/*/component.yaml` by `make docs`.

## The network

The namespaces of the components are closed, for what comes in and for what goes out, by
NetworkPolicies that are called `cto-…`. Open is what is listed here, on both sides, and name
servers (port 53) to every pod that is listed. What its own node asks of a pod, probes among it, no
policy keeps out.

- A test has upstream's programs on two nodes where kube-router enforces the policies: what they
  need works, and pods that try more are refused. An evaluator holds every opening against both.
- Where the network enforces none they do no harm, and no good.
- `platform.network_policies: false` takes them away, as `cto uninstall` does.
- They hold for a whole namespace. Pods of your own in one of them, and programs that you add by
  `components.NAME.values` (a node agent of Velero, say), need a policy of yours. Policies
  add up: yours opens what ours do not mention. A namespace that you handed over, by the label that
  the preflight shows, is one of them; others never get a policy.
- `anywhere` is inside and outside of the cluster. A NetworkPolicy cannot name the API server, which
  asks webhooks and passes on health checks, nor a load balancer or an ingress controller of yours.
- `the API server` is port 443, 6443, 8443 or 16443 of anywhere: most networks see the port of the
  server itself. If yours listens on another one, it needs a policy of yours, or the switch.
- `the internet` is all but private, shared and link-local addresses: agents reach neither pods,
  Services and nodes nor a cloud's metadata. `platform.agent_networks: [10.1.2.3/32]` names where a
  GitHub Enterprise Server, a model or a proxy of yours is.
- VictoriaMetrics and VictoriaLogs have no log-in, and let in who is listed: no other pod reads the
  logs of all, or writes metrics. `kubectl port-forward` comes from the pod's own node, and may.
- User interfaces have a log-in, and are open to all: ports of nodes and ingress controllers lead to
  them.
- Databases of `databases` are outside of these namespaces: no policy closes them, their passwords
  do.

A policy of yours beside ours, for programs of yours that send logs to VictoriaLogs:

```yaml
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: logs-of-the-shop, namespace: monitoring}
spec:
  podSelector:
    matchLabels: {app.kubernetes.io/name: victoria-logs-single}
  policyTypes: [Ingress]
  ingress:
    - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}]
      ports: [{protocol: TCP, port: 9428}]
```
"""

_RULES = """\
## Rules, and upstream's exceptions

No role has wildcards, and nothing is bound to `cluster-admin`; no pod has a token that it has no
use for; no password comes with a chart; the namespaces have the restricted level of Pod Security. A
test holds the rendered whole of every profile against that. These are all exceptions:

| component | rule | object | reason |
|---|---|---|---|
"""

_WORDS = {
    "api": "the API server",
    "internet": "the internet",
    "agent_networks": "`platform.agent_networks`",
}


def markdown(catalog: Catalog) -> str:
    """Return docs/security.md."""
    rows = [
        f"| {component.title} | {one.rule} | {one.of} | {one.why} |\n"
        for component in catalog.components
        for one in component.exemptions
    ]
    return _PREFACE + "".join(_tables(catalog)) + "\n" + _RULES + "".join(rows)


def _tables(catalog: Catalog) -> Iterator[str]:
    for component in catalog.components:
        yield f"\n### {component.title}, namespace `{component.namespace}`\n\n"
        yield "| pods | way | ports | what for |\n|---|---|---|---|\n"
        for name, group in component.network.items():
            for way, openings in (("from", group.in_), ("to", group.out)):
                for one in openings:
                    yield f"| {name} | {way} {_peers(one)} | {_ports(one)} | {one.why} |\n"
            if not group.in_ and not group.out:
                yield f"| {name} | none | none | |\n"


def _peers(opening: Opening) -> str:
    if ANYWHERE in opening.peers:
        return ANYWHERE
    return ", ".join(_WORDS.get(peer, f"`{peer}`") for peer in opening.peers)


def _ports(opening: Opening) -> str:
    named = [
        f"`{str(port).partition(' ')[0]}`" if isinstance(port, str) else str(port)
        for port in opening.ports
    ]
    return ", ".join(named) or ("its own" if "api" in opening.peers else "all")


if __name__ == "__main__":
    sys.stdout.write(markdown(load(Path(__file__).parents[2] / "bundle")))
