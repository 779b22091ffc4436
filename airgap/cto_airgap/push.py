"""Brings a bundle to somebody's own registry: only what it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag

from cto_airgap.build import WORKERS
from cto_airgap.bundle import Tree, open_item
from cto_airgap.contents import Item, ItemKind
from cto_airgap.layout import Layout
from cto_airgap.oci import Descriptor, Digest, Document, part_of
from cto_airgap.reference import PushTarget, Reference, parse_reference
from cto_airgap.registry import RegistryClient
from cto_airgap.transfers import Counter, Listener, each
from cto_airgap.uploads import Sent, Uploader


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """An image or chart in its new place.

    Attributes:
        old: Its name in the bundle.
        new: Where it is now, with the digest to pull it by.
        upstream: The digest that upstream gave it. Another one than that of `new` if its index
            names platforms that the bundle does not have: registries refuse such an index, so it
            has one of its own.
        manifest: What a node runs.
        sent: False if it was there already.
    """

    old: str
    kind: ItemKind
    new: Reference
    upstream: Digest
    manifest: Digest
    sent: bool


@dataclass(frozen=True, kw_only=True)
class PushOutcome:
    """What a push did; bytes are those of blobs."""

    pushed: tuple[Pushed, ...]
    uploaded: int
    mounted: int

    @property
    def mapping(self) -> dict[str, str]:
        """Old name -> new name and digest."""
        return {one.old: str(one.new) for one in self.pushed}


@dataclass(frozen=True, kw_only=True)
class _Move:
    """A tree, its new name, and the document that it is to have under it."""

    tree: Tree
    new: Reference
    root: Document

    @property
    def documents(self) -> tuple[Document, ...]:
        return (*self.tree.manifests, self.root) if self.root.is_index else (self.root,)


@dataclass(frozen=True)
class _Place:
    """A blob, where it should be, and a repository there that has it."""

    to: Reference
    blob: Descriptor
    source: str = ""


class Pusher:
    """Pushes bundles.

    Args:
        registry: Tells what is there.
        uploader: Writes.
        stop: Ends a push; set by the push itself as soon as one of its parts fails.
        workers: How many transfers at once.
        progress: Hears of every transfer.
    """

    def __init__(
        self,
        registry: RegistryClient,
        uploader: Uploader,
        *,
        stop: Flag,
        workers: int = WORKERS,
        progress: Listener = lambda _: None,
    ) -> None:
        self._registry = registry
        self._uploader = uploader
        self._stop = stop
        self._workers = workers
        self._progress = progress

    def push(self, folder: Path, target: PushTarget) -> PushOutcome:
        """Bring everything that the registry lacks. Killed, the same call goes on from there.

        Raises:
            IntegrityError: CTO-1810, a document is damaged; CTO-1811, there is no bundle.
            ToolError: CTO-1510 to 1514, the registry does not take it.
            Cancelled: `stop` was set by others.
        """
        layout = Layout(folder)
        moves = _moves(layout, target)
        there = self._each_is_there(moves)
        lacking = [move for move, is_there in zip(moves, there, strict=True) if not is_there]
        sizes = self._send_blobs(layout, lacking)
        self._send_documents(lacking)
        return PushOutcome(
            pushed=tuple(
                _pushed(move, sent=not done) for move, done in zip(moves, there, strict=True)
            ),
            uploaded=sizes[Sent.UPLOADED],
            mounted=sizes[Sent.MOUNTED],
        )

    def _each_is_there(self, moves: Iterable[_Move]) -> list[bool]:
        """Tell of each whether the tag leads to it; a registry takes no tag before the rest."""
        return each(
            lambda move: self._registry.digest(move.new) == move.root.digest,
            moves,
            workers=self._workers,
            stop=self._stop,
        )

    def _send_blobs(self, layout: Layout, moves: Iterable[_Move]) -> dict[Sent, int]:
        homes, others = _places(moves)
        counter = Counter(sum(place.blob.size for place in (*homes, *others)), self._progress)
        sizes = dict.fromkeys(Sent, 0)

        def send(place: _Place) -> Sent | None:
            sent = None
            if not self._registry.has_blob(place.to, place.blob):
                path = layout.blob(place.blob.digest)
                sent = self._uploader.blob(place.to, place.blob, path, source=place.source)
            counter.add(place.to.name, place.blob.size)
            return sent

        # First each blob to one repository, then from there to the others, without its bytes.
        for places in (homes, others):
            order = sorted(places, key=lambda place: -place.blob.size)
            done = each(send, order, workers=self._workers, stop=self._stop)
            for place, sent in zip(order, done, strict=True):
                if sent:
                    sizes[sent] += place.blob.size
        return sizes

    def _send_documents(self, moves: Iterable[_Move]) -> None:
        def send(move: _Move) -> None:
            *below, root = move.documents
            for found in below:
                self._uploader.manifest(Reference(move.new.host, move.new.repository), found)
            self._uploader.manifest(move.new, root)

        each(send, moves, workers=self._workers, stop=self._stop)


def digests_of(folder: Path) -> dict[str, Digest]:
    """Return the digest that each image of a bundle has wherever the bundle is pushed to.

    Raises:
        IntegrityError: CTO-1810, a document is damaged; CTO-1811, there is no bundle.
    """
    moves = _moves(Layout(folder), PushTarget("registry.invalid"))
    return {
        move.tree.item.name: move.root.digest
        for move in moves
        if move.tree.item.kind is ItemKind.IMAGE
    }


def _moves(layout: Layout, target: PushTarget) -> list[_Move]:
    contents = layout.contents()
    new = new_names(contents.items, target)
    trees = [open_item(layout, item) for item in contents.items]
    return [
        _Move(
            tree=tree,
            new=new[tree.item.name],
            root=part_of(tree.root, (found.digest for found in tree.manifests)),
        )
        for tree in trees
    ]


def _places(moves: Iterable[_Move]) -> tuple[list[_Place], list[_Place]]:
    """Return where each blob goes first, and where else, each with the repository to mount from."""
    homes: dict[Digest, _Place] = {}
    others: dict[tuple[str, Digest], _Place] = {}
    for move in moves:
        for digest, blob in move.tree.blobs.items():
            home = homes.setdefault(digest, _Place(move.new, blob)).to.repository
            if home != move.new.repository:
                others[move.new.repository, digest] = _Place(move.new, blob, home)
    return [*homes.values()], [*others.values()]


def _pushed(move: _Move, *, sent: bool) -> Pushed:
    return Pushed(
        old=move.tree.item.name,
        kind=move.tree.item.kind,
        new=move.new.at(move.root.digest),
        upstream=move.tree.root.digest,
        manifest=move.tree.manifests[0].digest,
        sent=sent,
    )


def new_names(items: Iterable[Item], target: PushTarget) -> Mapping[str, Reference]:
    """Return the new names by the old ones."""
    return {item.name: _new(item, target) for item in items}


def _new(item: Item, target: PushTarget) -> Reference:
    if item.kind is ItemKind.IMAGE:
        return target.of(parse_reference(item.name))
    repository, _, tag = item.name.partition(":")
    return target.reference(repository, tag)
