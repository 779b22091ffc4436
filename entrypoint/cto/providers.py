"""Where clusters come from: one line here, and one module or package of `cto.adapters`, for each.

The command line, the configuration and its schema, error texts, the docs and the removal of
clusters read this table. What makes a provider is `build` in `cto.adapters.NAME`.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_NAME = "cto"


@dataclass(frozen=True, kw_only=True)
class ProviderKind:
    """What is known of a provider before any of its code is read.

    Attributes:
        name: In options, configurations and states.
        does: What it does, after its name.
        cluster: What kind of cluster it has.
        creates: Whether it makes a cluster, and deletes it again.
        in_docker: Whether its nodes are containers: it needs a Docker, is taken where there is one
            and nothing is named, and its nodes pull the images of the bundle at hand.
        named: Whether the configuration names its cluster; else it makes only one.
        simulated: Whether its nodes run nothing.
    """

    name: str
    does: str
    cluster: str
    creates: bool = True
    in_docker: bool = False
    named: bool = False
    simulated: bool = False

    def context(self, cluster: str) -> str:
        """Return the context that its cluster has in kubeconfigs, by the configured name."""
        return f"{self.name}-{cluster if self.named else DEFAULT_NAME}"


PROVIDERS = (
    ProviderKind(
        name="kind",
        does="makes one in Docker",
        cluster="a cluster whose nodes are containers of your Docker",
        in_docker=True,
        named=True,
    ),
    ProviderKind(
        name="existing", does="takes yours", cluster="a cluster that you have", creates=False
    ),
    ProviderKind(
        name="kwok",
        does="makes a simulated one",
        cluster="a real API server with simulated nodes",
        simulated=True,
    ),
)
NAMES = tuple(kind.name for kind in PROVIDERS)
CREATING = tuple(kind for kind in PROVIDERS if kind.creates)
EXISTING = "existing"


def is_in_docker(name: str) -> bool:
    """Tell whether nodes are containers of ours, which pull from a bundle that has images."""
    return any(kind.name == name and kind.in_docker for kind in PROVIDERS)


def choices(*, creating: bool = False, form: str = "{}", link: str = " or ") -> str:
    """Return the names in a sentence: `kind or kwok`."""
    return link.join(form.format(kind.name) for kind in (CREATING if creating else PROVIDERS))


def markdown() -> str:
    """Return docs/providers.md."""
    rows = "\n".join(f"| `{kind.name}` | {kind.cluster} | {kind.does} |" for kind in PROVIDERS)
    return f"""\
# Providers

Where a cluster comes from: `--provider NAME`, or `cluster.provider` in a configuration. Made from
the table in `entrypoint/cto/providers.py` by `make docs`; [usage](usage.md#which-cluster) says
which one is taken where none is named.

| name | cluster | what `cto` does |
|---|---|---|
{rows}
"""
