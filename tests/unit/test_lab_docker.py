"""The lab's Docker and what its clusters are made of, as far as files tell."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest

from lab.dockerd import capped, engine
from lab.images import build as images
from lab.images import bundle, catalog, layout, modules
from lab.nodeimage import programs
from lab.tools import build


@pytest.fixture
def link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> engine.Link:
    monkeypatch.setenv("CTO_LAB_CACHE", str(tmp_path / "cache"))
    return engine.Link(tmp_path / "bin" / "docker", "usr/bin/docker")


def test_a_link_of_an_older_suite_is_replaced_and_goes_with_the_daemon(link: engine.Link) -> None:
    link.name.parent.mkdir()
    link.name.symlink_to(engine.folder() / "older-programs" / "usr/bin/docker")
    link.make()
    assert link.name.readlink() == link.target
    link.remove()
    assert not os.path.lexists(link.name)


def test_a_client_that_is_not_ours_stays(link: engine.Link) -> None:
    link.name.parent.mkdir()
    link.name.write_text("somebody's")
    link.make()
    link.remove()
    assert link.name.read_text() == "somebody's"


def test_a_pid_file_of_another_program_is_dropped(tmp_path: Path) -> None:
    """A hard kill leaves them, and numbers are given again: Docker would not start."""
    (tmp_path / "containerd").mkdir()
    files = [tmp_path / "docker.pid", tmp_path / "containerd" / "containerd.pid"]
    for file in files:
        file.write_text(str(os.getpid()))
    engine.drop_stale_pid_files(tmp_path)
    assert not any(file.exists() for file in files)


def test_a_process_is_told_from_another_one_of_its_number() -> None:
    assert engine.started_at(os.getpid()).isdigit()
    assert engine.started_at(2**22 + 1) == ""


@pytest.mark.parametrize("repository", sorted(catalog.ROLES))
def test_a_role_is_one_of_an_image_in_the_lock(repository: str) -> None:
    assert repository in {reference.repository for reference in catalog.references()}


def test_the_node_image_is_known_by_every_name_that_the_product_has_for_it() -> None:
    names = [str(reference) for reference in catalog.nodes(programs.KUBERNETES)]
    assert f"docker.io/kindest/node:v{programs.KUBERNETES}" in names
    assert all(reference.repository != catalog.NODE for reference in catalog.references())


def test_filler_packs_like_what_upstream_has_in_its_layers() -> None:
    text = images.filler("quay.io", 2)
    assert len(text) == 2 * 1024**2
    assert 2.6 < len(text) / len(gzip.compress(text, compresslevel=6)) < 3.0


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    def blobs(name: str) -> set[str]:
        made = layout.Layout(tmp_path / name)
        images.layer(made, images.packed({"/etc/stand-in": b"x"}, {"/bin/sh": images.PROGRAM}))
        return {path.name for path in made.folder.rglob("*") if path.is_file()}

    assert len(blobs("first")) == 1
    assert blobs("first") == blobs("second")


def test_the_node_has_every_program_that_its_recipe_names() -> None:
    names = [tool.name for tool in programs.PROGRAMS]
    assert len(names) == len(set(names))
    assert not set(names) & set(programs.SHARED)
    assert set(programs.SHARED) <= {tool.name for tool in build.tools()}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "Docker did not start:\n  failed to mount overlay: operation not permitted\n  bye",
            "failed to mount overlay: operation not permitted",
        ),
        ("Docker did not start:\n  no space left on device", ""),
        ("", ""),
    ],
)
def test_only_what_the_machine_forbids_is_a_reason_to_do_without(said: str, reason: str) -> None:
    def begin() -> None:
        if said:
            raise build.BuildError(said)

    assert engine.forbidden(begin) == reason


# All but CAP_SYS_RESOURCE, which is number 24.
BOUNDING = f"Name:\tpython3\nCapBnd:\t{(1 << 41) - 1 & ~(1 << 24):016x}\n"


def test_what_root_lacks_is_struck_from_what_a_container_asks_for() -> None:
    lacking = capped.missing(BOUNDING)
    assert lacking == {"CAP_SYS_RESOURCE"}
    asked = {"bounding": ["CAP_CHOWN", "CAP_SYS_RESOURCE"], "ambient": []}
    kept = {"bounding": ["CAP_CHOWN"], "ambient": []}
    process = {"args": ["sleep"], "capabilities": asked}
    wanted = {"args": ["sleep"], "capabilities": kept}
    assert capped.without(process, lacking) == wanted
    container = {"process": process, "mounts": []}
    assert capped.without(container, lacking) == {"process": wanted, "mounts": []}


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        ("--root /run create --bundle /b --pid-file /b/pid name", "/b/config.json"),
        ("run -b=/b name", "/b/config.json"),
        ("--log /l exec --process /tmp/p --detach name", "/tmp/p"),
        ("create name", "config.json"),
        ("--root /run delete name", None),
    ],
)
def test_the_file_with_the_capabilities_is_found_in_a_call(
    arguments: str, file: str | None
) -> None:
    assert capped.requested(arguments.split()) == (Path(file) if file else None)


@pytest.mark.parametrize(
    "tool",
    [tool for tool in modules.PROGRAMS if isinstance(tool, build.GoTool)],
    ids=lambda tool: tool.name,
)
def test_a_real_program_is_of_the_version_that_it_is_said_to_be(tool: build.GoTool) -> None:
    required = (build.HERE / tool.folder / "go.mod").read_text()
    found = re.findall(r"^(?:require |\t)(\S+/\S+) (v\S+)$", required, re.MULTILINE)
    (version,) = (version for name, version in found if f"{tool.package}/".startswith(f"{name}/"))
    assert version == f"v{tool.version}"


def test_every_real_program_has_an_image() -> None:
    there = [role.module for role in catalog.ROLES.values() if role.module]
    wanted = {name for one in there for name in (one.program, *one.beside.values())}
    # One is put into nodes (e2e/enforcer.py), the other one is run by a test (assets/test_dex.py).
    assert {*wanted, "kube-router", "dex"} == {tool.name for tool in modules.PROGRAMS}


def test_real_programs_are_asked_for_by_name_and_kept_beside_the_stand_ins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(asked: str) -> tuple[Path, Path]:
        monkeypatch.setenv(modules.SWITCH, asked)
        return images.made().folder, bundle.folder("minimal")

    found = [made(asked) for asked in ("", "nats-server", "nats-server, argo-events", "all")]
    assert len({layout for layout, _ in found[:3]}) == 3
    assert len({layout.name.split("-")[0] for layout, _ in found}) == 2
    assert len({folder for _, folder in found}) == 2
    assert {tool.name for tool in modules.chosen()} == {tool.name for tool in modules.PROGRAMS}
    monkeypatch.setenv(modules.SWITCH, "velero-plugin-for-aws")
    assert [tool.name for tool in modules.chosen()] == ["velero-plugin-for-aws", "cp-plugin"]


def test_who_asks_for_a_program_that_there_is_not_is_told_which_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(modules.SWITCH, "nats-server,natz")
    with pytest.raises(build.BuildError, match=r"CTO_LAB_REAL names natz; there are .*nats-server"):
        modules.chosen()
