"""What a kubeconfig says about one context, if it says it with certificates or a token alone.

The loader of the `kubernetes` package knows every way to log in, and takes a quarter of a second
to be imported: a quarter of what `cto status` may take. Clusters of one's own (kind, kwok, k3s,
kubeadm) need nothing of it.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from cto import goyaml
from cto.adapters import scratch
from cto.adapters.kubernetes.identity import Identity, is_encrypted
from cto.adapters.kubernetes.kubeconfig import parts, read
from cto.adapters.kubernetes.kubeconfig.fields import CLUSTER, USER, local
from cto.adapters.process import SLOW_S, told_if_slow
from cto.errors import ApiError, CtoError, ToolError, WaitError
from cto.network import trust
from cto.ports import Access, Completed, Runner

# What only the loader of the `kubernetes` package can do.
_LOADED = {"proxy-url", "insecure-skip-tls-verify"}

# What the loader knows of a user where no plugin is asked.
_ALWAYS = frozenset(
    f"client-{what}{data}" for what in ("certificate", "key") for data in ("", "-data")
)


@dataclass(frozen=True)
class Login:
    """Where the API server is, and how it knows us.

    Attributes:
        identity: As whom.
        tls: None if the connection is not encrypted.
        tls_name: The name that the server's certificate must have; '' for that of its address.
    """

    server: str
    identity: Identity
    tls: ssl.SSLContext | None
    tls_name: str = ""


def tls_context(ca_file: str | None, cert_file: str | None, key_file: str | None) -> ssl.SSLContext:
    """Return what verifies the server, and shows our certificate if there is one.

    Without an authority of its own the server is trusted if helm and kubectl trust it, which know
    nothing of CTO_CA_FILE.

    Raises:
        ConfigError: CTO-1360, a file or folder of the environment holds nothing to trust.
        UnusableError: The kubeconfig's certificates, or its key, are none.
    """
    if ca_file:
        with _told("certificate-authority"):
            context = trust.relaxed(ssl.create_default_context(cafile=ca_file))
    else:
        context = trust.system(os.environ)
    if cert_file:
        with _told("client-certificate with client-key"):
            # A key that is encrypted: helm cannot use it either, and nobody is asked for its word.
            context.load_cert_chain(cert_file, key_file, password=str)
    return context


class UnusableError(ValueError):
    """A certificate or key cannot be used; the text tells which, and why."""


@contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        # Of a TLS error the words alone: before them is a place in Python's source.
        why = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        text = f"{what}: {str(why).replace('_', ' ').lower()}"
        raise UnusableError(text) from None


def plain_login(access: Access, environ: Mapping[str, str] = os.environ) -> Login | None:
    """Return the login; None if it takes more, or something is wrong: the loader knows better."""
    if any(name.lower().endswith("_proxy") for name in environ):
        return None
    # What is wrong is told by the loader, in its words.
    with suppress(CtoError, OSError, AttributeError, KeyError, TypeError, ValueError):
        context, cluster, user = parts(read(access.kubeconfig), access.context)
        identity = Identity(
            context["user"], user, access.kubeconfig.parent, str(cluster.get("server") or "")
        )
        if identity.is_known and not any(cluster.get(key) for key in _LOADED):
            return _login(access.kubeconfig.parent, identity, cluster, user)
    return None


def for_loader(
    access: Access, programs: LoginPrograms
) -> tuple[Identity, Mapping[str, Any], LoginProgram | None]:
    """Return who logs in, a kubeconfig for the loader with that one context, and who was asked.

    The loader gets certificates, those of a log-in program too. How a token, a password and a name
    to act as go together it does not do as client-go does.

    Raises:
        ApiError: CTO-1602, the log-in program gives nothing.
    """
    context, cluster, user = parts(read(access.kubeconfig), access.context)
    base = access.kubeconfig.parent
    server = str(cluster.get("server") or "")
    identity = Identity(str(context.get("user") or ""), user, base, server)
    cluster, user = local(cluster, CLUSTER, base), local(user, USER, base)
    asked = None
    if user.get("exec") and not identity.is_known:
        asked = LoginProgram(identity.name, user["exec"], cluster, base, programs)
        user = {**user, **asked.credential().certificates}
    kept = {key: value for key, value in user.items() if key in _ALWAYS}
    entries = {"context": context, "cluster": cluster, "user": kept}
    names = {"context": access.context, **{key: context.get(key) for key in ("cluster", "user")}}
    document = {f"{key}s": [{"name": names[key], key: entries[key]}] for key in entries}
    return identity, document, asked


# log-in programs: https://kubernetes.io/docs/reference/access-authn-authz/authentication/


_LINES = 20


@dataclass(frozen=True)
class LoginPrograms:
    """How log-in programs are run.

    Attributes:
        runner: Starts them; they die with us.
        notice: Told what is waited for, and what they say to their user.
        found: Gets every secret that they answer, before anybody else does.
        timeout_s: After it one is given up: a person may have to log in in a browser meanwhile.
        slow_s: After it is told that it is waited for.
    """

    runner: Runner
    notice: Callable[[str], None] = lambda _: None
    found: Callable[[Iterable[str]], None] = lambda _: None
    timeout_s: float = 180.0
    slow_s: float = SLOW_S


@dataclass(frozen=True)
class Credential:
    """What a log-in program answered; '' for what it did not."""

    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    until: datetime | None = None

    @property
    def certificates(self) -> Mapping[str, str]:
        """As the fields of a kubeconfig's user."""
        pair = {"client-certificate-data": self.certificate, "client-key-data": self.key}
        return {
            name: base64.b64encode(text.encode()).decode() for name, text in pair.items() if text
        }


class LoginProgram:
    """The program that a kubeconfig's user logs in with. Safe to use from several threads.

    It is run without a terminal, as helm runs it.
    """

    def __init__(
        self,
        user: str,
        entry: Mapping[str, Any],
        cluster: Mapping[str, Any],
        base: Path,
        programs: LoginPrograms,
    ) -> None:
        self._user = user
        self._entry = entry
        self._cluster = cluster
        self._base = base
        self._programs = programs
        self._lock = Lock()
        self._known: Credential | None = None

    def credential(self) -> Credential:
        """Return what it answered last, as long as that is good.

        Raises:
            ApiError: CTO-1602, it cannot be had.
        """
        with self._lock:
            until = self._known.until if self._known else None
            if self._known is None or (until and until <= datetime.now(tz=UTC)):
                self._known = self._ask()
            return self._known

    def _ask(self) -> Credential:
        argv = (str(self._entry["command"]), *map(str, self._entry.get("args") or ()))
        name = Path(argv[0]).name
        programs = self._programs
        waiting = (
            f"waiting for {name}, the log-in program of the kubeconfig's user {self._user!r}, for "
            f"{programs.timeout_s:g} s at most"
        )
        try:
            with told_if_slow(programs.notice, waiting, after_s=programs.slow_s):
                done = programs.runner.run(
                    argv,
                    timeout_s=programs.timeout_s,
                    env=self._environment(),
                    cwd=self._base,
                    check=False,
                    on_line=lambda line: programs.notice(f"{name}: {line}"),
                )
            found = self._read(done)
        except (ToolError, WaitError, ValueError) as error:
            raise self._refused(name, error) from None
        programs.found(filter(None, (found.token, found.certificate, found.key)))
        if not (found.token.strip() or (found.certificate and found.key)):
            # Asked without one, the server would take us for somebody else.
            problem = "it gave neither a token nor a certificate with its key"
            raise self._refused(name, ValueError(problem))
        return found

    def _refused(self, name: str, error: Exception) -> ApiError:
        # What a program that hangs has said so far was shown, or is a part of the secret.
        more = error.details if isinstance(error, ToolError) else ""
        told = [f"its log-in program {name}: {error}", more]
        text = f"the credentials of the kubeconfig's user {self._user!r} cannot be had"
        missing = isinstance(error, ToolError) and error.program_is_missing
        hint = str(self._entry.get("installHint") or "") if missing else ""
        return ApiError("CTO-1602", text, details="\n".join(filter(None, told)), hint=hint)

    def _environment(self) -> dict[str, str | None]:
        given = {str(item["name"]): item.get("value") for item in self._entry.get("env") or ()}
        spec: dict[str, Any] = {"interactive": False}
        if self._entry.get("provideClusterInfo"):
            spec["cluster"] = _told_cluster(self._cluster)
        information = {**self._kind, "spec": spec}
        variables = {**given, "KUBERNETES_EXEC_INFO": json.dumps(information)}
        return {name: str(value or "") for name, value in variables.items()}

    @property
    def _kind(self) -> Mapping[str, str]:
        return {"apiVersion": str(self._entry["apiVersion"]), "kind": "ExecCredential"}

    def _read(self, done: Completed) -> Credential:
        """Read its answer; of what is none, nothing is told: it may well be the secret.

        Raises:
            ValueError: It is none, or the program failed.
        """
        if done.returncode:
            said = "\n".join(done.stderr.strip().splitlines()[-_LINES:])
            problem = f"it ended with {done.returncode}\n{said}".rstrip()
            raise ValueError(problem)
        try:
            answer = goyaml.load_json(done.stdout)
            others = [key for key, value in self._kind.items() if answer[key] != value]
            status = answer.get("status") or {}
            found = Credential(
                token=_word(status, "token"),
                certificate=_word(status, "clientCertificateData"),
                key=_word(status, "clientKeyData"),
                until=_time(_word(status, "expirationTimestamp")),
            )
        except (ValueError, AttributeError, KeyError, TypeError):
            problem = f"it does not answer with an ExecCredential of {self._entry['apiVersion']}"
            raise ValueError(problem) from None
        if others:
            problem = f"its answer has another {others[0]} than {self._kind[others[0]]}"
            raise ValueError(problem)
        return found


def _time(text: str) -> datetime | None:
    time = datetime.fromisoformat(text) if text else None
    return time.astimezone(UTC) if time else None


def _word(status: Mapping[str, Any], key: str) -> str:
    value = status.get(key)
    if not isinstance(value, str | None):
        raise TypeError
    return value or ""


def _told_cluster(cluster: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a program is told of the cluster, if it is to know."""
    keys = ("server", "tls-server-name", "certificate-authority-data", "proxy-url")
    told = {key: cluster[key] for key in keys if cluster.get(key)}
    if (file := cluster.get("certificate-authority")) and keys[2] not in told:
        with suppress(OSError):
            told[keys[2]] = base64.b64encode(Path(file).read_bytes()).decode()
    for item in cluster.get("extensions") or ():
        if item.get("name") == "client.authentication.k8s.io/exec":
            told["config"] = item.get("extension")
    return told


def _login(
    base: Path, identity: Identity, cluster: Mapping[str, Any], user: Mapping[str, Any]
) -> Login:
    server = str(cluster["server"]).rstrip("/")
    return Login(
        server=server,
        identity=identity,
        tls=_tls(base, cluster, user) if is_encrypted(server) else None,
        tls_name=str(cluster.get("tls-server-name") or ""),
    )


def _tls(base: Path, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    # Python reads a private key from files only.
    with ExitStack() as stack:
        files = [
            _file(entry, key, base, stack)
            for entry, key in (
                (cluster, "certificate-authority"),
                (user, "client-certificate"),
                (user, "client-key"),
            )
        ]
        return tls_context(*files)


def _file(entry: Mapping[str, Any], key: str, base: Path, stack: ExitStack) -> str | None:
    """Return the file with a certificate or key; what stands in the kubeconfig itself comes first.

    Relative names are relative to the kubeconfig.
    """
    if data := entry.get(f"{key}-data"):
        return str(stack.enter_context(scratch.secret_file(base64.b64decode(data))))
    return str(base / entry[key]) if entry.get(key) else None
