"""Kubeconfig files: which ones, what is in them, and the context to work on.

Files are decoded YAML here: keys that we do not know stay as they are.
"""

from __future__ import annotations

import codecs
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cto import goyaml
from cto.adapters.kubernetes.kubeconfig import shape, usable
from cto.adapters.kubernetes.kubeconfig.entries import named
from cto.adapters.kubernetes.kubeconfig.fields import CLUSTER, USER, local
from cto.adapters.kubernetes.kubeconfig.yamltree import first_document
from cto.errors import PreflightError, UsageError, nearest
from cto.network import proxies
from cto.ports import Access

# What must be shown nowhere: programs quote it when they complain about a kubeconfig.
_SECRET_FIELDS = ("token", "password", "client-key-data", "client-certificate-data")
_TELLING = re.compile(r"token|secret|password|key", re.IGNORECASE)
_PARTS = (("clusters", "cluster"), ("users", "user"))


class NoContextError(UsageError):
    """There is no context in any kubeconfig: CTO-1202."""

    def __init__(self, files: Sequence[Path]) -> None:
        there = [file for file in files if file.exists()]
        missing = [f"{file} does not exist" for file in files if file not in there]
        told = [f"No context in {_listed(there)}"] if there else ["There is no kubeconfig"]
        super().__init__("CTO-1202", "; ".join([*told, *missing]))


def paths(environ: Mapping[str, str], home: Path) -> tuple[Path, ...]:
    """Return the files that kubectl would read, the one that it writes first.

    Raises:
        UsageError: CTO-1202, KUBECONFIG is set and names none.
    """
    named = environ.get("KUBECONFIG", "")
    listed = [Path(name) for name in named.split(os.pathsep) if name]
    if named and not listed:
        text = f"KUBECONFIG={named} names no file: kubectl reads none then"
        raise UsageError("CTO-1202", text, hint="Name a file in KUBECONFIG, or unset it.")
    return tuple(listed) or (home / ".kube" / "config",)


def read(file: Path) -> dict[str, Any]:
    """Return a kubeconfig's content, {} if there is no such file.

    Raises:
        PreflightError: CTO-1403, it is no kubeconfig.
    """
    return parse(read_text(file), file)


def read_text(file: Path) -> str:
    """Return a file's text as it is, '' if there is no such file.

    Raises:
        PreflightError: CTO-1403, it cannot be read.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise unusable(file, str(error)) from error
    if encoding := _wide(data):
        raise PreflightError(
            "CTO-1403",
            f"{file}: it is {encoding} text, and kubectl and helm read UTF-8 alone",
            hint="PowerShell's `>` writes that. Write it anew, e.g. in PowerShell: "
            f"(Get-Content {shlex.quote(str(file))}) | Set-Content -Encoding utf8 FILE; or "
            f"elsewhere: iconv -f {encoding} -t UTF-8 {shlex.quote(str(file))} > FILE. "
            "Then: --kubeconfig FILE",
        )
    try:
        # Not `read_text`: that makes one kind of line end of all.
        return data.decode()
    except UnicodeDecodeError as error:
        raise unusable(file, str(error)) from error


def _wide(data: bytes) -> str:
    """Return the name of an encoding with more than one byte for each letter, '' for no such."""
    for mark, name in ((codecs.BOM_UTF32_LE, "UTF-32"), (codecs.BOM_UTF32_BE, "UTF-32")):
        if data.startswith(mark):
            return name
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "UTF-16"
    # Without a mark: every other byte of ASCII is zero there, and none is in any YAML.
    return "UTF-16" if b"\0" in data[:2] else ""


def parse(text: str, file: Path) -> dict[str, Any]:
    """Return what the text of a kubeconfig says: its first document, as kubectl reads it.

    Raises:
        PreflightError: CTO-1403, it is no kubeconfig.
    """
    body = text.removeprefix("\ufeff")
    try:
        root, end = first_document(body)
        data = goyaml.load(body[:end], duplicates=True) if root else None
    except goyaml.YAMLError as error:
        # Not the error's text: it may quote a line with a key in it.
        mark = getattr(error, "problem_mark", None)
        raise unusable(file, f"not YAML at line {mark.line + 1 if mark else '?'}") from None
    if not isinstance(data, dict | None):
        raise unusable(file, "the document is not a mapping")
    return data or {}


def choose_access(files: Sequence[Path], context: str = "") -> Access:
    """Return the cluster to work on: the named context, or the only one there is.

    Raises:
        UsageError: CTO-1201 (several), CTO-1202 (none), CTO-1203 (not there).
        PreflightError: CTO-1403, a file cannot be used, or means something else to kubectl or helm.
    """
    documents = {file: _readable(file) for file in files}
    where: dict[str, Path] = {}
    for file, document in documents.items():
        for name in named(document, "contexts"):
            where.setdefault(name, file)
    if context and context not in where:
        raise _absent(context, where, files)
    if not where:
        raise NoContextError(files)
    if not context and len(where) > 1:
        raise _several(documents, where)
    chosen = context or next(iter(where))
    _check_whole(documents[where[chosen]], where[chosen], chosen)
    _check_merged(documents, where[chosen], chosen)
    _check_usable(documents[where[chosen]], where[chosen], chosen)
    return Access(where[chosen], chosen)


def parts(document: Mapping[str, Any], name: str) -> tuple[dict[str, Any], ...]:
    """Return a context, its cluster and its user."""
    context = named(document, "contexts").get(name, {})
    cluster = named(document, "clusters").get(context.get("cluster", ""), {})
    return context, cluster, named(document, "users").get(context.get("user", ""), {})


def _absent(context: str, known: Iterable[str], files: Sequence[Path]) -> UsageError:
    known = tuple(known)
    near = nearest(context, known)
    told = ["The contexts there are:", *(f"  {name}" for name in known)] if known else []
    return UsageError(
        "CTO-1203",
        f"There is no context {context!r} in {_listed(files)}",
        details="\n".join(told),
        hint=f"Did you mean --context {shlex.quote(near)}?" if near else "",
    )


def _several(documents: Mapping[Path, Mapping[str, Any]], where: Mapping[str, Path]) -> UsageError:
    current = next((d["current-context"] for d in documents.values() if _current(d)), "")
    uses = f" (kubectl uses {current!r})" if current in where else ""
    return UsageError(
        "CTO-1201",
        f"There are {len(where)} contexts in {_listed(tuple(documents))}, and none was named{uses}",
        # Nothing else on these lines: they are there to be pasted.
        details="\n".join(f"--context {shlex.quote(name)}" for name in where),
        hint="Repeat the command with one of these lines at its end.",
    )


def _readable(file: Path) -> dict[str, Any]:
    document = read(file)
    if why := list(shape.problems(document)):
        raise PreflightError(
            "CTO-1403",
            f"{file}: kubectl and helm cannot read this file: {why[0]}",
            details="\n".join(why[1:]),
            hint="Mend the file; texts that look like numbers or truth values need quotes. Or name "
            "another one with --kubeconfig FILE.",
        )
    return document


def _check_whole(document: Mapping[str, Any], file: Path, name: str) -> None:
    """Refuse a context whose parts lie in another file: programs get one file from us."""
    context = named(document, "contexts")[name]
    for section, key in _PARTS:
        if context.get(key) not in named(document, section):
            why = f"names {key} {context.get(key)!r}, which is not in this file"
            raise _scattered(file, name, why)


def _check_merged(documents: Mapping[Path, Mapping[str, Any]], file: Path, name: str) -> None:
    """Refuse a context that is another cluster or user to kubectl: the first of a name counts."""
    context = named(documents[file], "contexts")[name]
    for section, key in _PARTS:
        fields = CLUSTER if key == "cluster" else USER
        meant = {
            each: local(named(document, section)[context[key]], fields, each.parent)
            for each, document in documents.items()
            if context[key] in named(document, section)
        }
        first = next(iter(meant))
        if meant[first] != meant[file]:
            why = f"names {key} {context[key]!r}, and kubectl takes the one of {first}"
            raise _scattered(file, name, why)


def _check_usable(document: Mapping[str, Any], file: Path, name: str) -> None:
    if why := list(usable.problems(*parts(document, name))):
        raise PreflightError(
            "CTO-1403",
            f"{file}: context {name!r} cannot be used: {why[0]}",
            details="\n".join(why[1:]),
            hint="Change the field that is named, or take another context (--context NAME).",
        )


def _scattered(file: Path, name: str, why: str) -> PreflightError:
    return PreflightError(
        "CTO-1403",
        f"{file}: context {name!r} {why}",
        hint=f"Put all parts into one file: kubectl config view --flatten --minify --raw "
        f"--context {shlex.quote(name)} > FILE, then add --kubeconfig FILE",
    )


def _current(document: Mapping[str, Any]) -> bool:
    return bool(document.get("current-context"))


def _listed(files: Sequence[Path]) -> str:
    return ", ".join(map(str, files))


def unusable(file: Path, why: str) -> PreflightError:
    """Return the error for a file that is not as it has to be."""
    return PreflightError(
        "CTO-1403",
        f"{file}: {why}",
        hint=f"Check {shlex.quote(str(file))}, or name another file with --kubeconfig FILE.",
    )


def login_secrets(file: Path) -> Iterator[str]:
    """Yield the secrets of all users and proxies; nothing of a file that cannot be read."""
    with suppress(PreflightError):
        document = read(file)
        for cluster in named(document, "clusters").values():
            yield from proxies.password(str(cluster.get("proxy-url") or ""))
        for user in named(document, "users").values():
            found = [*(user.get(key) for key in _SECRET_FIELDS), *_named_so(user)]
            yield from (str(value) for value in found if value)
            if user.get("tokenFile"):
                yield from _content(file.parent / str(user["tokenFile"]))


def _named_so(user: Mapping[str, Any]) -> Iterator[Any]:
    """Yield settings of log-in programs whose names say that they are secrets."""
    provider, plugin = user.get("auth-provider"), user.get("exec")
    config = provider.get("config") if isinstance(provider, dict) else None
    if isinstance(config, dict):
        yield from (value for name, value in config.items() if _TELLING.search(str(name)))
    variables = plugin.get("env") if isinstance(plugin, dict) else None
    for variable in variables if isinstance(variables, list) else ():
        if isinstance(variable, dict) and _TELLING.search(str(variable.get("name"))):
            yield variable.get("value")


def _content(file: Path) -> Iterator[str]:
    with suppress(OSError, UnicodeDecodeError):
        yield file.read_text(encoding="utf-8").strip()
