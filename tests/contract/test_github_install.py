"""The last step of `cto install`: the agents' Apps, against the stand-in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cto.objects import dump_yaml
from fakes.desk import node
from fakes.github.apps import App, Trouble
from fakes.github.served import key
from fakes.office import AGENTS, Office

# The health is bad: what stands for the controller's chart has no definitions.
HEALTH = 9
ENABLED = {"agents": {name: {"enabled": name in AGENTS} for name in ("rex", "cleo", "tess")}}


def install(
    office: Office, *words: str, browser: bool = False, tunneling: Any = None, **github: Any
) -> int:
    file = office.desk.folder / "install.yaml"
    told = {"organization": "acme", "repository": "shop", "url": office.server.url, **github}
    sections = {key: value for key, value in told.items() if value is not None}
    file.write_text(dump_yaml({"github": sections, "tunneling": tunneling or {}, **ENABLED}))
    argv = ("install", "-c", str(file), "--provider", "existing", *words)
    return office.run(*argv, browser=browser, stdin="y\n")


def line(office: Office) -> str:
    """Return the one line about GitHub at the end."""
    (found,) = [one for one in office.out.splitlines() if one.startswith("GitHub: ")]
    return found


def test_where_somebody_can_click_the_apps_are_made(office: Office) -> None:
    assert install(office, browser=True) == HEALTH, office.err
    for agent in AGENTS:
        assert office.secret(agent) is not None
    end = office.out[office.out.index("\nGitHub:\n") :]
    assert "rex    cto-rex-acme   installed  acme/shop" in end
    # Again: there is nothing to do, and nobody is asked.
    office.server.github.seen.clear()
    assert install(office) == HEALTH, office.err
    assert "\nGitHub:" not in office.out
    assert not [one for one in office.server.github.seen if one.method != "GET"]


@pytest.mark.parametrize(
    ("words", "github", "text"),
    [
        (("--yes",), {}, "cleo, rex have to get their GitHub Apps; `cto github setup` goes on."),
        (("--non-interactive",), {}, "`cto github setup` goes on."),
        (("--skip-github",), {}, "left for later: `cto github setup` makes the agents' Apps."),
        ((), {"mode": "later"}, "left for later: `cto github setup` makes the agents' Apps."),
        (("--yes",), {"mode": "existing"}, "cleo, rex have to get"),
        (
            (),
            {"organization": None, "repository": None},
            "give github.organization, then `cto github setup`.",
        ),
        (
            ("--air-gapped", "--yes"),
            {"url": "https://github.com"},
            "air_gapped: github.com is not asked",
        ),
    ],
)
def test_otherwise_one_line_says_how_to_go_on(
    office: Office, words: tuple[str, ...], github: dict[str, Any], text: str
) -> None:
    assert install(office, *words, **github) == HEALTH, office.err
    assert line(office).endswith(text) or text in line(office)
    assert office.server.github.seen == []


def test_an_app_from_before_there_was_an_address_is_not_said_to_be_lacking(
    office: Office,
) -> None:
    """As an older installer made it: without a webhook."""
    office.know("rex")
    assert office.setup() == 0
    tunneling = {"provider": "none", "url": "https://hooks.example.com"}
    assert install(office, "--yes", tunneling=tunneling) == HEALTH, office.err
    told = "cleo has to get its GitHub App; no webhook yet: rex; `cto github setup` goes on."
    assert line(office) == f"GitHub: {told}"


def test_what_the_configuration_has_is_taken_without_anybody(office: Office) -> None:
    apps = {}
    for number, agent in enumerate(AGENTS):
        pem, checks = key(number)
        may = {"contents": "write", "issues": "write", "pull_requests": "write", "checks": "read"}
        app = App(number + 1, f"mine-{agent}", f"Iv23{agent}", "acme", pem, checks, may)
        office.server.github.apps.append(app)
        office.server.github.approve(app, "acme/shop")
        apps[agent] = {"id": app.id, "private_key": pem}
    assert install(office, "--non-interactive", "--output", "json", apps=apps) == HEALTH, office.err
    told = json.loads(office.out)["data"]["github"]["apps"]
    assert [one["status"] for one in told] == ["installed", "installed"]
    for agent in AGENTS:
        assert office.secret(agent) is not None


def test_a_github_that_fails_undoes_no_installation(office: Office) -> None:
    office.server.github.troubles = [Trouble(".*", None, times=99)]
    pem, _ = key(0)
    apps = {agent: {"id": 1, "private_key": pem} for agent in AGENTS}
    assert install(office, "--yes", apps=apps) == HEALTH, office.err
    assert "GitHub could not be asked" in line(office)
    assert line(office).endswith("`cto github setup` goes on.")


def test_simulated_nodes_have_no_agents(office: Office) -> None:
    office.cluster.add(node("one", simulated=True))
    assert install(office, "--yes") == HEALTH, office.err
    assert "GitHub: cleo" not in office.out
