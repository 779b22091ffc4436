"""What the docker program is told by its own configuration file, and tells every new container."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cto.storage import home, is_there

if TYPE_CHECKING:
    from cto.ports import Completed, Runner

# https://docs.docker.com/engine/cli/proxy/: of these, Go's programs in a container read three.
_KEYS = {"httpProxy": "HTTP_PROXY", "httpsProxy": "HTTPS_PROXY", "noProxy": "NO_PROXY"}


def folder_of(environ: Mapping[str, str]) -> Path:
    """Return the folder of Docker's configuration."""
    named = environ.get("DOCKER_CONFIG")
    return Path(named) if named else home(environ) / ".docker"


def has_docker(env: Mapping[str, str], socket: Path) -> bool:
    """Tell whether there is a Docker, or somebody says so. It may well not answer."""
    from cto import goyaml  # noqa: PLC0415 - `--help` need not wait for it

    if env.get("DOCKER_HOST") or env.get("DOCKER_CONTEXT") or is_there(socket):
        return True
    try:
        config = goyaml.load_json((folder_of(env) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    # Docker Desktop and rootless Docker name their socket in a context.
    return isinstance(config, dict) and config.get("currentContext", "default") != "default"


def proxies(folder: Path, endpoint: str) -> Mapping[str, str]:
    """Return the variables that docker puts into containers that it makes, unless told others.

    A file that cannot be read is none: docker itself only warns of it.

    Args:
        folder: Of the configuration.
        endpoint: The daemon's address, which may have an entry of its own.
    """
    from cto import goyaml  # noqa: PLC0415 - `--help` need not wait for it

    try:
        text = (folder / "config.json").read_text(encoding="utf-8")
        found = goyaml.load_json(text)["proxies"]
        entry = found[endpoint] if endpoint in found else found["default"]
        return {name: str(entry[key]) for key, name in _KEYS.items() if entry.get(key)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def as_docker_reads(text: str) -> str:
    """Return the text of a configuration with what Go's JSON makes of `null`: nothing was said.

    A host with `null` for its log-in has an empty one, which is with the helper of all; one with
    `null` for its helper has none. An empty file says nothing. What is no JSON stays as it is.
    """
    from cto import goyaml  # noqa: PLC0415 - as above

    try:
        body = goyaml.load_json(text.strip() or "{}")
    except json.JSONDecodeError:
        return text
    except ValueError:
        # Whoever reads it next would end over its depth.
        return ""
    if body is None:
        return "{}"
    if not isinstance(body, dict):
        return text
    known = {key: value for key, value in body.items() if value is not None}
    for key, nothing in (("auths", {}), ("credHelpers", "")):
        if isinstance(entries := known.get(key), dict):
            known[key] = {host: _said(entry, nothing) for host, entry in entries.items()}
    return json.dumps(known)


def _said(entry: Any, nothing: Any) -> Any:
    if isinstance(entry, dict):
        return {key: value for key, value in entry.items() if value is not None}
    return nothing if entry is None else entry


@dataclass(frozen=True)
class HelperRunner:
    """A Runner of credential helpers: what they answer is secret, and says nothing by `null`.

    Attributes:
        runner: Starts them.
        notice: Told what is waited for.
        found: Gets every secret that is answered, before anybody else does.
    """

    runner: Runner
    notice: Callable[[str], None]
    found: Callable[[Iterable[str]], None]

    def run(self, argv: Sequence[str], **settings: Any) -> Completed:
        """See `ports.Runner`."""
        from cto.adapters.process import told_if_slow  # noqa: PLC0415 - `--help` need not wait

        text = f"waiting for {argv[0]}, which has the log-in for {settings.get('stdin')}"
        with told_if_slow(self.notice, text):
            done = self.runner.run(argv, **settings)
        return done if done.returncode else replace(done, stdout=self._answer(done.stdout))

    def interrupt(self) -> None:
        """See `ports.Runner`."""
        self.runner.interrupt()

    def stop(self, *, at_once: bool = False) -> None:
        """See `ports.Runner`."""
        self.runner.stop(at_once=at_once)

    def _answer(self, text: str) -> str:
        from cto import goyaml  # noqa: PLC0415 - as above

        try:
            answer = goyaml.load_json(text)
        except ValueError:
            # It may well be the secret itself.
            return ""
        if not isinstance(answer, dict):
            return ""
        said = {key: value for key, value in answer.items() if value is not None}
        told = {"Username": "", "Secret": "", **said}
        self.found([str(told["Secret"])])
        return json.dumps(told)
