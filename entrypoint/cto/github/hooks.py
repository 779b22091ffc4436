"""Webhooks: that of each agent's App, or the one of the organization or the repository.

GitHub never shows a secret again. Whether it has ours is remembered by a keyed hash, whose key is
the App's own: another secret, or another App, has another one.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from cto.errors import ApiError
from cto.github.address import PATH, hook_url
from cto.github.answers import GitHubError
from cto.github.apps import Memory
from cto.github.client import Client
from cto.github.deliveries import FIELDS, lost
from cto.github.found import AppKey, Hook
from cto.github.manifest import WantedApp
from cto.objects import ObjectRef, secret_data
from cto.ports import Cluster

# What bundle/components/argo-events generates.
APP_SECRETS, COMMON_SECRET = "github-app-webhooks", ("github-webhook-secret", "secret")
_CONFIG = "/app/hook/config"
_JSON = {"content_type": "json", "insecure_ssl": "0"}


class Receiver:
    """The platform's side: where webhooks go, and what they are signed with.

    Args:
        base: The public address; '' if nobody knows one.
        namespace: Of the Secrets; '' if nothing is there that could receive.
        learned: Told of secrets before they are used.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        base: str,
        namespace: str,
        learned: Callable[[Iterable[str]], None],
    ) -> None:
        self._cluster = cluster
        self._learned = learned
        self.base = base
        self.namespace = namespace

    def url(self, agent: str = "") -> str:
        """Return the address for an agent's App, or the common one; '' if nobody knows one."""
        return hook_url(self.base, agent) if self.base and self.namespace else ""

    def secret(self, agent: str = "") -> str:
        """Return what webhooks are signed with; '' if there is nothing yet."""
        name, key = (APP_SECRETS, agent) if agent else COMMON_SECRET
        found = self._cluster.get(ObjectRef("v1", "Secret", self.namespace, name))
        value = secret_data(found).get(key, "")
        self._learned([value])
        return value


class AppHooks:
    """The webhooks of the agents' Apps.

    Args:
        settings: Returns where the settings of an App are, by what is known of it.
    """

    def __init__(
        self,
        client: Client,
        memory: Memory,
        receiver: Receiver,
        settings: Callable[[Mapping[str, Any]], str],
    ) -> None:
        self._client = client
        self._memory = memory
        self._settings = settings
        self.receiver = receiver

    def point(self, wish: WantedApp, key: AppKey) -> Hook:
        """Let an App's webhook come here, signed with our secret. What is so already stays.

        Raises:
            GitHubError: GitHub cannot be asked.
        """
        url, secret = self.receiver.url(wish.agent), self.receiver.secret(wish.agent)
        if not secret:
            problem = f"there is no secret for its webhook in Secret {APP_SECRETS}"
            return Hook(problem=problem, fix="`cto install`, as before, makes one.")
        known = self._memory.recall().get(wish.agent) or {}
        told = {"url": url, "proof": _proof(key, secret)}
        if known.get("hook") == told and _leads_to(self._config(key), url):
            return Hook(url=url)
        try:
            body = {**_JSON, "url": url, "secret": secret}
            self._client.ask("PATCH", _CONFIG, "another webhook of it", app=key, body=body)
        except GitHubError as error:
            if not error.is_absence:
                raise
            return self._off(known, url)
        self._memory.remember(wish.agent, {**known, "hook": told})
        return Hook(url=url)

    def look(self, wish: WantedApp, key: AppKey) -> Hook:
        """Return how an App's webhook is; it is not changed.

        Raises:
            GitHubError: GitHub cannot be asked.
        """
        url, config = self.receiver.url(wish.agent), self._config(key)
        known = self._memory.recall().get(wish.agent) or {}
        if config is None or not config.get("url"):
            return self._off(known, url) if url or known.get("hook") else Hook()
        there = str(config["url"])
        if url and not _leads_to(config, url):
            problem = f"its webhook goes to {there}, not to {url}"
            return Hook(url=there, problem=problem, fix="`cto github setup` changes that.")
        if url and self._is_other(wish, key, known):
            problem = "its webhook is signed with another secret than the platform's"
            return Hook(url=there, problem=problem, fix="`cto github setup` changes that.")
        if url and (deaf := self._unheard(wish, key)):
            where = f"{self._settings(known)}/permissions"
            rights = ", ".join(f"{name}: {level}" for name, level in wish.hears.items())
            fix = f"At {where} see that it has {rights}, and tick these events."
            return Hook(url=there, problem=f"its webhook does not tell of {deaf}", fix=fix)
        return Hook(url=there)

    def _is_other(self, wish: WantedApp, key: AppKey, known: Mapping[str, Any]) -> bool:
        """Tell whether GitHub was given another secret than that which is checked here now."""
        if not (given := known.get("hook")):
            return False
        try:
            secret = self.receiver.secret(wish.agent)
        except ApiError as error:
            # Not everybody who may look at the Apps may read it.
            if not error.is_forbidden:
                raise
            return False
        return bool(secret) and given.get("proof") != _proof(key, secret)

    def _unheard(self, wish: WantedApp, key: AppKey) -> str:
        told = self._client.app(key).of("events", list)
        return ", ".join(event for event in wish.events if event not in told)

    def _config(self, key: AppKey) -> Mapping[str, Any] | None:
        try:
            data = self._client.ask("GET", _CONFIG, "its webhook", app=key).data
        except GitHubError as error:
            if not error.is_absence:
                raise
            return None
        return data if isinstance(data, Mapping) else None

    def _off(self, known: Mapping[str, Any], url: str) -> Hook:
        """Return the webhook that an App was made without: no API switches it on."""
        told = f" with the address {url}" if url else ""
        fix = f"Tick Active at {self._settings(known)}{told}; then `cto github setup`."
        return Hook(problem="its webhook is off", fix=fix)


class OwnerHook:
    """The one webhook of an organization or a repository.

    It is known by its address, or by what is remembered of the one that was made: with another
    public address of the platform, it is the same webhook.

    Args:
        memory: Of webhooks that were made: place -> id, url.
        place: OWNER/NAME of a repository, or an organization's login.
        token: Of somebody who may.
    """

    def __init__(
        self, client: Client, receiver: Receiver, memory: Memory, *, place: str, token: str
    ) -> None:
        self._client = client
        self._receiver = receiver
        self._memory = memory
        self._token = token
        self.place = place
        self._path = f"/repos/{place}/hooks" if "/" in place else f"/orgs/{place}/hooks"
        self._what = f"the webhook of {place}"

    def point(self, events: Sequence[str]) -> Hook:
        """Make it, or see that it is as it should be, and have GitHub try it.

        Raises:
            GitHubError: GitHub did not do it.
        """
        url, secret = self._receiver.url(), self._receiver.secret()
        if not secret:
            problem = f"there is no Secret {COMMON_SECRET[0]}"
            return Hook(problem=problem, fix="`cto install`, as before, makes one.")
        # Always with the secret: without, GitHub would forget it.
        body = {
            "active": True,
            "events": list(events),
            "config": {**_JSON, "url": url, "secret": secret},
        }
        there = list(self._all())
        # That with the address first: GitHub takes no second one that has it.
        ours = sorted(filter(self._is_ours, there), key=lambda one: _url_of(one) != url)
        if ours:
            made = int(ours[0]["id"])
            self._ask("PATCH", f"{self._path}/{made}", body)
        else:
            made = self._ask("POST", self._path, {"name": "web", **body}).of("id", int)
        for one in ours[1:]:
            self._ask("DELETE", f"{self._path}/{int(one['id'])}")
        self._memory.remember(self.place, {"id": made, "url": url})
        self._ask("POST", f"{self._path}/{made}/pings", {})
        return Hook(url=url, problem=_stray(one for one in there if one not in ours))

    def there(self) -> list[str]:
        """Return where it leads; [] if there is none.

        Raises:
            GitHubError: GitHub cannot be asked.
        """
        return [_url_of(one) for one in self._ours()]

    def chosen(
        self,
        only: Collection[int] = (),
        *,
        failed: Callable[[Mapping[str, Any]], bool] = lambda _: True,
    ) -> list[tuple[int, Mapping[str, Any]]]:
        """Return what failed, or some of what was sent, the oldest first, each with its webhook.

        `failed` chooses among what failed.
        """
        found: list[tuple[int, Mapping[str, Any]]] = []
        for hook in (int(one["id"]) for one in self._ours()):
            path = f"{self._path}/{hook}/deliveries"
            listed = self._client.pages(path, self._what, token=self._token, fields=FIELDS)
            chosen = [one for one in listed if one["id"] in only] if only else lost(listed, failed)
            found += ((hook, one) for one in reversed(chosen))
        return found

    def send_again(self, hook: int, delivery: int) -> None:
        """Have GitHub send again what a webhook was sent."""
        self._ask("POST", f"{self._path}/{hook}/deliveries/{delivery}/attempts")

    def remove(self) -> bool:
        """Delete it; tell whether there was one."""
        found = self._ours()
        for one in found:
            self._ask("DELETE", f"{self._path}/{int(one['id'])}")
        self._memory.remember(self.place, None)
        return bool(found)

    def _ours(self) -> list[Mapping[str, Any]]:
        return list(filter(self._is_ours, self._all()))

    def _is_ours(self, one: Mapping[str, Any]) -> bool:
        known = self._memory.recall().get(self.place) or {}
        return one["id"] == known.get("id") or _url_of(one) == (self._receiver.url() or None)

    def _all(self) -> Iterator[Mapping[str, Any]]:
        return self._client.pages(self._path, self._what, token=self._token, fields=("id",))

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        return self._client.ask(method, path, self._what, token=self._token, body=body)


def _url_of(hook: Mapping[str, Any]) -> str:
    return str((hook.get("config") or {}).get("url") or "")


def _stray(hooks: Iterable[Mapping[str, Any]]) -> str:
    """Say which may be ours, of a time before they were remembered; '' for none."""
    urls = sorted(url for url in map(_url_of, hooks) if urlsplit(url).path == PATH)
    return f"there is another one that goes to {' and '.join(urls)}" if urls else ""


def _leads_to(config: Mapping[str, Any] | None, url: str) -> bool:
    wanted = {**_JSON, "url": url}
    return config is not None and all(str(config.get(k)) == v for k, v in wanted.items())


def _proof(key: AppKey, secret: str) -> str:
    return hmac.new(key.pem.encode(), secret.encode(), "sha256").hexdigest()[:32]
