"""What GitHub sends, with the fields that its documentation names and the flow may look at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

GUID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
SHA = "ec26c3e57ca3a959ca5aad62de7213c562f8c821"
LINK = "https://github.com/acme/shop"

Payload = dict[str, Any]


def user(login: str) -> Payload:
    kind = "Bot" if login.endswith("[bot]") else "User"
    return {"login": login, "id": 583231, "type": kind, "site_admin": False}


def repository(slug: str = "acme/shop") -> Payload:
    owner, name = slug.split("/")
    return {
        "id": 1296269123,
        "name": name,
        "full_name": slug,
        "private": True,
        "owner": {**user(owner), "type": "Organization"},
        "html_url": f"https://github.com/{slug}",
        "clone_url": f"https://github.com/{slug}.git",
        "fork": False,
        "default_branch": "main",
    }


def _all(action: str, sender: str, slug: str) -> Payload:
    return {
        "action": action,
        "repository": repository(slug),
        "organization": {"login": slug.split("/", 1)[0], "id": 9919},
        "sender": user(sender),
        "installation": {"id": 2, "node_id": "MDM6"},
    }


def issue(body: str | None = "It says nothing.", *, pull: bool = False) -> Payload:
    found: Payload = {
        "id": 2712345678,
        "number": 12,
        "updated_at": "2026-11-30T12:13:14Z",
        "title": "The log-in page says nothing",
        "html_url": f"{LINK}/{'pull' if pull else 'issues'}/12",
        "state": "open",
        "user": user("hubot"),
        "author_association": "NONE",
        "labels": [{"name": "bug"}],
        "body": body,
    }
    return {**found, "pull_request": {"url": f"{LINK}/pull/12"}} if pull else found


def labelled(
    label: str = "agent:rex", *, sender: str = "mona", slug: str = "acme/shop", **told: Any
) -> Payload:
    named = {"id": 7, "name": label, "color": "ededed"}
    return {**_all("labeled", sender, slug), "issue": issue(**told), "label": named}


def commented(
    text: str = "/rex Please mend it.",
    *,
    association: str = "MEMBER",
    sender: str = "mona",
    action: str = "created",
    **told: Any,
) -> Payload:
    said = {"id": 99, "body": text, "user": user(sender), "author_association": association}
    return {**_all(action, sender, "acme/shop"), "issue": issue(**told), "comment": said}


def pull_request(author: str, branch: str, head: str) -> Payload:
    return {
        "id": 1912345678,
        "number": 13,
        "state": "open",
        "title": "The log-in page says what is wrong",
        "html_url": f"{LINK}/pull/13",
        "user": user(author),
        "body": None,
        "draft": False,
        "head": {"ref": branch, "sha": SHA, "repo": repository(head)},
        "base": {"ref": "main", "sha": SHA[::-1], "repo": repository()},
    }


def opened(
    author: str = "cto-agent-rex[bot]",
    *,
    branch: str = "agents/rex/task-12",
    head: str = "acme/shop",
    action: str = "opened",
) -> Payload:
    made = pull_request(author, branch, head)
    return {**_all(action, author, "acme/shop"), "number": 13, "pull_request": made}


def reviewed(
    state: str = "approved",
    *,
    by: str = "cto-agent-cleo[bot]",
    head: str = "acme/shop",
) -> Payload:
    review = {"id": 80, "state": state, "user": user(by), "body": "Good.", "commit_id": SHA}
    made = pull_request("cto-agent-rex[bot]", "agents/rex/task-12", head)
    return {**_all("submitted", by, "acme/shop"), "review": review, "pull_request": made}


def ran(
    conclusion: str | None = "failure",
    *,
    branch: str = "agents/rex/task-12",
    head: str = "acme/shop",
    action: str = "completed",
    sha: str = SHA,
    workflow: str = "tests",
) -> Payload:
    run = {
        "id": 30433642,
        "name": workflow,
        "status": "completed" if conclusion else "in_progress",
        "conclusion": conclusion,
        "event": "push",
        "head_branch": branch,
        "head_sha": sha,
        "run_attempt": 1,
        "head_repository": repository(head),
        "pull_requests": [],
        "html_url": f"{LINK}/actions/runs/30433642",
    }
    sent = _all(action, "cto-agent-rex[bot]", "acme/shop")
    return {**sent, "workflow": {"name": workflow}, "workflow_run": run}


def ping() -> Payload:
    hook = {"type": "Organization", "id": 1, "active": True, "events": ["*"]}
    return {"zen": "Keep it logically awesome.", "hook_id": 1, "hook": hook}


def pushed() -> Payload:
    sent = _all("", "mona", "acme/shop")
    del sent["action"]
    return {**sent, "ref": "refs/heads/main", "before": SHA, "after": SHA[::-1], "commits": []}


def event(name: str, payload: Mapping[str, Any], delivery: str = GUID) -> Payload:
    """Return what the event source makes of a delivery: headers are lists, two are in the body."""
    given = {"X-GitHub-Event": name, "X-GitHub-Delivery": delivery}
    headers = {key.title(): [value] for key, value in given.items()}
    return {"headers": headers, "body": {**payload, **given}}
