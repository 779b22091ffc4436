"""Connections to registries, and who we are there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag

from cto import __version__
from cto.adapters.docker import HelperRunner, as_docker_reads
from cto.cli.registries import LOGINS, login_files
from cto.ports import Clock, Runner
from cto.redaction import Secrets
from cto_airgap.logins import (
    GivenLogins,
    Helpers,
    LoginFile,
    Logins,
    RegistryLogin,
    StoredLogins,
    parse_logins,
    read_logins,
)
from cto_airgap.session import Session
from cto_airgap.web import Transport, WebTransport


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """Opens connections to registries.

    Attributes:
        env: The environment: it says where log-ins are.
        runner: Starts credential helpers.
        secrets: Gets every log-in: they are shown nowhere from then on.
        notice: Told what is waited for.
        open_web: Takes certificates to trust besides the usual ones.
    """

    env: Mapping[str, str]
    clock: Clock
    runner: Runner
    secrets: Secrets
    notice: Callable[[str], None]
    open_web: Callable[[Path | None], AbstractContextManager[Transport]]

    @contextmanager
    def open(
        self, ca_file: Path | None, logins: Mapping[str, RegistryLogin], stop: Flag
    ) -> Iterator[Session]:
        """Open connections; log-ins that are given come before those that `docker login` keeps."""
        with self.open_web(ca_file) as transport:
            yield Session(transport, self.logins(logins), self.clock, stop)

    def logins(self, given: Mapping[str, RegistryLogin]) -> Logins:
        """Return who knows whom to be at registries."""
        files = [_logins(file) for file in login_files(self.env)]
        if text := self.env.get(LOGINS):
            files.insert(0, parse_logins(as_docker_reads(text), LOGINS))
        for login in (*given.values(), *(one for f in files for one in f.auths.values())):
            self.secrets.add(login.secrets)
        asking = HelperRunner(self.runner, self.notice, self.secrets.add)
        return GivenLogins(given, StoredLogins(files, Helpers(asking, self.env)))


def web(
    env: Mapping[str, str], log: Callable[[str], None], ca_file: Path | None
) -> AbstractContextManager[Transport]:
    """Return what reaches registries."""
    return WebTransport(ca_file=ca_file, user_agent=f"cto/{__version__}", environ=env, log=log)


def _logins(path: Path) -> LoginFile:
    """Return the log-ins of docker's or podman's file, as docker reads it."""
    try:
        return parse_logins(as_docker_reads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, UnicodeError):
        # It says what is wrong, if it is wrong that there is none.
        return read_logins(path)
