"""The one webhook of an organization or a repository, as the verbs of `cto github` meet it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from cto.cli.verbs.appsdesk import Desk
from cto.config.agents import WebhookOwner
from cto.config.model import Config
from cto.engine.planning import secret_values
from cto.errors import ConfigError, PreflightError
from cto.github.answers import GitHubError
from cto.github.hooks import COMMON_SECRET, OwnerHook


@dataclass(frozen=True)
class OtherHook:
    """A webhook that tells the platform of what another one tells it already.

    Attributes:
        place: Whose it is: an organization, or OWNER/NAME.
        url: Where it leads.
        page: On which it is deleted.
        is_seen: Whether GitHub says that it is there; otherwise it was made, and may be gone.
    """

    place: str
    url: str
    page: str
    is_seen: bool

    @property
    def text(self) -> str:
        told = (
            f"{self.place} has a webhook as well, to {self.url}: each event arrives twice, and a "
            f"failed CI run is mailed twice. Delete it: {self.page}"
        )
        # Who has deleted it is not to be told for ever.
        asked = "With github.webhook_token, `cto github setup` sees whether it is gone."
        return told if self.is_seen else f"{told}. {asked}"

    def to_json(self) -> Mapping[str, str | bool]:
        return asdict(self)


def owner_hook(desk: Desk, place: str = "") -> OwnerHook | None:
    """Return the webhook of a place, or the one for all; None without a token for it."""
    token = secret_values(desk.config, desk.cluster, "github.webhook_token").get("", "")
    place = place or wanted_place(desk.config)
    if not token or not place:
        return None
    return OwnerHook(desk.client, desk.hooks.receiver, desk.webhooks, place=place, token=token)


def required_hook(desk: Desk) -> OwnerHook:
    """Return the one for all.

    Raises:
        ConfigError: CTO-1370, there is no token for it.
    """
    hook = owner_hook(desk)
    if hook is None:
        text = "github.webhook_token is not given: GitHub lets nobody else at the webhook"
        hint = "Give it: `-c cto.yaml`, or CTO_GITHUB__WEBHOOK_TOKEN."
        raise ConfigError("CTO-1370", text, hint=hint)
    return hook


def wanted_place(config: Config) -> str:
    """Return whose the one webhook for all is to be; '' where Apps have their own."""
    return {
        WebhookOwner.APPS: "",
        WebhookOwner.ORGANIZATION: str(config.github.organization),
        WebhookOwner.REPOSITORY: f"{config.github.organization}/{config.github.repository}",
    }[config.github.webhooks]


def pointed(desk: Desk) -> str:
    """Make the one webhook for all; without a token, say how it is made.

    Raises:
        GitHubError: GitHub did not make it.
    """
    receiver, place, hook = desk.hooks.receiver, wanted_place(desk.config), owner_hook(desk)
    if hook is None:
        name, key = COMMON_SECRET
        return (
            f"Make the webhook of {place}: address {receiver.url()}, content type "
            f"application/json, the secret in Secret {name} ({key}) of namespace "
            f"{receiver.namespace}. With github.webhook_token, `cto github setup` makes it."
        )
    found = hook.point(desk.rules.wanted)
    if not found.url:
        return f"{found.problem}: {found.fix}"
    told = f"The webhook of {place} goes to {found.url}."
    if not found.problem:
        return told
    # Other platforms may have theirs there: nobody but a person knows.
    page = _page(desk.config, place)
    why = "If that was this platform's address before, delete it, or each event arrives twice"
    return f"{told} But {found.problem}. {why}: {page}"


def flaw(desk: Desk) -> str:
    """Say what is wrong with the one webhook for all; '' if nothing tells."""
    place, url = wanted_place(desk.config), desk.hooks.receiver.url()
    if not place or not url:
        return ""
    seen = _seen(desk, place)
    known = desk.webhooks.recall().get(place)
    there = seen if seen is not None or known is None else [str(known.get("url"))]
    if there is None or url in there:
        return ""
    if not there:
        return f"The webhook of {place} is not there: `cto github setup` makes it."
    return f"The webhook of {place} goes to {there[0]}, not to {url}: `cto github setup` moves it."


def doubled(desk: Desk, *, asks: bool = True) -> list[OtherHook]:
    """Return the webhooks that tell of what others tell already.

    Without a token, or unless it `asks`, these are those that were made by us and not taken away.
    """
    wanted, known = wanted_place(desk.config), desk.webhooks.recall()
    if not desk.hooks.receiver.url():
        return []
    found = []
    for place in dict.fromkeys((*known, *_places(desk.config))):
        if place == wanted:
            continue
        page, seen = _page(desk.config, place), _seen(desk, place) if asks else None
        if seen is not None:
            found += [OtherHook(place, url, page, is_seen=True) for url in seen]
        elif place in known:
            url = str(known[place].get("url"))
            found.append(OtherHook(place, url, page, is_seen=False))
    return found


def removed(desk: Desk) -> Sequence[str]:
    """Delete the webhooks of organizations and repositories; without a token, say who can."""
    places = dict.fromkeys(filter(None, (wanted_place(desk.config), *desk.webhooks.recall())))
    left = []
    for place in places:
        why = "github.webhook_token is not given"
        try:
            if hook := owner_hook(desk, place):
                hook.remove()
                continue
        except GitHubError as error:
            why = error.message
        page = _page(desk.config, place)
        left.append(f"The webhook of {place} stays: {why}. Delete it: {page}")
    return left


def _seen(desk: Desk, place: str) -> list[str] | None:
    """Return where the webhooks of a place lead, by GitHub; None if it cannot be asked."""
    try:
        hook = owner_hook(desk, place)
        found = hook.there() if hook else None
    except (GitHubError, PreflightError):
        # The token need not be there, nor be good for every place.
        return None
    if found == []:
        desk.webhooks.remember(place, None)
    return found


def _places(config: Config) -> Iterator[str]:
    """Yield where a webhook could tell of the same as those of the Apps."""
    if owner := config.github.organization:
        yield owner
        if config.github.repository:
            yield f"{owner}/{config.github.repository}"


def _page(config: Config, place: str) -> str:
    path = f"{place}/settings/hooks" if "/" in place else f"organizations/{place}/settings/hooks"
    return f"{config.github.url.rstrip('/')}/{path}"
