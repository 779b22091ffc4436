"""The agents' Apps as they are: made, kept, installed, taken away.

The order of `take` is what a kill at any moment cannot break: that the code is about to be used is
remembered; that the Secret can be written is tried before it is used; and the key is in its Secret
before anything else is done with it. A key that was lost in between is lost for good,
and no API deletes an App: the next run says what a person has to click.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cto.github.answers import Answer, GitHubError
from cto.github.appsecrets import AppSecrets
from cto.github.client import Client
from cto.github.deliveries import FIELDS, arrived, lost
from cto.github.found import App, AppKey, Status, app_of
from cto.github.manifest import WantedApp, amount
from cto.ports import Clock, Cluster

# What is remembered of an App that GitHub does not say: where its webhook was pointed to, which
# installation its user has chosen.
_OURS = ("hook", "installation_id")


@dataclass(frozen=True)
class Memory:
    """What is known of Apps besides what their Secrets say, or of webhooks: the cluster's state."""

    recall: Callable[[], Mapping[str, Mapping[str, Any]]]
    remember: Callable[[str, Mapping[str, Any] | None], None]


class Apps:
    """Looks after Apps of one platform at one GitHub.

    Args:
        site: Where GitHub's pages are.
        namespace: Of the Secrets.
        place: Where Apps are to be installed: OWNER/NAME, or an owner's login.
        learned: Told of secrets before they are used.
    """

    def __init__(
        self,
        cluster: Cluster,
        client: Client,
        clock: Clock,
        memory: Memory,
        *,
        site: str,
        namespace: str,
        place: str,
        learned: Callable[[Iterable[str]], None],
    ) -> None:
        self._client = client
        self._clock = clock
        self._memory = memory
        self._site = site.rstrip("/")
        self._place = place
        self._learned = learned
        self.secrets = AppSecrets(cluster, clock, namespace=namespace, learned=learned)

    def look(self, wish: WantedApp) -> App:
        """Return how it is with an agent's App.

        Raises:
            GitHubError: GitHub cannot be asked.
        """
        key = self.secrets.key(wish)
        if key is None:
            return self._keyless(wish)
        try:
            known = self._proven(wish, key)
        except GitHubError as error:
            if error.status not in (401, 404):
                raise
            fix = f"{error.help[:1].upper()}{error.help[1:]}; or {self._anew(wish)}"
            known = self._memory.recall().get(wish.agent) or {}
            problem = f"Secret {wish.secret}: {error.message}"
            return app_of(wish, Status.REFUSED, known, problem=problem, fix=fix)
        return self._installed(wish, key, known)

    def take(self, wish: WantedApp, code: str) -> App:
        """Exchange the code of a new App, and keep what it gives.

        Raises:
            ApiError: The Secret cannot be written; the code was not used.
            GitHubError: GitHub gave nothing for the code, or nobody knows what it gave.
        """
        self._learned([code])
        asked = f"{self._clock.now():%Y-%m-%d %H:%M}"
        self._memory.remember(wish.agent, {"name": wish.name, "asked": asked})
        self.secrets.writable(wish)
        answer = self._client.converted(code)
        data = {
            "app-id": str(answer.of("id", int)),
            "client-id": answer.of("client_id", str),
            "client-secret": answer.of("client_secret", str),
            "private-key": answer.of("pem", str),
        }
        if isinstance(answer.data.get("webhook_secret"), str):
            data["webhook-secret"] = answer.data["webhook_secret"]
        self._learned(self.secrets.given(data).values())
        self.secrets.keep(wish, data, made=True)
        return app_of(wish, Status.MADE, self._remembered(wish, answer))

    def adopt(self, wish: WantedApp, key: AppKey, installation: int = 0) -> App:
        """Take an App that exists already: its key is proven before it is kept.

        Raises:
            GitHubError: GitHub does not take the key.
            ValueError: It is no key.
            ConfigError: CTO-1370, the Secret is somebody else's.
        """
        self._learned([key.pem])
        self.secrets.refuse_foreign(wish)
        answer = self._client.app(key)
        chosen = {"installation_id": installation} if installation else {}
        found = self._installed(wish, key, {**_known(wish, answer), **chosen})
        if found.installation:
            # It is proven by what it is for.
            token = self._client.token(key, found.installation, f"a token of App {wish.agent}")
            self._learned([token.of("token", str)])
        data = {
            "app-id": str(answer.of("id", int)),
            "client-id": answer.of("client_id", str),
            "private-key": key.pem,
        }
        self.secrets.keep(wish, data)
        self._memory.remember(wish.agent, found.known)
        return found

    def rekey(self, wish: WantedApp, pem: str) -> App:
        """Take another private key of an App that is there.

        Raises:
            GitHubError: GitHub does not take it for this App.
            ValueError: It is no key.
            ConfigError: CTO-1370, the Secret is somebody else's.
        """
        self._learned([pem])
        self.secrets.refuse_foreign(wish)
        values = self.secrets.values(wish)
        known = self._memory.recall().get(wish.agent) or {}
        there = AppKey.of({**values, "private-key": pem})
        key = there or AppKey(str(known.get("id") or ""), pem)
        answer = self._client.app(key)
        told = {
            "app-id": str(answer.of("id", int)),
            "client-id": answer.of("client_id", str),
            "private-key": pem,
        }
        self.secrets.keep(wish, {**self.secrets.given(values), **told})
        return self._installed(wish, key, self._remembered(wish, answer))

    def remove(self, wish: WantedApp) -> App:
        """Take away an App's Secret, what is remembered of it, and its installations if we made it.

        Itself only a person can delete. A Secret that somebody else made stays.

        Raises:
            GitHubError: GitHub did not remove an installation.
        """
        known: Mapping[str, Any] = self._memory.recall().get(wish.agent) or {}
        if self.secrets.is_foreign(wish):
            fix = f"Secret {wish.secret} is not of this installer: it stays, and so does its App"
            return app_of(wish, Status.MADE, known, fix=fix)
        if (key := self.secrets.key(wish)) and (_ours(known) or self.secrets.is_made(wish)):
            try:
                known = self._proven(wish, key)
                listed = "/app/installations"
                what = "its installations"
                for one in self._client.pages(listed, what, app=key, fields=("id",)):
                    path = f"{listed}/{int(one['id'])}"
                    self._client.ask("DELETE", path, "the end of an installation", app=key)
            except GitHubError as error:
                # The App is gone, or its key no good: there is nothing to do with it.
                if error.status not in (401, 404):
                    raise
        self.secrets.delete(wish)
        self._memory.remember(wish.agent, None)
        fix = f"delete it: {self.settings(known)}/advanced" if "slug" in known else ""
        return app_of(wish, Status.MISSING, known, fix=fix if _ours(known) else "")

    def told(self, wish: WantedApp, found: App) -> App:
        """Return an App with how its webhook went last, if it has one."""
        last = next(self._deliveries(wish), None) if found.status is Status.INSTALLED else None
        if last is None:
            return found
        text = f"{last['event']} at {last['delivered_at']}: {last['status_code']} {last['status']}"
        found = replace(found, delivery=text)
        if arrived(last) or found.problem:
            return found
        fix = "Look at `cto status`; `cto github redeliver` sends what failed again."
        return replace(found, problem=f"its last webhook failed: {text}", fix=fix)

    def chosen(
        self,
        wish: WantedApp,
        only: Collection[int] = (),
        *,
        failed: Callable[[Mapping[str, Any]], bool] = lambda _: True,
    ) -> list[Mapping[str, Any]]:
        """Return what failed, or some of what was sent, the oldest first.

        GitHub keeps that for three days, an Enterprise Server for seven. `failed` chooses among
        what failed.
        """
        listed = self._deliveries(wish)
        found = [one for one in listed if one["id"] in only] if only else lost(listed, failed)
        return found[::-1]

    def send_again(self, wish: WantedApp, delivery: int) -> None:
        """Have GitHub send again what it sent."""
        path = f"/app/hook/deliveries/{delivery}/attempts"
        self._client.ask("POST", path, "another attempt", app=self.secrets.key(wish))

    def again(self, wish: WantedApp) -> bool:
        """Have a ping sent again that failed: the first one comes before GitHub knows the secret.

        Tell whether there was one.
        """
        last = next(self._deliveries(wish), None)
        if last is None or last["event"] != "ping" or arrived(last):
            return False
        self.send_again(wish, int(last["id"]))
        return True

    def _deliveries(self, wish: WantedApp) -> Iterator[Mapping[str, Any]]:
        if key := self.secrets.key(wish):
            try:
                path = "/app/hook/deliveries"
                yield from self._client.pages(path, "its deliveries", app=key, fields=FIELDS)
            except GitHubError as error:
                # It has no webhook.
                if not error.is_absence:
                    raise

    def settings(self, known: Mapping[str, Any]) -> str:
        """Return where the settings of an App are, or of all if its slug is not known."""
        organization = known.get("kind", "Organization") == "Organization"
        owner = known.get("owner") or self._place.partition("/")[0]
        where = f"/organizations/{owner}/settings/apps" if organization else "/settings/apps"
        slug = f"/{known['slug']}" if "slug" in known else ""
        return f"{self._site}{where}{slug}"

    def _keyless(self, wish: WantedApp) -> App:
        known = self._memory.recall().get(wish.agent)
        if known is None:
            return app_of(wish, Status.MISSING, {}, fix="`cto github setup` makes it")
        if "id" in known:
            problem = f"Secret {wish.secret} with its key is gone"
            given = f"github.apps.{wish.agent}: {{id: {known['id']}, private_key_path: FILE}}"
            fix = f"Generate a private key at {self.settings(known)} and give it: {given}; or "
        else:
            problem = f"its key was asked for at {known.get('asked')} UTC, and did not get here"
            fix = f"If {known.get('name')} is in the list at {self.settings({})}, "
        return app_of(wish, Status.LOST, known, problem=problem, fix=f"{fix}{self._anew(wish)}")

    def _anew(self, wish: WantedApp) -> str:
        again = f"`cto github setup --again {wish.agent}`"
        return f"delete it there (Advanced); then {again} makes another"

    def _proven(self, wish: WantedApp, key: AppKey) -> Mapping[str, Any]:
        """Ask GitHub whose key it is, and remember what it says."""
        try:
            return self._remembered(wish, self._client.app(key))
        except ValueError:
            text = f"Secret {wish.secret}: its private-key is no RSA key in PEM"
            raise GitHubError("CTO-1581", text, status=401, help_="give another one") from None

    def _remembered(self, wish: WantedApp, answer: Answer) -> Mapping[str, Any]:
        known, before = _known(wish, answer), self._memory.recall().get(wish.agent) or {}
        if _ours(before) or self.secrets.is_made(wish):
            known["made"] = True
        if before.get("id") == known["id"]:
            known |= {name: before[name] for name in _OURS if name in before}
        self._memory.remember(wish.agent, known)
        return known

    def _installed(self, wish: WantedApp, key: AppKey, known: Mapping[str, Any]) -> App:
        installation = int(known.get("installation_id") or 0)
        try:
            answer = (
                self._client.ask(
                    "GET", f"/app/installations/{installation}", "its installation", app=key
                )
                if installation
                else self._client.installation(key, wish.name, self._place)
            )
        except GitHubError as error:
            if not error.is_absence:
                raise
            return self._not_installed(wish, key, known)
        number, given = answer.of("id", int), answer.of("permissions", dict)
        if answer.data.get("suspended_at"):
            where = answer.data.get("html_url") or self.settings(known)
            fix = f"Unsuspend it at {where}."
            problem = "its installation is suspended"
            return app_of(wish, Status.INSTALLED, known, number, problem=problem, fix=fix)
        lacking = [
            f"{name}: {level}"
            for name, level in wish.permissions.items()
            if amount(given.get(name)) < amount(level)
        ]
        if lacking:
            problem = f"it may not {', '.join(lacking)}"
            where = answer.data.get("html_url", "")
            fix = f"Add them at {self.settings(known)}/permissions, then accept them at {where}."
            return app_of(wish, Status.INSTALLED, known, number, problem=problem, fix=fix)
        return app_of(wish, Status.INSTALLED, known, number)

    def _not_installed(self, wish: WantedApp, key: AppKey, known: Mapping[str, Any]) -> App:
        owner = self._place.partition("/")[0].lower()
        requests = self._client.pages("/app/installation-requests", "requests for it", app=key)
        accounts = (one.get("account") or {} for one in requests)
        if any(str(one.get("login")).lower() == owner for one in accounts):
            fix = f"An owner of {owner} approves it at {self._site}."
            return app_of(wish, Status.REQUESTED, known, fix=fix)
        fix = f"Install it for {self._place}: {known['url']}/installations/new"
        return app_of(wish, Status.MADE, known, fix=fix)


def _ours(known: Mapping[str, Any]) -> bool:
    """Tell whether we made an App: what others made stays installed."""
    return "asked" in known or bool(known.get("made"))


def _known(wish: WantedApp, answer: Answer) -> dict[str, Any]:
    """Return what is remembered of an App: people may have given it another name."""
    owner = answer.of("owner", dict)
    return {
        "id": answer.of("id", int),
        "slug": answer.of("slug", str),
        "name": answer.of("name", str),
        "owner": str(owner.get("login", "")),
        "kind": str(owner.get("type", "")),
        "url": answer.of("html_url", str),
        "kept_in": wish.secret,
    }
