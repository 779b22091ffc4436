"""Tells how to reach the user interfaces, and asks whether they answer."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from cto.catalog import ANYWHERE, Component
from cto.cli.output import Terminal
from cto.cli.reaching import (
    NOTHING_RUNS,
    access_data,
    access_lines,
    installed,
    trust_lines,
    way,
)
from cto.cli.verbs.opening import frame, installed_state, opened, opened_existing
from cto.cli.wiring import Wiring
from cto.engine.installer import Installer
from cto.errors import ApiError, UsageError, nearest
from cto.objects import ObjectRef
from cto.plan.network import AUTHORITY
from cto.result import Result

_PATIENCE_S = 4.0
_NOTHING = "Nothing that is installed has a user interface."


def run(wiring: Wiring, terminal: Terminal, name: str | None, *, show_password: bool) -> Result:
    """Return where the interfaces are, with what they answer.

    Raises:
        DegradedError: CTO-1901, nothing is installed.
        UsageError: CTO-1200, there is no such component, or it has no password to show.
    """
    if show_password and terminal.is_kept:
        text = "--show-password: this is no terminal, and what is printed may be kept"
        hint = "Without it, `cto access` says how to read the password."
        raise UsageError("CTO-1200", text, hint=hint)
    provider = wiring.clusters.there()
    frame(provider, terminal)
    with opened(wiring, provider, terminal, configured=False) as installer:
        state = installed_state(installer)
        places = _chosen(installed(installer.known.components, state), name)
        if show_password:
            return Result(command="access", text=_password(installer, places[0]))
        # As `cto status` has it: there is no way to what does not run.
        places = () if terminal.simulated else places
        answers = {component.name: _asked(installer, component) for component in places}
        reach = way(provider.reach(), state)
    lines = access_lines(places, reach, is_free=wiring.is_free, answers=answers)
    lines += trust_lines(state.config) if lines else ()
    rows = access_data(places, reach)
    nothing = NOTHING_RUNS if terminal.simulated else _NOTHING
    return Result(
        command="access",
        data={"access": [{**row, "answer": answers.get(row["component"], "")} for row in rows]},
        text="\n".join(lines) or nothing,
        simulated=terminal.simulated,
    )


def authority(wiring: Wiring, terminal: Terminal) -> Result:
    """Return the certificate of the platform's own authority.

    Raises:
        UsageError: CTO-1200, there is none.
    """
    with opened_existing(wiring, terminal) as installer:
        pem = _value(installer, AUTHORITY, "tls.crt")
    if pem is None:
        text = "--ca: the platform has no authority of its own"
        hint = "It has one with platform.ingress_type ingress and no certificate or issuer given."
        raise UsageError("CTO-1200", text, hint=hint)
    data = {"ca": pem}
    return Result(command="access", data=data, text=pem.rstrip(), simulated=terminal.simulated)


def _chosen(found: Sequence[Component], name: str | None) -> Sequence[Component]:
    if name is None:
        return found
    chosen = [component for component in found if component.name == name]
    if not chosen:
        known = [component.name for component in found]
        close = nearest(name, known)
        hint = f"Did you mean {close}?" if close else f"There are: {', '.join(known) or 'none'}."
        text = f"{name}: nothing of that name is installed and has a user interface"
        raise UsageError("CTO-1200", text, hint=hint)
    return chosen


def _asked(installer: Installer, component: Component) -> str:
    """Say what its program answers, over the API server."""
    access = component.access
    openings = [one for pods in component.network.values() for one in pods.in_]
    # A network may keep the API server out of what is not open to all: its silence says nothing.
    if access is None or (openings and not any(ANYWHERE in one.peers for one in openings)):
        return ""
    where = (component.namespace, access.service, access.port, access.path or "/")
    try:
        status = installer.cluster.probe(*where, "http", timeout_s=_PATIENCE_S)
    except ApiError as error:
        return f"not known whether it answers: {error.message}"
    # A log-in page that wants TLS, or a webhook that takes no GET, is an answer.
    return "it answers" if status < 500 else f"it does not answer now ({status})"


def _password(installer: Installer, component: Component) -> str:
    name, _, key = (component.access.secret if component.access else "").partition("/")
    ref = ObjectRef("v1", "Secret", component.namespace, name)
    value = _value(installer, ref, key) if name else None
    if value is None:
        text = f"{component.name}: there is no password to show"
        raise UsageError("CTO-1200", text, hint="`cto access` says how to log in.")
    return value


def _value(installer: Installer, ref: ObjectRef, key: str) -> str | None:
    found = ((installer.cluster.get(ref) or {}).get("data") or {}).get(key)
    return None if found is None else base64.b64decode(found).decode()
