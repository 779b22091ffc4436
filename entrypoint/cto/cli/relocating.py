"""Where images come from if the configuration names a registry of the user's own.

A name there follows from upstream's name, by the function that `cto bundle push` uses. A digest
does not: registries refuse an index whose other platforms are absent, so a pushed image may have
another digest than upstream's. It is taken from what the push wrote, from the bundle itself, or
from the lock; it is never asked for by tag, for a tag may move. The preflight asks the registry for
every image by that digest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event as Flag
from typing import Any

from cto import goyaml
from cto.bundle.lock import Lock, read_lock
from cto.catalog import Component
from cto.config.load import Loaded
from cto.config.model import Config
from cto.config.sections import Registry, RegistryType
from cto.engine.preflight import REGISTRY
from cto.errors import ConfigError, ToolError, UsageError
from cto.plan.pulling import SECRET
from cto.relocation import Relocation
from cto.result import Check
from cto_airgap.logins import RegistryLogin
from cto_airgap.oci import Digest, parse_digest
from cto_airgap.push import digests_of
from cto_airgap.reference import Endpoints, PushTarget, Reference, parse_reference
from cto_airgap.registry import RegistryClient
from cto_airgap.session import Session
from cto_airgap.transfers import each

_WORKERS = 8


@dataclass(frozen=True)
class Source:
    """Digests of images by upstream's names, and who says so."""

    name: str
    digests: Mapping[str, Digest]
    hint: str


@dataclass(frozen=True, kw_only=True)
class Relocations:
    """Everything that is to come from somewhere else than upstream.

    Attributes:
        by_component: What the components' manifests go through.
        needed: What nodes will pull.
        endpoints: How to ask the registry.
    """

    by_component: Mapping[str, Relocation] = field(default_factory=dict)
    needed: tuple[Reference, ...] = ()
    endpoints: Endpoints = field(default_factory=Endpoints)


def relocations(
    loaded: Loaded, components: Sequence[Component], data: Path, bundle: Path | None
) -> Relocations:
    """Return where the images of components come from; nothing unless a registry is named.

    Args:
        loaded: The configuration names the registry.
        components: Those that will be installed.
        data: The folder with the lock, which knows in which profiles an image is needed.
        bundle: The bundle at hand, if there is one.

    Raises:
        ConfigError: CTO-1330, an image that is needed has no digest; CTO-1331, the mapping is none.
        IntegrityError: CTO-1810, CTO-1811, the bundle is none, or damaged.
    """
    if loaded.config.registry.type is RegistryType.LOCAL:
        return Relocations()
    lock = read_lock(data / "lock.yaml")
    source = source_of(loaded.config.registry, bundle, lock)
    return moved(loaded.config, components, loaded.profile.base, lock, source)


def moved(
    config: Config, components: Sequence[Component], base: str, lock: Lock, source: Source
) -> Relocations:
    """Return the new names; `base` is the built-in profile that the configuration's is made from.

    Raises:
        ConfigError: CTO-1330, an image that is needed has no digest.
    """
    target, plain = target_of(config.registry.address)
    needs = _Needs(lock, base, everywhere=config.features.high_availability)
    found = [(one, _new_names(one, source, target)) for one in components]
    needed = {old: new[old] for component, new in found for old in needs.of(component)}
    _check(needed, source)
    secret = SECRET if config.registry.username else ""
    return Relocations(
        by_component={
            component.name: Relocation(images=_spelled(new), pull_secret=secret)
            for component, new in found
        },
        needed=tuple(dict.fromkeys(new for new in needed.values() if new)),
        endpoints=Endpoints(plain=plain),
    )


def source_of(registry: Registry, bundle: Path | None, lock: Lock) -> Source:
    """Return who knows the digests: the mapping that is named, else the bundle, else the lock.

    Raises:
        ConfigError: CTO-1331, the mapping is none.
        IntegrityError: CTO-1810, CTO-1811, the bundle is none, or damaged.
    """
    push = f"cto bundle push DIR {registry.address} -o json > mapping.json"
    again = f"Push a bundle of the profile: `{push}`"
    if registry.mapping:
        path = Path(registry.mapping)
        return Source(str(path), read_mapping(path), f"{again}.")
    if bundle:
        return Source(str(bundle), digests_of(bundle), "Take the bundle of the profile.")
    known = {one.image: parse_digest(one.digest) for one in lock.images if one.resolved}
    hint = (
        f"{again}, and name that file (`registry.mapping`). If the registry mirrors upstream, "
        "lock the digests instead: `cto bundle lock`."
    )
    return Source("bundle/lock.yaml", known, hint)


def read_mapping(path: Path) -> dict[str, Digest]:
    """Return the digests in what `cto bundle push --output json` wrote, or in its `mapping`.

    The names of the registry are not taken: it may have another one for those who push.

    Raises:
        ConfigError: CTO-1331, naming the file and what is wrong with it.
    """
    try:
        document = goyaml.load_json(path.read_text(encoding="utf-8"))
        mapping = _mapping_in(document)
        new = {
            str(parse_reference(old)): parse_reference(name)
            for old, name in mapping.items()
            if _is_image(old)
        }
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _no_mapping(path, getattr(error, "strerror", None) or str(error)) from error
    without = sorted(old for old, reference in new.items() if not reference.digest)
    if without or not new:
        lines = [f"{old}: no digest" for old in without] or ["it has no image"]
        raise _no_mapping(path, "\n".join(lines))
    return {old: reference.digest for old, reference in new.items() if reference.digest}


def _mapping_in(document: Any) -> Mapping[str, str]:
    for key in ("data", "mapping"):
        document = document.get(key, document)
    if not isinstance(document, Mapping):
        text = "it holds no mapping"
        raise TypeError(text)
    return document


def _is_image(name: str) -> bool:
    return not name.startswith("charts/")


def _no_mapping(path: Path, details: str) -> ConfigError:
    text = f"registry.mapping: {path} is not what `cto bundle push --output json` writes"
    return ConfigError("CTO-1331", text, details=details)


class _Needs:
    """Knows which of a component's images a configuration needs.

    A profile that lacks the component does not tell, nor does one without high availability where
    that is switched on: then all count.
    """

    def __init__(self, lock: Lock, base: str, *, everywhere: bool) -> None:
        self._lock = {item.image: item for item in lock.images}
        self._base = base
        self._everywhere = everywhere

    def of(self, component: Component) -> Iterator[str]:
        listed = _listed(component)
        known = {image: self._profiles(component, image) for image in listed}
        there = any(self._base in profiles for profiles in known.values())
        for image, profiles in known.items():
            if self._everywhere or not there or not profiles or self._base in profiles:
                yield image

    def _profiles(self, component: Component, image: str) -> set[str]:
        item = self._lock.get(image)
        needs = item.needed_by if item else ()
        return {
            name for need in needs if need.component == component.name for name in need.profiles
        }


def _listed(component: Component) -> dict[str, None]:
    return dict.fromkeys(str(parse_reference(image.reference)) for image in component.images)


def _new_names(
    component: Component, source: Source, target: PushTarget
) -> dict[str, Reference | None]:
    """Return the new name of each image, None for those without a digest."""
    found: dict[str, Reference | None] = {}
    for image in _listed(component):
        digest = source.digests.get(image)
        found[image] = target.of(parse_reference(image), digest) if digest else None
    return found


def _spelled(names: Mapping[str, Reference | None]) -> dict[str, str]:
    return {
        text: str(new)
        for old, new in names.items()
        if new
        for text in parse_reference(old).spellings
    }


def _check(needed: Mapping[str, Reference | None], source: Source) -> None:
    lacking = sorted(old for old, new in needed.items() if new is None)
    if lacking:
        count = f"{len(lacking)} images have" if len(lacking) > 1 else "an image has"
        text = f"{count} no digest in {source.name}"
        raise ConfigError("CTO-1330", text, details="\n".join(lacking), hint=source.hint)


def target_of(text: str) -> tuple[PushTarget, frozenset[str]]:
    """Return the place that a registry's address names, and its host if that has no TLS.

    Raises:
        UsageError: CTO-1200, it names none.
    """
    scheme, _, rest = text.rpartition("://")
    try:
        target = PushTarget.parse(rest)
    except ValueError as error:
        raise _not_a_registry(text) from error
    if scheme not in {"", "http", "https"}:
        raise _not_a_registry(text)
    return target, frozenset({target.host} if scheme == "http" else ())


def _not_a_registry(text: str) -> UsageError:
    hint = "HOST[:PORT][/PREFIX], with http:// in front if it has no TLS."
    return UsageError("CTO-1200", f"{text} is not the address of a registry", hint=hint)


def checks(
    settings: Registry,
    password: str,
    relocations: Relocations,
    open_session: Callable[[Mapping[str, RegistryLogin], Flag], AbstractContextManager[Session]],
) -> Sequence[Check]:
    """Return the check, with the log-in that nodes get."""
    user = settings.username
    stop = Flag()
    with open_session(
        {settings.host: RegistryLogin(user, password)} if user else {}, stop
    ) as session:
        asked = RegistryClient(session, relocations.endpoints)
        return (check(relocations.needed, asked, settings.address, stop),)


def check(needed: Sequence[Reference], registry: RegistryClient, address: str, stop: Flag) -> Check:
    """Ask for every image; all that are missing are named at once.

    Args:
        needed: What nodes will pull.
        registry: Where to ask.
        address: The registry and its folder, as `cto bundle push` takes them.
        stop: Ends it.
    """
    begun = time.perf_counter()
    found = _look(needed, registry, address, stop)
    return replace(found, seconds=time.perf_counter() - begun)


def _look(needed: Sequence[Reference], registry: RegistryClient, address: str, stop: Flag) -> Check:
    try:
        lines = each(lambda one: _missing(one, registry), needed, workers=_WORKERS, stop=stop)
    except ToolError as error:
        return _silent(error)
    missing = tuple(line for line in lines if line)
    if missing:
        return REGISTRY.failed(
            f"{len(missing)} of {len(needed)} are missing",
            fix=f"cto bundle push DIR {address} -o json > mapping.json, with the bundle of the "
            "profile, and registry.mapping: mapping.json",
            code="CTO-1440",
            items=missing,
        )
    message = f"all {len(needed)} are there"
    return REGISTRY.passed(message)


def _missing(wanted: Reference, registry: RegistryClient) -> str:
    """Return a line about an image that is not there by its digest, else nothing."""
    if registry.digest(wanted):
        return ""
    # Only to tell why: another digest under the tag is another bundle, or one platform of it.
    other = registry.digest(Reference(wanted.host, wanted.repository, wanted.tag))
    return f"{wanted}: the tag leads to {other}" if other else f"{wanted}"


def _silent(error: ToolError) -> Check:
    refused = error.login_is_refused
    hint = "Give registry.username and registry.password." if refused else error.hint
    return REGISTRY.failed(
        ": ".join(filter(None, (error.message, error.details))),
        fix=f"{hint} If only the cluster can reach the registry: registry.check: false",
        code="CTO-1441",
    )
