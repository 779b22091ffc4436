"""Loads configurations from texts, the way the command line does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cto import assets
from cto.config.load import Installed, Loaded, load
from cto.errors import ConfigError

COMPONENTS = ("argo-events", "argocd", "controller", "grafana")


class Loader:
    """Writes texts to files of a folder and loads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.profiles = assets.root() / "profiles"
        self.names: Callable[[Sequence[str]], Sequence[str]] = lambda folders: [
            *COMPONENTS,
            *(Path(one).name for one in folders),
        ]

    def file(self, text: str, name: str = "cto.yaml") -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    def __call__(
        self,
        *texts: str,
        flags: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        files: Sequence[str] = (),
        stdin: str = "",
        installed: Installed | None = None,
    ) -> Loaded:
        names = [self.file(text, f"{index}.yaml") for index, text in enumerate(texts)]
        return load(
            flags=flags or {},
            env=env or {},
            files=[*names, *files],
            profiles=self.profiles,
            component_names=self.names,
            stdin=lambda: stdin,
            installed=installed,
        )

    def lines(self, *texts: str, **given: Any) -> list[str]:
        """Return the lines of the error, without the folder's name."""
        return self.failure(*texts, **given).details.replace(f"{self.folder}/", "").split("\n")

    def failure(self, *texts: str, **given: Any) -> ConfigError:
        with pytest.raises(ConfigError) as caught:
            self(*texts, **given)
        return caught.value
