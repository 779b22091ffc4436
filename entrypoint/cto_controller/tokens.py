"""Tokens of GitHub Apps: one for each run, for its repository, with its agent's permissions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cto.engine.tasks import APP_KEYS
from cto.github.answers import GitHubError
from cto.github.client import Client
from cto.github.found import AppKey
from cto.network import trust, web
from cto.objects import ObjectRef, secret_data
from cto.ports import Clock, Cluster
from cto_controller.attempts import Attempt
from cto_controller.runs import moment


class TokenError(Exception):
    """There is no token for a run. The text tells why, and what would help."""


@dataclass(frozen=True)
class Minted:
    value: str
    expires: datetime


class AppTokens:
    """Asks GitHub for tokens, as the App whose key is in Secret `github-app-NAME`."""

    def __init__(self, cluster: Cluster, environ: Mapping[str, str], clock: Clock) -> None:
        self._cluster = cluster
        self._session = web.session(environ, verified=trust.context(environ))
        self._clock = clock

    def mint(self, attempt: Attempt) -> Minted:
        """Return a token for the repository of a run.

        Raises:
            TokenError: The App's key is missing, or GitHub gives none.
            ApiError: The Secret could not be read.
        """
        slug, name, api = attempt.slug, attempt.app, attempt.settings.github.api_url
        # Other runs wait for this one: whoever has to wait for GitHub comes back.
        client = Client(api, self._session, self._clock, patience_s=0, agent="cto-controller")
        secret = f"{APP_KEYS}{name.lower()}"
        app = self._key(ObjectRef("v1", "Secret", attempt.token.namespace, secret))
        try:
            found = client.installation(app, name, slug).of("id", int)
            answer = client.token(
                app,
                found,
                f"a token for {slug}",
                repositories=(slug.partition("/")[2],),
                permissions=attempt.agent.permissions,
            )
            expires = moment(answer.of("expires_at", str))
            if expires is None:
                raise answer.strange()
            return Minted(answer.of("token", str), expires)
        except GitHubError as error:
            raise TokenError(error.text) from None
        except ValueError:
            text = f"the private-key in Secret {secret} is no RSA key in PEM"
            raise TokenError(text) from None

    def _key(self, ref: ObjectRef) -> AppKey:
        key = AppKey.of(secret_data(self._cluster.get(ref)))
        if key is None:
            text = f"Secret {ref.name} with the keys app-id and private-key of its App is not there"
            raise TokenError(text)
        return key
