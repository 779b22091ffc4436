"""Images of one layer, made of a tree, in the form that both `docker load` and containerd take."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from lab.images import layout
from lab.tools import build

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write(
    out: Path, name: str, tree: Path, config: dict[str, Any], *, is_big: bool = False
) -> None:
    """Make a layout of an image; its `index.json` is there when it is whole.

    Args:
        out: A new folder.
        name: NAME:TAG of the image.
        tree: What the layer holds.
        config: Members of the image's configuration, e.g. `Entrypoint`.
        is_big: Keep owners and attributes, and compress. Else all belongs to root.
    """
    out.mkdir(parents=True)
    layer = out / "layer"
    keep = ["--xattrs"] if is_big else ["--owner=0", "--group=0"]
    tar = ["tar", "-C", str(tree), "--sort=name", "--mtime=@0", "--numeric-owner", *keep]
    build.run_quietly([*tar, "-cf", str(layer), "."])
    diff_id = f"sha256:{build.sha256_of(layer)}"
    if is_big:
        build.run_quietly(["gzip", "-n", str(layer)])
        layer = layer.with_suffix(".gz")
    made = layout.Layout(out)
    described = made.take(layer, layout.GZIP_LAYER if is_big else layout.LAYER)
    members = {"Env": [PATH], "WorkingDir": "/", **config}
    whole = layout.config_of(build.machine(), [diff_id], members)
    _describe_for_older(made, name, layout.digest_of(layout.as_json(whole)), described["digest"])
    notes = {"io.containerd.image.name": name}
    made.finish([made.image(whole, [described], annotations=notes)])


def _describe_for_older(made: layout.Layout, name: str, config: str, layer: str) -> None:
    """Add the file that Docker before 25 looks for."""
    files = [str(made.path(digest).relative_to(made.folder)) for digest in (config, layer)]
    manifest = [{"Config": files[0], "RepoTags": [name], "Layers": files[1:]}]
    (made.folder / "manifest.json").write_bytes(layout.as_json(manifest))


def feed(folder: Path, argv: list[str]) -> None:
    """Give a layout as an archive to a program's standard input.

    Raises:
        BuildError: The program refuses it.
    """
    pack = build.bound(["tar", "-C", str(folder), "-cf", "-", "."])
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as tar:
        done = subprocess.run(
            build.bound(argv), stdin=tar.stdout, capture_output=True, text=True, check=False
        )
    if done.returncode or tar.returncode:
        text = f"{' '.join(argv)} failed ({done.returncode}): {done.stderr.strip()}"
        raise build.BuildError(text)
