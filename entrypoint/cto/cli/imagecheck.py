"""The preflight check of a registry of the user's own: does it have every image, by digest?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from threading import Event as Flag

from cto.cli.relocating import Relocations
from cto.config.sections import Registry as Settings
from cto.engine.preflight import REGISTRY
from cto.errors import ToolError
from cto.result import Check
from cto_airgap.logins import RegistryLogin
from cto_airgap.reference import Reference
from cto_airgap.registry import RegistryClient
from cto_airgap.session import Session
from cto_airgap.transfers import each

_WORKERS = 8


def checks(
    settings: Settings,
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
    found = _check(needed, registry, address, stop)
    return replace(found, seconds=time.perf_counter() - begun)


def _check(
    needed: Sequence[Reference], registry: RegistryClient, address: str, stop: Flag
) -> Check:
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
