"""An image that is kept in the lab's cache under the hash of its recipe, and loaded into Docker."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.dockerd import engine
from lab.nodeimage import archive
from lab.tools import build

LABEL = "dev.cto.lab.recipe"


@dataclass(frozen=True)
class CachedImage:
    """One image.

    Attributes:
        name: NAME:TAG in Docker.
        folder: Where it is kept, and made; nothing else is in it but what is kept as well.
        recipe: Hash of what it is made of; Docker has it as a label.
    """

    name: str
    folder: Path
    recipe: str

    @property
    def path(self) -> Path:
        """An OCI layout, which Docker loads in a few seconds."""
        return self.folder / f"image-{self.recipe}"

    @property
    def is_cached(self) -> bool:
        return (self.path / "index.json").exists()

    @property
    def is_loaded(self) -> bool:
        """Whether the image that Docker has under this name is of this recipe."""
        label = f'{{{{index .Config.Labels "{LABEL}"}}}}'
        return engine.ask("image", "inspect", "--format", label, self.name) == self.recipe

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Make a folder that goes whatever happens, also the one that a killed run left."""
        for left in self.folder.glob(".work-*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".work-") as name:
            yield Path(name)

    def keep(self, work: Path, tree: Path, config: dict[str, Any]) -> None:
        """Pack a tree as the image, and drop the images of older recipes."""
        labelled = {**config, "Labels": {LABEL: self.recipe}}
        made = work / "image"
        archive.write(made, f"docker.io/{self.name}", tree, labelled, is_big=True)
        made.replace(self.path)
        for old in self.folder.glob("image-*"):
            if old != self.path:
                shutil.rmtree(old)

    def load(self) -> None:
        """Make Docker have the image.

        Raises:
            BuildError: Docker refuses it.
        """
        docker = engine.client()
        if docker is None or self.is_loaded:
            return
        archive.feed(self.path, [docker, "load", "--quiet"])
        if not self.is_loaded:
            text = f"Docker took {self.path}, but has no {self.name} of it"
            raise build.BuildError(text)
