"""Every command of docs/github.md, in its order, against the stand-in."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from cto.objects import ObjectRef, dump_yaml
from fakes.github.served import key
from fakes.office import AGENTS, INGRESS, Office

TEXT = (Path(__file__).parents[2] / "docs" / "github.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(cto [^`]*)`")


def commands() -> Iterator[str]:
    """Yield the commands, without what is said of them."""
    for text in re.split(r"(^```.*?^```\n)", TEXT, flags=re.MULTILINE | re.DOTALL):
        block = _BLOCK.match(text)
        lines = block[1].splitlines() if block else _INLINE.findall(text)
        for line in lines if block or not text.startswith("```") else ():
            yield " ".join(line.partition(" #")[0].split())


def lose_key(office: Office) -> None:
    """Lose the key of an App that somebody then deletes, as the page says."""
    office.cluster.remove(ObjectRef("v1", "Secret", "cto", "github-app-cto-agent-rex"))
    github = office.server.github
    github.apps = [app for app in github.apps if "rex" not in app.name]


def new_key(office: Office) -> None:
    """Let GitHub's page have generated another key."""
    app = office.server.github.app_of("cto-rex-acme")
    app.pem, app.checks = key(2)
    (office.desk.folder / "new.pem").write_text(app.pem)


def receive(office: Office) -> None:
    """Let what is handed over inside be taken."""
    metadata = {"name": "github-webhook", "namespace": "argo-events"}
    office.cluster.add({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {}})
    where = (metadata["namespace"], metadata["name"])
    office.cluster.programs[where] = lambda _path, _headers, _body: (200, "success")


# What is done before a command, and how it then ends: 9 where health is looked at, since what
# stands for the controller's chart has no definitions.
ENDS: Mapping[str, tuple[Callable[[Office], None] | None, int]] = {
    "cto install -c cto.yaml": (None, 9),
    "cto install": (None, 9),
    "cto github setup": (None, 0),
    "cto github setup -c cto.yaml": (None, 0),
    "cto github setup --page apps.html": (None, 0),
    "cto github setup --again rex": (lose_key, 0),
    "cto github status": (None, 0),
    "cto github redeliver": (None, 0),
    "cto github redeliver ID": (None, 0),
    # Until Ctrl+C; here it ends once all is handed over.
    "cto github forward": (receive, 0),
    "cto github rotate": (None, 0),
    "cto github rotate rex": (None, 0),
    "cto github rotate rex --key new.pem": (new_key, 0),
    "cto github remove": (None, 0),
    "cto install --skip-github": (None, 9),
    "cto status": (None, 9),
    "cto uninstall": (None, 0),
    "CTO_GITHUB__ORGANIZATION=acme cto github status": (None, 0),
}


def run(office: Office, command: str) -> int:
    """Run a command as it stands there, with the files and numbers of this place."""
    before, line = command.partition("cto ")[::2]
    settings = dict(one.split("=") for one in before.split())
    office.desk.env |= settings
    if "ID" in line:
        sent = office.server.github.app_of("cto-rex-acme").deliveries[-1]
        line = line.replace("ID", str(sent["id"]))
    words = shlex.split(line)
    files = {name: str(office.desk.folder / name) for name in ("cto.yaml", "apps.html", "new.pem")}
    words = [files.get(word, word) for word in words]
    if words[0] in ("install", "uninstall"):
        words += ["--provider", "existing"]
    if words[0] == "install" and "-c" not in words:
        words += ["-c", files["cto.yaml"]]
    if words[1:] == ["forward"]:
        words.append("--once")
    try:
        return office.run(*words, stdin="y\n")
    finally:
        for name in settings:
            del office.desk.env[name]


def test_every_command_of_the_page_does_what_it_says(office: Office) -> None:
    office.receive()
    github = {"organization": "acme", "repository": "shop", "url": office.server.url}
    agents = {name: {"enabled": name in AGENTS} for name in ("rex", "cleo", "tess")}
    told = {"github": github, "platform": INGRESS, "agents": agents}
    (office.desk.folder / "cto.yaml").write_text(dump_yaml(told))
    found = list(dict.fromkeys(commands()))
    assert set(found) == set(ENDS)
    # What takes all away is in the middle of the page.
    last = [one for one in found if one in ("cto github remove", "cto uninstall")]
    for command in [*(one for one in found if one not in last), *last]:
        prepare, code = ENDS[command]
        if prepare:
            prepare(office)
        assert run(office, command) == code, f"{command}\n{office.err}{office.out}"
