"""Charts as archives that are the same everywhere."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from pathlib import Path

from cto.adapters.helm.charts import pack
from fakes.disk import no_room_after


def make_chart(folder: Path) -> Path:
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text("name: c\nversion: 1.0.0\n")
    (folder / "templates" / "a.yaml").write_bytes(b"x" * 200_000)
    (folder / ".helmignore").write_text("*.tmp")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("")
    return folder


def test_an_archive_holds_the_files_under_the_charts_name(tmp_path: Path) -> None:
    path, digest = pack(make_chart(tmp_path / "folder"), "c", tmp_path / "cache")
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    with tarfile.open(path, "r:gz") as archive:
        assert archive.getnames() == ["c/Chart.yaml", "c/templates/a.yaml"]
        file = archive.extractfile("c/templates/a.yaml")
        assert file
        assert file.read() == b"x" * 200_000
    assert gzip.decompress(path.read_bytes())


def test_times_owners_and_modes_do_not_matter(tmp_path: Path) -> None:
    one, two = (make_chart(tmp_path / name) for name in ("one", "two"))
    (two / "Chart.yaml").chmod(0o600)
    first, second = (pack(folder, "c", tmp_path / "cache") for folder in (one, two))
    assert first == second


def test_content_and_names_do(tmp_path: Path) -> None:
    folder = make_chart(tmp_path / "one")
    before = pack(folder, "c", tmp_path / "cache")
    (folder / "Chart.yaml").write_text("name: c\nversion: 1.0.1\n")
    changed = pack(folder, "c", tmp_path / "cache")
    (folder / "Chart.yaml").rename(folder / "chart.yaml")
    renamed = pack(folder, "c", tmp_path / "cache")
    assert len({before, changed, renamed}) == 3


def test_an_archive_that_is_there_is_kept_and_a_torn_one_replaced(tmp_path: Path) -> None:
    folder = make_chart(tmp_path / "one")
    path, _ = pack(folder, "c", tmp_path / "cache")
    before = path.stat().st_mtime_ns
    assert pack(folder, "c", tmp_path / "cache")[0].stat().st_mtime_ns == before
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    pack(folder, "c", tmp_path / "cache")
    assert path.read_bytes() == whole
    assert list(path.parent.iterdir()) == [path]


def test_without_a_place_for_the_archive_the_folder_is_the_chart(tmp_path: Path) -> None:
    """The digest is the same: who only plans has nothing to write to."""
    folder = make_chart(tmp_path / "one")
    _, digest = pack(folder, "c", tmp_path / "cache")
    (tmp_path / "file").touch()
    assert pack(folder, "c", tmp_path / "file" / "cache") == (folder, digest)
    with no_room_after(1000):
        assert pack(folder, "c", tmp_path / "full") == (folder, digest)
    assert list((tmp_path / "full").iterdir()) == []
