"""CNCF Distribution with TLS, log-ins and tokens; and what others' tools read of our bundles."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cto.cli.root import cli
from cto.errors import ConfigError, ToolError
from cto_airgap.bundle import open_item
from cto_airgap.contents import Item, ItemKind
from cto_airgap.layout import Layout
from cto_airgap.logins import RegistryLogin
from cto_airgap.oci import Descriptor, Document
from cto_airgap.reference import PushTarget
from cto_airgap.verify import check
from cto_airgap.web import WebTransport
from fakes.depot import SHARED, Depot
from lab.registry import running
from lab.registry.running import Registries

pytestmark = pytest.mark.lab
LOGIN = RegistryLogin("robot", running.PASSWORD)


@pytest.fixture(scope="module")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registries]:
    """Run CNCF Distribution; skip, and say why, if it was not built."""
    if why := running.missing():
        pytest.skip(why)
    with Registries(tmp_path_factory.mktemp("registries")) as registries:
        yield registries


@pytest.mark.parametrize("auth", ["none", "basic", "token"])
def test_a_strict_registry_serves_who_may(
    registries: Registries, tmp_path: Path, auth: str
) -> None:
    host = registries.start(tls=True, auth=auth)
    logins = {} if auth == "none" else {host: LOGIN}
    with WebTransport(ca_file=registries.trust / "ca.pem") as transport:
        depot = Depot(host, transport, logins=logins)
        depot.builder(tmp_path).build(depot.fill(tmp_path), tmp_path / "bundle")
        outcome = depot.pusher.push(tmp_path / "bundle", PushTarget(host, "mine"))
        assert outcome.mounted == len(SHARED)
        check(tmp_path / "bundle")
        assert depot.clock.waits == []


@pytest.mark.parametrize("auth", ["basic", "token"])
@pytest.mark.parametrize("login", [None, RegistryLogin("robot", "mistake")])
def test_a_strict_registry_refuses_who_may_not(
    registries: Registries, auth: str, login: RegistryLogin | None
) -> None:
    host = registries.start(tls=True, auth=auth)
    logins = {host: login} if login else {}
    with WebTransport(ca_file=registries.trust / "ca.pem") as transport:
        depot = Depot(host, transport, logins=logins)
        with pytest.raises(ToolError) as caught:
            depot.registry.manifest(depot.reference("x:1"))
    assert caught.value.code == "CTO-1511"
    assert "mistake" not in f"{caught.value.message}{caught.value.details}"
    assert depot.clock.waits == []


def test_a_certificate_of_somebody_unknown_is_refused(registries: Registries) -> None:
    with WebTransport() as transport:
        depot = Depot(registries.start(tls=True), transport)
        with pytest.raises(ToolError) as caught:
            depot.registry.manifest(depot.reference("x:1"))
    assert caught.value.code == "CTO-1510"
    assert "certificate verify failed" in caught.value.details
    assert depot.clock.waits == []


def test_a_file_without_certificates_is_refused(tmp_path: Path) -> None:
    for name, text in (("missing", None), ("empty", ""), ("wrong", "nonsense")):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match="no certificates to trust"):
            WebTransport(ca_file=tmp_path / name)


def test_crane_takes_a_bundle_to_a_registry_whole(registries: Registries, tmp_path: Path) -> None:
    """Crane reads the layout, finds every image and chart in it, and misses no blob."""
    host = registries.start()
    with WebTransport() as transport:
        depot = Depot(host, transport, plain=True)
        wanted = depot.fill(tmp_path)
        depot.builder(tmp_path).build(wanted, tmp_path / "bundle")
        layout = Layout(tmp_path / "bundle")
        for item in layout.contents().items:
            if item.absent:
                continue
            one = tmp_path / item.name.replace("/", "-").replace(":", "-")
            copy_of(layout, item.descriptor.to_json(), one)
            name = f"{host}/crane/{one.name.lower()}:1"
            crane("push", "--insecure", one, name)
            assert crane("digest", "--insecure", name) == item.descriptor.digest
            if item.kind is ItemKind.IMAGE:
                crane("validate", "--insecure", "--remote", name)


@pytest.mark.parametrize("tool", ["oras", "skopeo"])
def test_others_copy_what_a_bundle_has_for_one_platform(
    registries: Registries, tmp_path: Path, tool: str
) -> None:
    """By its name or digest, whole, also where an index names platforms that were left out."""
    if tool == "skopeo" and shutil.which(tool) is None:
        pytest.skip("there is no skopeo on PATH (CTO_LAB=install brings one, as root on Debian)")
    with WebTransport() as transport:
        depot = Depot(registries.start(), transport, plain=True)
        depot.builder(tmp_path).build(depot.fill(tmp_path), tmp_path / "bundle")
    layout = Layout(tmp_path / "bundle")
    copied = {"oras": oras_copy, "skopeo": skopeo_copy}[tool]
    images = layout.contents().images
    assert [item for item in images if item.absent]
    for number, item in enumerate(images):
        out = tmp_path / f"out-{number}"
        copied(layout.folder, item, out)
        manifest: Document = open_item(layout, item).manifests[0]
        wanted: list[Descriptor] = [manifest.descriptor, *manifest.blobs]
        assert not [one for one in wanted if not Layout(out).holds(one)]


def oras_copy(bundle: Path, item: Item, out: Path) -> None:
    """Copy by digest: oras looks for the tag after the last colon, and ours have more."""
    cp = ["cp", "--from-oci-layout", "--to-oci-layout", "--platform=linux/amd64"]
    run(running.folder() / "oras", *cp, f"{bundle}@{item.descriptor.digest}", f"{out}:one")


def skopeo_copy(bundle: Path, item: Item, out: Path) -> None:
    skopeo = ["skopeo", "--insecure-policy", "--override-os=linux", "--override-arch=amd64"]
    run(*skopeo, "copy", "--preserve-digests", f"oci:{bundle}:{item.name}", f"oci:{out}:one")


def copy_of(layout: Layout, entry: object, folder: Path) -> None:
    """Make a layout of one item: crane pushes a layout as a whole."""
    folder.mkdir()
    (folder / "blobs").symlink_to(layout.folder / "blobs")
    (folder / "oci-layout").write_bytes((layout.folder / "oci-layout").read_bytes())
    index = {"schemaVersion": 2, "manifests": [entry]}
    (folder / "index.json").write_text(json.dumps(index))


def crane(*arguments: str | Path) -> str:
    return run(running.folder() / "crane", *arguments)


def run(*argv: str | Path) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("auth", ["basic", "token"])
@pytest.mark.parametrize("kept", ["helper", "file", "variable", "nowhere"])
def test_a_command_is_who_docker_would_be(
    registries: Registries,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    auth: str,
    kept: str,
) -> None:
    """With a true helper, the environment's certificates, and no secret in what is told."""
    host = registries.start(tls=True, auth=auth)
    with WebTransport() as transport:
        depot = Depot(registries.start(), transport, plain=True)
        depot.builder(tmp_path).build(depot.fill(tmp_path), tmp_path / "bundle")
    monkeypatch.setenv("DOCKER_AUTH_CONFIG", log_in(tmp_path, host, kept))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SSL_CERT_FILE", str(registries.trust / "ca.pem"))
    argv = ["bundle", "push", str(tmp_path / "bundle"), f"{host}/{kept}-{auth}", "--debug"]
    result = CliRunner().invoke(cli, argv, prog_name="cto")
    assert result.exit_code == (5 if kept == "nowhere" else 0), result.output
    assert ("CTO-1511" in result.output) is (kept == "nowhere")
    assert running.PASSWORD not in result.output
    assert ("+ docker-credential-test get" in result.stderr) is (kept == "helper")
    assert f"PUT https://{host}/v2/helper-" in result.stderr or kept != "helper"


def log_in(folder: Path, host: str, kept: str) -> str:
    """Write Docker's configuration, and the helper that it names; return what is in no file."""
    answer = {"ServerURL": host, "Username": "robot", "Secret": running.PASSWORD}
    program = folder / "docker-credential-test"
    program.write_text(
        f"#!/bin/sh\nread -r host\ntest $host = {host} && echo '{json.dumps(answer)}'\n"
    )
    program.chmod(0o755)
    plain = base64.b64encode(f"robot:{running.PASSWORD}".encode()).decode()
    config = {
        "helper": {"credHelpers": {host: "test"}},
        "file": {"auths": {f"https://{host}/v2/": {"auth": plain}, host: {}}},
    }
    (folder / "config.json").write_text(json.dumps(config.get(kept, {})))
    return json.dumps(config["file"]) if kept == "variable" else ""
