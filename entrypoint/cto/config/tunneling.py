"""How GitHub's webhooks reach the cluster: `tunneling` of the configuration."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from cto.config.fields import Matches, Secret, Section, refused

PublicUrl = Annotated[
    str,
    Matches(
        r"https?://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?/?",
        "must be an address without a path, like https://hooks.example.com",
    ),
]
TunnelId = Annotated[
    str,
    Matches(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        "must be the id of a tunnel, as `cloudflared tunnel create` tells it, not its name",
    ),
]


class TunnelProvider(StrEnum):
    LOCAL = "local"
    NGROK = "ngrok"
    CLOUDFLARE = "cloudflare"
    NONE = "none"


_GIVE = {
    TunnelProvider.NGROK: "give the authtoken of your account",
    TunnelProvider.CLOUDFLARE: "give the token of the tunnel, or its credentials file and tunnel",
}


class Tunneling(Section):
    """How GitHub's webhooks reach the cluster."""

    provider: TunnelProvider = Field(
        default=TunnelProvider.LOCAL,
        description="local (nothing reaches this cluster: see forward), ngrok, cloudflare, none "
        "(it is reached without a tunnel).",
        examples=["cloudflare"],
    )
    url: PublicUrl | None = Field(
        default=None,
        description="Address that GitHub sends webhooks to: that of the tunnel, or of what stands "
        "before the cluster. Left out: the platform's own name, with platform.ingress_type "
        "ingress.",
        examples=["https://hooks.example.com"],
    )
    credentials: Secret | None = Field(
        default=None,
        description="What the tunnel logs in with: ngrok's authtoken; Cloudflare's token of the "
        "tunnel or, with tunnel, its credentials file. Text, ${VARIABLE}, or a reference "
        "{secret: NAME, key: KEY}.",
        examples=[{"secret": "my-tunnel", "key": "credentials"}],
    )
    tunnel: TunnelId | None = Field(
        default=None,
        description="Id of a tunnel of Cloudflare: credentials are its credentials file then, and "
        "only the path of webhooks is let through. With a token, what is let through is set at "
        "Cloudflare.",
        examples=["6ff42ae2-765d-4adf-8112-31c55c1551ef"],
    )
    forward: bool = Field(
        default=False,
        description="Fetch from GitHub what it could not deliver, in the cluster, for provider "
        "local. The webhooks of the Apps need some public url then, though nothing answers there.",
        examples=[False],
    )

    @property
    def is_tunnel(self) -> bool:
        """Whether a program in the cluster brings webhooks in."""
        return self.provider in (TunnelProvider.NGROK, TunnelProvider.CLOUDFLARE)

    @model_validator(mode="after")
    def _is_complete(self) -> Tunneling:
        if self.is_tunnel:
            self._check_tunnel()
        if self.forward and self.provider is not TunnelProvider.LOCAL:
            reason = f"has no meaning with tunneling.provider {self.provider.value!r}"
            raise refused(reason, "leave it out: webhooks arrive", field="forward")
        if self.forward and self.url is None:
            reason = "is needed by tunneling.forward: GitHub keeps only what it tried to send"
            fix = "give any https address of yours: what fails to arrive there is fetched"
            raise refused(reason, fix, field="url")
        return self

    def _check_tunnel(self) -> None:
        provider = self.provider.value
        # A tunnel without an account (`cloudflared tunnel --url`) has another address after each
        # start, and an App's webhook would have to follow it: `forward` tries things out as well.
        for name, fix in (
            ("url", "give the tunnel's address; to try things without one, see tunneling.forward"),
            ("credentials", _GIVE[self.provider]),
        ):
            if getattr(self, name) is None:
                reason = f"is needed by tunneling.provider {provider!r}"
                raise refused(reason, fix, field=name)
        if not _is_plain_https(self.url or ""):
            reason = f"is not one that {provider} serves: that has https:// and no port"
            raise refused(reason, "leave out what is different", field="url")
        if self.provider is TunnelProvider.NGROK:
            if self.tunnel:
                reason = f"has no meaning with tunneling.provider {provider!r}"
                raise refused(reason, "leave it out", field="tunnel")
        elif self.credentials and self.credentials.known:
            _check_cloudflare(self.credentials.reveal(), self.tunnel or "")


def _is_plain_https(url: str) -> bool:
    scheme, _, rest = url.partition("://")
    return scheme == "https" and ":" not in rest


def _check_cloudflare(given: str, tunnel: str) -> None:
    """Refuse what is no login of a tunnel: the program would say so only when it starts."""
    keys = {"AccountTag", "TunnelSecret", "TunnelID"} if tunnel else {"a", "t", "s"}
    try:
        told = json.loads(given if tunnel else base64.b64decode(given.strip(), validate=True))
    except ValueError:
        told = None
    if not isinstance(told, Mapping) or not keys <= told.keys():
        what = "the credentials file" if tunnel else "the token"
        fix = "take the file that `cloudflared tunnel create` wrote"
        if not tunnel:
            fix = "take what follows --token in the command that Cloudflare shows; "
            fix += "a credentials file needs tunneling.tunnel as well"
        reason = f"is not {what} of a tunnel"
        raise refused(reason, fix, field="credentials")
    if tunnel and str(told["TunnelID"]).lower() != tunnel:
        reason = "is not the tunnel that tunneling.credentials are of"
        raise refused(reason, "give the TunnelID in them", field="tunnel")
