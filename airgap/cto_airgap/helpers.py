"""Programs that keep log-ins for docker: `docker-credential-NAME get`.

https://github.com/docker/docker-credential-helpers#development says what they are told and answer.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from threading import Lock

from cto import goyaml
from cto.errors import CtoError, ToolError
from cto.ports import Completed, Runner

PREFIX = "docker-credential-"
# A helper may ask its user something, where nobody sees it.
_ANSWER_S = 30.0
_NOT_FOUND = "credentials not found in native keychain"
_LONGEST = 200


class Helpers:
    """Asks helpers. Each is asked once for each address, also by several threads."""

    def __init__(self, runner: Runner, environ: Mapping[str, str]) -> None:
        self._runner = runner
        self._environ = environ
        self._lock = Lock()
        self._known: dict[tuple[str, str], tuple[str, str] | ToolError | None] = {}

    def get(self, name: str, address: str, *, origin: str, needed: bool) -> tuple[str, str] | None:
        """Return user and secret; None if the helper has none.

        Args:
            name: Of the helper, without what all are called.
            address: Of the registry, as Docker calls it.
            origin: What names the helper.
            needed: Whether there is a log-in, so that it is an error not to get it.

        Raises:
            ToolError: CTO-1560, it cannot be asked, and that is needed.
        """
        with self._lock:
            if (name, address) not in self._known:
                try:
                    self._known[name, address] = self._ask(name, address, origin)
                except ToolError as error:
                    self._known[name, address] = error
            answer = self._known[name, address]
        if isinstance(answer, ToolError):
            if needed:
                raise answer
            return None
        return answer

    def _ask(self, name: str, address: str, origin: str) -> tuple[str, str] | None:
        program = f"{PREFIX}{name}"
        if "/" in name or not shutil.which(program, path=self._environ.get("PATH")):
            raise _failed(program, address, origin, "which is not on PATH here")
        try:
            done = self._runner.run(
                (program, "get"), timeout_s=_ANSWER_S, stdin=address, check=False
            )
        except CtoError as error:
            raise _failed(program, address, origin, "which fails", error.message) from None
        if done.returncode:
            said = _words(done)
            if said == _NOT_FOUND:
                return None
            raise _failed(program, address, origin, f"which ends with {done.returncode}", said)
        return _read(done.stdout, program, address, origin)


def _read(text: str, program: str, address: str, origin: str) -> tuple[str, str] | None:
    try:
        answer = goyaml.load_json(text)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        # Not its text: that may well be the secret.
        raise _failed(program, address, origin, "which answers something else") from None
    return (user, secret) if secret else None


def _words(done: Completed) -> str:
    """Return why a helper gave nothing: it says so on stdout, where else the secret would be."""
    words = done.stdout.strip() or done.stderr.strip()
    return "" if words.startswith("{") else words.split("\n")[0][:_LONGEST]


def _failed(program: str, address: str, origin: str, why: str, details: str = "") -> ToolError:
    text = f"the log-in for {address} is with {program}, {why} ({origin})"
    hint = (
        f"Run cto where {program} works (outside of a container), or give the log-in itself: "
        "registry.username and registry.password, or a configuration without a helper, "
        f"`DOCKER_CONFIG=DIR docker login {address}`, and DOCKER_CONFIG=DIR for cto."
    )
    return ToolError("CTO-1560", text, details=details, hint=hint)
