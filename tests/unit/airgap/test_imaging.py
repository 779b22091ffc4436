"""A bundle becomes layers of an image, and the image one file."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cto.cli.root import cli
from cto.errors import IntegrityError
from cto_airgap.image import TarEntry, TarLayer, write_image
from cto_airgap.oci import OCI_INDEX, digest_of, to_bytes
from fakes.archives import Change, program
from unit.airgap.world import World, files_of

TIME = 1767323045
NAME = "cto:1-minimal"


@pytest.fixture
def bundle(world: World) -> Path:
    world.build()
    return world.bundle


def files(path: Path) -> dict[str, bytes]:
    found = {}
    with tarfile.open(path) as tar:
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            found[member.name] = content.read()
            assert (member.mtime, member.uid, member.mode) == (TIME, 0, 0o644)
    return found


def image_of(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, bytes]]:
    """Return manifest, config and all files."""
    found = files(path)
    (entry,) = json.loads(found["index.json"])["manifests"]
    manifest = json.loads(found[f"blobs/{entry['digest'].replace(':', '/')}"])
    config = json.loads(found[f"blobs/{manifest['config']['digest'].replace(':', '/')}"])
    return manifest, config, found


def test_the_bundle_is_in_the_image_file_by_file(bundle: Path, tmp_path: Path) -> None:
    made = write_image(program(tmp_path), bundle, tmp_path / "out.tar", NAME)
    manifest, config, found = image_of(tmp_path / "out.tar")
    assert made.layers == 1
    assert made.size == (tmp_path / "out.tar").stat().st_size
    layer = manifest["layers"][-1]
    data = found[f"blobs/{layer['digest'].replace(':', '/')}"]
    held, folders = {}, []
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        for member in tar:
            if member.isdir():
                folders.append((member.name, member.mode))
                continue
            content = tar.extractfile(member)
            assert content is not None
            held[member.name] = content.read()
            assert (member.mtime, member.mode) == (TIME, 0o644)
    assert held == {f"opt/cto/bundle/{n}": d for n, d in files_of(bundle).items()}
    assert folders[:3] == [("opt", 0o755), ("opt/cto", 0o755), ("opt/cto/bundle", 0o755)]
    assert config["rootfs"]["diff_ids"][-1] == layer["digest"]


def test_the_program_stays_as_it_was(bundle: Path, tmp_path: Path) -> None:
    made = write_image(program(tmp_path), bundle, tmp_path / "out.tar", NAME)
    manifest, config, found = image_of(tmp_path / "out.tar")
    assert digest_of(to_bytes(manifest)) == made.digest
    assert manifest["layers"][0]["mediaType"].endswith("gzip")
    assert config["config"] == {
        "Env": ["A=b", "CTO_BUNDLE=/opt/cto/bundle", f"CTO_IMAGE_NAME={NAME}"],
        "Entrypoint": ["cto"],
        "Labels": {"cto.dev/bundle": made.bundle},
    }
    assert [one["created_by"] for one in config["history"]] == [
        "COPY",
        f"cto bundle image: {made.bundle}",
    ]
    names = {name for name in found if name.startswith("blobs/")}
    wanted = [manifest["config"], *manifest["layers"], {"digest": made.digest}]
    assert names == {f"blobs/{one['digest'].replace(':', '/')}" for one in wanted}
    for name in names:
        assert digest_of(found[name]) == name.removeprefix("blobs/").replace("/", ":")


def test_docker_is_told_the_name_in_both_of_its_languages(bundle: Path, tmp_path: Path) -> None:
    """Docker before 25 reads manifest.json, containerd the annotations of the index."""
    write_image(program(tmp_path), bundle, tmp_path / "out.tar", NAME)
    manifest, _, found = image_of(tmp_path / "out.tar")
    (entry,) = json.loads(found["manifest.json"])
    assert entry["RepoTags"] == [NAME]
    layers = [f"blobs/{one['digest'].replace(':', '/')}" for one in manifest["layers"]]
    assert entry["Layers"] == layers
    assert entry["Config"] in found
    (said,) = json.loads(found["index.json"])["manifests"]
    assert said["annotations"]["io.containerd.image.name"] == "docker.io/library/cto:1-minimal"


def test_the_same_parts_give_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    first = write_image(program(tmp_path), bundle, tmp_path / "one.tar", NAME)
    for path in bundle.rglob("*"):
        path.touch()
    second = write_image(program(tmp_path), bundle, tmp_path / "two.tar", NAME)
    assert first == second
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_big_blobs_are_layers_by_themselves(world: World, tmp_path: Path) -> None:
    """The next image has most of them, too, and who has one of them need not load it again."""
    world.build()
    layout = world.bundle / "blobs" / "sha256"
    big = layout / ("f" * 64)
    big.write_bytes(bytes(32 << 20))
    made = write_image(program(tmp_path), world.bundle, tmp_path / "out.tar", NAME)
    manifest, config, _ = image_of(tmp_path / "out.tar")
    assert made.layers == 2
    sizes = [one["size"] for one in manifest["layers"][1:]]
    assert sizes[0] > 32 << 20 > sizes[1]
    assert len(config["rootfs"]["diff_ids"]) == len(config["history"]) == 3


def _two(parts: dict[str, Any]) -> None:
    parts["index"] = {"manifests": []}


def _index_of_indexes(parts: dict[str, Any]) -> None:
    entry = {"mediaType": OCI_INDEX, "digest": "sha256:" + "0" * 64, "size": 1}
    parts["index"] = {"manifests": [entry]}


def _no_index(parts: dict[str, Any]) -> None:
    parts["files"]["index.json"] = None


def _cut(parts: dict[str, Any]) -> None:
    parts["layer"] = parts["layer"][:-1]


@pytest.mark.parametrize("change", [_two, _index_of_indexes, _no_index, _cut])
def test_what_is_no_image_is_refused(bundle: Path, tmp_path: Path, change: Change) -> None:
    with pytest.raises(IntegrityError) as caught:
        write_image(program(tmp_path, change), bundle, tmp_path / "out.tar", NAME)
    assert caught.value.code == "CTO-1811"
    assert not (tmp_path / "out.tar").exists()


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError) as caught:
        write_image(program(tmp_path), tmp_path / "none", tmp_path / "out.tar", NAME)
    assert caught.value.code == "CTO-1811"


def test_a_file_that_becomes_shorter_is_not_written_as_if_it_were_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3 << 20))
    pieces = TarLayer(entries=(TarEntry("file", path),), time=TIME).pieces()
    next(pieces)
    path.write_bytes(b"")
    with pytest.raises(OSError, match="shorter"):
        list(pieces)


def run(bundle: Path, out: Path, name: str = NAME, *, made: Path) -> Result:
    argv = ["bundle", "image", str(bundle), "--program", str(made), "--out", str(out)]
    return CliRunner().invoke(cli, [*argv, "--name", name], prog_name="cto")


def test_on_the_command_line(bundle: Path, tmp_path: Path) -> None:
    made = program(tmp_path)
    done = run(bundle, tmp_path / "dist" / "out.tar", made=made)
    assert done.exit_code == 0, done.output
    again = write_image(made, bundle, tmp_path / "two.tar", NAME)
    head, digest, rest = done.stdout.splitlines()
    assert head.startswith(f"{tmp_path / 'dist' / 'out.tar'}: {NAME}, ")
    assert (digest, rest) == (again.digest, f"with the bundle {again.bundle} in 1 layer")
    assert [path.name for path in (tmp_path / "dist").iterdir()] == ["out.tar"]


@pytest.mark.parametrize("name", ["NOT A NAME", f"cto@sha256:{'0' * 64}"])
def test_a_name_that_is_none_is_an_error_of_usage(bundle: Path, tmp_path: Path, name: str) -> None:
    assert run(bundle, tmp_path / "out.tar", name, made=program(tmp_path)).exit_code == 2


def test_a_file_that_cannot_be_written_is_named(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run(bundle, tmp_path / "file" / "out.tar", made=program(tmp_path))
    assert done.exit_code == 4
    assert "CTO-1485" in done.stderr
