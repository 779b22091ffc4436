"""Reads settings from environment variables: CTO_PLATFORM__NAME is platform.name.

Words of a key are parted by one underscore, keys by two. Single values are taken as they are;
lists and mappings are YAML text. A variable that is set and empty is as good as not set. Those that
are settings of the program, not of the platform, are in the list here, the only one:
docs/usage.md shows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from cto.config.layers import Layer, Origin, Setting, Settings, from_plain, merge, placed
from cto.config.problems import Problem
from cto.config.shape import FieldKind, paths, shape_at
from cto.config.source import YamlSource, parse
from cto.errors import nearest

PREFIX = "CTO_"
# Short names of settings. The long one is the more exact one, and wins.
_SHORT = {"CTO_CONTEXT": ("cluster", "context")}
_NESTED = "__"


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
OWN_VARIABLES = frozenset(variable.name for variable in VARIABLES)


def read_environment(env: Mapping[str, str]) -> tuple[Settings, list[Problem]]:
    """Return the settings that the environment gives, and what is wrong with them."""
    layer = from_plain({}, Origin(Layer.ENV, "env"))
    problems: list[Problem] = []
    # The more exact variable is merged later, and wins: CTO_SMTP, then CTO_SMTP__HOST.
    for name in sorted(env, key=lambda item: (item.count(_NESTED), item)):
        if not name.startswith(PREFIX) or name in OWN_VARIABLES or not env[name].strip():
            continue
        path = _path(name)
        if path is None:
            problems += _unknown(name)
            continue
        found, wrong = _value(name, env[name], path)
        problems += wrong
        if found is not None:
            layer = merge(layer, placed(path, found))
    return layer, problems


def variable(path: Sequence[str]) -> str:
    """Return the name of the variable for a path."""
    return PREFIX + _NESTED.join(part.upper().replace("-", "_") for part in path)


def _path(name: str) -> tuple[str, ...] | None:
    if name in _SHORT:
        return _SHORT[name]
    path: tuple[str, ...] = ()
    for part in name.removeprefix(PREFIX).split(_NESTED):
        shape = shape_at(path)
        if shape is None or not part:
            return None
        if shape.kind is FieldKind.MAPPING:
            key = part.lower().replace("_", shape.separator)
        elif shape.kind is FieldKind.SECTION:
            key = part.lower()
        elif shape.kind is FieldKind.SECRET:
            key = part.lower()
            if key not in {"secret", "key"}:
                return None
            return (*path, key)
        else:
            return None
        path = (*path, key)
    return path if shape_at(path) else None


def _value(name: str, text: str, path: tuple[str, ...]) -> tuple[Settings | None, list[Problem]]:
    origin = Origin(Layer.ENV, f"env {name}")
    shape = shape_at(path)
    if shape is None or shape.kind in {FieldKind.VALUE, FieldKind.SECRET}:
        return {(): Setting(text, origin, text)}, []
    parsed = parse(text, YamlSource(Layer.ENV, origin.text, lines=False))
    problems = [
        Problem(path=".".join(path), origin=origin.text, reason=item.reason)
        for item in parsed.problems
    ]
    if parsed.settings is None:
        return None, problems
    return {at: replace(item, origin=origin) for at, item in parsed.settings.items()}, problems


def _unknown(name: str) -> list[Problem]:
    """Return the problem with a variable that is no setting.

    A name without `__` may be anybody's: Kubernetes itself puts CTO_SERVICE_HOST into pods beside
    a Service `cto`. It is a problem only if it looks like one of ours.
    """
    # Without the prefix, which makes everything alike.
    near = nearest(name.removeprefix(PREFIX), _names(), likeness=0.85)
    if _NESTED not in name and not near:
        return []
    fix = f"did you mean {PREFIX}{near}?" if near else "`cto config schema` has all settings"
    return [Problem(path="", origin=f"env {name}", reason="is no setting of cto", fix=fix)]


@cache
def _names() -> tuple[str, ...]:
    names = (*(variable(path) for path in paths()), *_SHORT, *sorted(OWN_VARIABLES))
    return tuple(name.removeprefix(PREFIX) for name in names)
