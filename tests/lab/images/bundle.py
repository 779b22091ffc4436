"""A lock and bundles of the lab's images, made by the product itself from the lab's registry."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from lab.images import build as images
from lab.images import catalog, layout, modules, own, serving
from lab.nodeimage import build as node
from lab.tools import build

# What decides a bundle, beside the images of others: the controller's image has the whole product.
_SOURCES = (
    "Dockerfile",
    "agent.mk",
    "airgap",
    "bundle",
    "entrypoint",
    "image.mk",
    "profiles",
    "requirements.lock",
    "templates",
    "tests/lab/charts",
)

# The lab's registry is on this machine, whatever lies between it and others.
NEAR = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

SECONDS, KEPT_MIB = 150, 900


def home() -> Path:
    """Say where the bundles are; those with more real programs are beside the others."""
    return build.cache_dir() / ("bundles-real" if modules.chosen() else "bundles")


def folder(profile: str) -> Path:
    """Say where the bundle of a profile is."""
    return home() / profile


def lock() -> Path:
    return home() / "lock.yaml"


def made_from() -> str:
    """Hash what the bundles are made from."""
    total = hashlib.sha256(f"{images.recipe()} {node.recipe()}".encode())
    for name in _SOURCES:
        source = catalog.ROOT / name
        for path in sorted([source, *source.rglob("*")]):
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(f"{path.relative_to(catalog.ROOT)} {build.sha256_of(path)}\n".encode())
    return total.hexdigest()


def charts() -> Path:
    return build.cache_dir() / "charts"


def is_there(profile: str) -> bool:
    return _noted().get(profile) == made_from() and folder(profile).is_dir() and lock().exists()


def _notes() -> Path:
    return home() / "made-from.json"


def _noted() -> dict[str, str]:
    try:
        known = json.loads(_notes().read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def make(profile: str, cto: Path) -> None:
    """Push the images to a registry of the lab's, lock their digests, build a bundle of them.

    Args:
        profile: Whose bundle.
        cto: The product.

    Raises:
        BuildError: One of the steps failed.
    """
    # Both kinds of bundles have the same images of ours.
    with build.alone(build.cache_dir() / "bundles"):
        if is_there(profile):
            return
        home().mkdir(exist_ok=True)
        wanted = made_from()
        with serving.registry() as host:
            push(host)
            reach = list(mirrors(host))
            if _noted().get("lock") != wanted or not lock().exists():
                tools = ["--tools", str(build.cache_dir() / "tools")]
                _run(cto, ["lock", "--update", "--lock", str(lock()), *tools, *reach])
                _note({"lock": wanted})
            own.make()
            into = ["--profile", profile, "--platform", f"linux/{build.machine()}"]
            into += ["--lock", str(lock()), "--out", str(folder(profile))]
            _run(cto, ["build", *into, *own.options(), *reach])
        _note({**_noted(), profile: wanted})


def _note(known: dict[str, str]) -> None:
    part = _notes().with_suffix(".tmp")
    part.write_text(json.dumps(known, indent=2) + "\n")
    part.replace(_notes())


def push(host: str) -> None:
    """Bring to the registry what it lacks of all images, kind's node among them."""
    made = images.made()
    pusher = serving.Pusher(host, made)
    for descriptor in made.images():
        name = descriptor["annotations"][images.REFERENCE]
        pusher.push(descriptor, catalog.Reference.parse(name))
    whole = layout.Layout(node.image().path)
    pusher = serving.Pusher(host, whole)
    for reference in catalog.nodes(build.KUBERNETES):
        pusher.push(whole.images()[0], reference)


def mirrors(host: str) -> Iterator[str]:
    """Yield the options that make the product ask the lab's registry for every host."""
    wanted = [*catalog.references(), *catalog.nodes(build.KUBERNETES)]
    for upstream in sorted({reference.host for reference in wanted}):
        yield "--mirror"
        yield f"{upstream}=http://{host}/{upstream}"


def _run(cto: Path, argv: list[str]) -> None:
    env = {**os.environ, "CTO_CACHE_DIR": str(home() / "cto"), **NEAR}
    build.run_quietly([str(cto), "bundle", *argv, "--charts", str(charts())], env)
