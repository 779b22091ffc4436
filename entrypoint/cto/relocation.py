"""Where images come from instead of upstream: names are replaced wherever a manifest has them.

Texts are rewritten, not decoded objects: YAML's scalars keep how they were written, so that what
Helm (which reads numbers and dates by other rules than Python) gets back is what it gave.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cto import goyaml
from cto.goyaml import MappingNode, Node, ScalarNode, SequenceNode
from cto.objects import POD_GROUPS, POD_SPECS, Manifest, dump_documents, load_documents

_SECRETS = "imagePullSecrets"


@dataclass(frozen=True, kw_only=True)
class Relocation:
    """Another home for images.

    Attributes:
        images: Every way to write an image's name -> the name that is pulled instead.
        pull_secret: The Secret that pods pull with, in their own namespace; empty for none.
    """

    images: Mapping[str, str] = field(default_factory=dict)
    pull_secret: str = ""

    def rewritten(self, text: str) -> str:
        """Return a stream of manifests with the new names, in whatever strings they stand.

        Pods that the manifests make, and accounts that operators make pods under, get the pull
        secret. What is rewritten already stays as it is.

        Raises:
            goyaml.YAMLError: The text is not YAML.
        """
        documents = goyaml.compose(text)
        seen: set[int] = set()
        for node in documents:
            for scalar in _scalars(node, seen):
                scalar.value = self.renamed(scalar.value)
            if self.pull_secret:
                _attach(node, self.pull_secret)
        # Helm wants a separator on a line of its own, which libyaml does not give to all.
        return "".join(f"---\n{goyaml.serialize(node)}" for node in documents)

    def manifests(self, manifests: Iterable[Manifest]) -> tuple[Manifest, ...]:
        """Return the same of decoded manifests."""
        return tuple(load_documents(self.rewritten(dump_documents(manifests))))

    def renamed(self, text: str) -> str:
        """Return a text with the new names, e.g. an argument or a file in a ConfigMap."""
        if not self.images:
            return text
        whole = self._names.sub(lambda match: self.images[match[1]], text)
        return self._halves.sub(self._both_halves, whole)

    def _both_halves(self, match: re.Match[str]) -> str:
        new = self.images.get(f"{match['repository']}:{match['tag']}")
        if new is None:
            return match[0]
        name, at, digest = new.partition("@")
        repository, _, tag = name.rpartition(":")
        return f"{match['before']}{repository}{match['between']}{tag}{at}{digest}"

    @cached_property
    def _halves(self) -> re.Pattern[str]:
        """Find a repository and the tag behind it, as charts write values of theirs into files."""
        repositories = sorted({name.rpartition(":")[0] for name in self.images}, key=len)
        names = "|".join(map(re.escape, reversed(repositories)))
        return re.compile(
            rf"""(?P<before>\brepository["']?:\s*["']?)(?P<repository>{names})"""
            r"""(?P<between>["']?(?:\s*,\s*|\s+)["']?tag["']?:\s*["']?)(?P<tag>[\w.-]+)""",
            re.ASCII,
        )

    @cached_property
    def _names(self) -> re.Pattern[str]:
        # The longest first. `nats:2.1` is not in `me/nats:2.1`, `nats:2.10`, `nats:2.1-alpine`. A
        # digest that somebody wrote behind the tag goes with it.
        names = "|".join(map(re.escape, sorted(self.images, key=len, reverse=True)))
        return re.compile(
            rf"(?<![\w./:@-])({names})(?:@sha256:[0-9a-f]{{64}})?(?![\w@/-]|[.:]\w)", re.ASCII
        )

    def to_json(self) -> dict[str, Any]:
        return {"images": dict(self.images), "pull_secret": self.pull_secret}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Relocation:
        return cls(images=data["images"], pull_secret=data["pull_secret"])


def _scalars(node: Node, seen: set[int]) -> Iterator[ScalarNode]:
    """Yield every scalar below a node; one that has several names (an anchor) comes once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, ScalarNode):
        yield node
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            yield from _scalars(key, seen)
            yield from _scalars(value, seen)
    else:
        for item in node.value:
            yield from _scalars(item, seen)


def _attach(node: Node, name: str) -> None:
    """Let the pods of an object, and those that run under an account, pull with a Secret."""
    kind = _text(node, "kind")
    items = _child(node, "items")
    if kind.endswith("List") and isinstance(items, SequenceNode):
        for item in items.value:
            _attach(item, name)
        return
    group = _text(node, "apiVersion").rpartition("/")[0]
    if group == "" and kind == "ServiceAccount":
        _add(node, name)
    elif group in POD_GROUPS and kind in POD_SPECS:
        spec: Node | None = node
        for key in POD_SPECS[kind]:
            spec = _child(spec, key)
        _add(spec, name)


def _add(node: Node | None, name: str) -> None:
    if not isinstance(node, MappingNode):
        return
    entry = MappingNode(goyaml.MAP, [(_plain("name"), _plain(name))])
    there = _child(node, _SECRETS)
    if isinstance(there, SequenceNode):
        if name not in {_text(item, "name") for item in there.value}:
            there.value.append(entry)
        return
    # Some charts write the key with nothing behind it.
    node.value = [(key, value) for key, value in node.value if key.value != _SECRETS]
    node.value.append((_plain(_SECRETS), SequenceNode(goyaml.SEQ, [entry])))


def _plain(text: str) -> ScalarNode:
    return ScalarNode(goyaml.STR, text)


def _child(node: Node | None, key: str) -> Node | None:
    pairs: list[tuple[Node, Node]] = []
    if isinstance(node, MappingNode):
        pairs = node.value
    return next((value for name, value in pairs if name.value == key), None)


def _text(node: Node | None, key: str) -> str:
    found = _child(node, key)
    return str(found.value) if isinstance(found, ScalarNode) else ""
