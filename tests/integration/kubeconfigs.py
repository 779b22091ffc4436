"""The lab's kubeconfig as users have theirs, and what a command says that fails."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from cto.objects import dump_yaml, load_yaml

from .conftest import Lab


class Kubeconfig:
    """The cluster's kubeconfig, to be changed."""

    def __init__(self, lab: Lab, file: Path) -> None:
        self.file = file
        self._document: dict[str, Any] = load_yaml((lab.folder / "kubeconfig").read_text())

    def with_contexts(self, *names: str) -> Path:
        document = copy.deepcopy(self._document)
        inside = document["contexts"][0]["context"]
        document["contexts"] = [{"name": name, "context": inside} for name in names]
        return self._write({**document, "current-context": names[0] if names else ""})

    def with_server(self, server: str) -> Path:
        document = copy.deepcopy(self._document)
        document["clusters"][0]["cluster"]["server"] = server
        return self._write(document)

    def with_token(self, user: str, token: str, **settings: Any) -> Path:
        return self._with_user(user, {"token": token, **settings})

    def as_administrator(self, **settings: Any) -> Path:
        """Keep the certificate of the cluster's administrator."""
        return self._with_user("admin", {**self._document["users"][0]["user"], **settings})

    def _with_user(self, name: str, user: dict[str, Any]) -> Path:
        document = copy.deepcopy(self._document)
        document["users"] = [{"name": name, "user": user}]
        document["contexts"][0]["context"]["user"] = name
        return self._write(document)

    def _write(self, document: dict[str, Any]) -> Path:
        self.file.write_text(dump_yaml(document))
        return self.file


def failure(lab: Lab, *arguments: str, code: int) -> dict[str, Any]:
    """Run a command that fails; return what its JSON says under `error`."""
    done = lab.run(*arguments, "--output", "json", code=code)
    document = json.loads(done.stdout)
    assert document["exit_code"] == code
    error: dict[str, Any] = document["error"]
    # People are told the same.
    assert error["code"] in done.stderr
    assert error["message"] in done.stderr
    return error
