"""The environment variables that are settings of the program, not of the platform.

The only list of them: the reader of the environment leaves these alone, docs/usage.md shows them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """One of them.

    Attributes:
        name: With its prefix.
        meaning: What it is, for users; '' for what only the tests and the image's own programs set.
        default: What counts if it is not set; '' if there is nothing to say.
    """

    name: str
    meaning: str = ""
    default: str = ""

    @property
    def row(self) -> str:
        """Its row in the table of docs/usage.md."""
        default = f"; {self.default} if not set" if self.default else ""
        return f"| `{self.name}` | {self.meaning}{default} |"


VARIABLES = (
    Variable("CTO_KUBECONFIG", "as `--kubeconfig`"),
    Variable("CTO_MIRROR", "where tools and charts are fetched from", "their own hosts"),
    Variable("CTO_TOOLS", "as `--tools`"),
    Variable("CTO_CHARTS", "as `--charts`"),
    Variable("CTO_BUNDLE", "as `--bundle`"),
    Variable("CTO_IMAGE", "an image that holds the bundle", "that of `cto`'s own container"),
    Variable(
        "CTO_IMAGE_NAME", "what messages call our image; the image sets it", "what Docker says"
    ),
    Variable("CTO_NODE_IMAGE", "what nodes of a kind cluster are made of", "the pinned image"),
    Variable("CTO_REGISTRY_MIRRORS", "as `--mirror` (several: with spaces between)"),
    Variable("CTO_CA_FILE", "as `--ca-file`"),
    Variable("CTO_CACHE_DIR", "downloads", "`~/.cache/cto` (`XDG_CACHE_HOME`)"),
    Variable(
        "CTO_STATE_DIR",
        "simulated clusters, our kubeconfigs of kind clusters, locks",
        "`~/.local/state/cto` (`XDG_STATE_HOME`)",
    ),
    Variable(
        "CTO_HOST_UID",
        "`UID` or `UID:GID`: who gets a kubeconfig that has to be made",
        "who has its folder",
    ),
    Variable("CTO_DEBUG", "as `--debug`"),
    # The rest is nothing for users. The first two are the lab's and its tests'.
    Variable("CTO_LAB_CACHE"),
    Variable("CTO_KWOK_POD_READY_SECONDS"),
    # What helm hands to our post-renderer.
    Variable("CTO_MODULES"),
    Variable("CTO_PYTHON"),
    Variable("CTO_RELOCATION"),
)
NAMES = frozenset(variable.name for variable in VARIABLES)
