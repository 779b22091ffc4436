"""What of the network is open to a component's pods, and where upstream is looser than we are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from cto.catalog.parts import _Model

ANYWHERE = "anywhere"
OUTSIDE = ("api", "internet", "agent_networks")


class Opening(_Model):
    """What may reach pods, or what they may reach.

    Attributes:
        ports: Numbers, or expressions over what templates see; 0 is none. Left out: all ports.
        peers: `in`: pods (GROUP, or COMPONENT/GROUP of another one), or `anywhere`. `out`: `api`
            (the API server), `anywhere`, or one of `internet` (all but private addresses) and
            `agent_networks` (those of the configuration) alone.
        why: What for.
    """

    ports: tuple[int | str, ...] = ()
    peers: tuple[str, ...]
    why: Annotated[str, Field(min_length=1)]


class Pods(_Model):
    """Pods of the component, and what of the network is open to them.

    What other pods are to let in is open on both sides by their `in`, and so are name servers.

    Attributes:
        pods: Labels that all of them have, and no others of the namespace; `*` is any value.
        in_: What may reach them.
        out: What they may reach outside of the platform.
    """

    pods: Mapping[str, str]
    in_: tuple[Opening, ...] = Field(default=(), alias="in")
    out: tuple[Opening, ...] = ()


class Exemption(_Model):
    """Where upstream has it looser than the platform's rules are.

    Attributes:
        rule: `wildcard` (in a role), `cluster-admin` (bound to it), `token` (mounted, and of no
            use), `pod-security` (of a namespace, not restricted).
        of: KIND NAME.
        why: Why it has to be.
    """

    rule: Literal["wildcard", "cluster-admin", "token", "pod-security"]
    of: str
    why: Annotated[str, Field(min_length=1)]
