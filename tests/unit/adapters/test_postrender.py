"""What helm is given to find the post-renderer, and what the post-renderer makes of it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import yaml

from cto.adapters import postrender
from cto.relocation import Relocation

MOVED = Relocation(images={"nats:2": "r.example/nats:2"}, pull_secret="puller")


def test_the_plugin_is_there_and_takes_what_it_is_given() -> None:
    env = postrender.environment(MOVED)
    plugin = yaml.safe_load((Path(env["HELM_PLUGINS"]) / "cto-images/plugin.yaml").read_text())
    assert (plugin["name"], plugin["type"]) == (postrender.NAME, "postrenderer/v1")
    (command,) = plugin["runtimeConfig"]["platformCommand"]
    assert command["command"] == "${CTO_PYTHON}"
    assert env["CTO_PYTHON"] == sys.executable
    assert "CTO_MODULES" in command["args"][-1]
    assert "from cto.adapters.postrender import main" in command["args"][-1]


def test_it_finds_its_modules_without_site_packages() -> None:
    ours, yamls = json.loads(postrender.environment(MOVED)["CTO_MODULES"])
    assert (Path(ours) / "cto" / "adapters" / "postrender.py").is_file()
    assert (Path(yamls) / "yaml" / "__init__.py").is_file()


def test_everything_goes_through_the_relocation(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in postrender.environment(MOVED).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("a: nats:2\nb: grün\n".encode())))
    output = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(output))
    postrender.main()
    assert output.getvalue() == "---\na: r.example/nats:2\nb: grün\n".encode()
