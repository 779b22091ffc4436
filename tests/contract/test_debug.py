"""What `--debug` shows of what is really run and asked."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from cto.cli.output import Terminal
from cto.cli.root import cli
from cto.cli.settings import ClusterOptions
from cto.errors import ToolError
from fakes.desk import write_kubeconfig
from fakes.webserver import WebServer, answer


def test_commands_are_told_with_how_they_ended(capsys: pytest.CaptureFixture[str]) -> None:
    runner = Terminal(debug=True).wiring(ClusterOptions()).runner
    runner.run(("true",), timeout_s=30)
    with pytest.raises(ToolError):
        runner.run(("sh", "-c", "exit 3"), timeout_s=30)
    said = re.sub(r"[0-9]\.[0-9] s", "N s", capsys.readouterr().err)
    assert said.splitlines() == [
        "+ true",
        "= true: 0 after N s",
        "+ sh -c 'exit 3'",
        "= sh: 3 after N s",
    ]


def test_downloads_are_told_without_what_is_secret_in_the_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CTO_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("CTO_MIRROR", raising=False)
    with WebServer() as server:
        server.on("GET", "/x.tgz", answer(200, b"x"))
        url = f"{server.url}/x.tgz?signature=hunter2"
        wiring = Terminal(debug=True).wiring(ClusterOptions())
        digest = hashlib.sha256(b"x").hexdigest()
        wiring.downloader.fetch(url, algorithm="sha256", digest=digest)
        said = capsys.readouterr().err
        assert re.fullmatch(rf"GET {server.url}/x\.tgz: 200 after [0-9.]+ s\n", said)


@pytest.mark.parametrize("debug", [True, False])
def test_a_command_tells_what_it_asks_the_api_server(tmp_path: Path, *, debug: bool) -> None:
    kubeconfig = tmp_path / "config"
    with WebServer() as server:
        write_kubeconfig(kubeconfig, "test")
        text = kubeconfig.read_text().replace("https://192.0.2.1", server.url)
        kubeconfig.write_text(text)
        argv = ["status", "--kubeconfig", str(kubeconfig), *(["--debug"] if debug else [])]
        env = {"HOME": str(tmp_path), "CTO_DEBUG": "", "KUBECONFIG": ""}
        result = CliRunner().invoke(cli, argv, env=env, prog_name="cto")
        line = rf"GET {server.url}/\S+: 404 after [0-9.]+ s"
        assert bool(re.search(line, result.stderr)) is debug
    assert "planted-token" not in result.output
