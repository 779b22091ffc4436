"""Hunts for planted secrets, in whatever form they may have escaped."""

from __future__ import annotations

import base64
import gzip
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import quote, quote_plus

from cto.objects import Manifest, labels_of

_LOOK_S = 0.02
_SHIM = """\
#!/bin/sh
# What a program is started with and what it is given to read, then the program itself.
record=$(mktemp "{records}/{name}.XXXXXXXX")
for word in "$@"; do printf '%s\\n' "$word"; done > "$record"
tr '\\0' '\\n' < /proc/self/environ > "$record.environ"
case " $* " in
*" --values - "*) tee "$record.stdin" | {program} "$@" ;;
*) exec {program} "$@" ;;
esac
"""


@cache
def forms(value: str) -> frozenset[bytes]:
    """Return a text as it looks in JSON, a URL, in base64 wherever it begins, and in hex."""
    raw = value.encode()
    found = {raw, json.dumps(value)[1:-1].encode(), json.dumps(value, ensure_ascii=False).encode()}
    found |= {repr(value)[1:-1].encode(), quote(value).encode(), quote_plus(value).encode()}
    found |= {quote(value, safe="").encode(), raw.hex().encode()}
    for shift in range(3):
        # In the middle of other bytes only the characters that depend on nothing else are known.
        padded = bytes(shift) + raw
        first, last = (shift * 8 + 5) // 6, len(padded) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(padded)[first:last])
    return frozenset(found)


@dataclass
class Hunt:
    """Knows the secrets, and where it has looked for them.

    Attributes:
        found: What was found: place and name of the secret, never the secret.
        places: How many places of each sort were searched.
    """

    secrets: dict[str, str] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)

    def search(self, sort: str, place: str, data: bytes | str) -> None:
        """Look for every secret in what was found at a place."""
        text = data.encode() if isinstance(data, str) else data
        self.places[sort] = self.places.get(sort, 0) + 1
        for name, value in self.secrets.items():
            if any(form in text for form in forms(value)):
                self.found.append(f"{name} in {sort} {place}")

    def search_object(self, manifest: Manifest, *, meant: bool) -> None:
        """Look into an object of the cluster; not into its data if it is meant to have secrets."""
        metadata = manifest["metadata"]
        place = f"{manifest['kind']} {metadata.get('namespace', '')}/{metadata['name']}"
        shown = {key: value for key, value in manifest.items() if not (meant and key == "data")}
        self.search("object", place, json.dumps(shown))
        if manifest.get("type") == "helm.sh/release.v1":
            self.search("Helm record", place, payload(manifest))

    def search_folder(self, sort: str, folder: Path, *, but: frozenset[Path]) -> None:
        for file in sorted(folder.rglob("*")):
            if not but & {file, *file.parents} and file.is_file() and not file.is_symlink():
                with suppress(FileNotFoundError):
                    self.search(sort, str(file), file.read_bytes())


def payload(record: Manifest) -> bytes:
    """Return what Helm keeps of a release: base64 of the Secret, base64 of Helm, gzip."""
    return gzip.decompress(base64.b64decode(base64.b64decode(record["data"]["release"])))


def is_meant(manifest: Manifest) -> bool:
    """Whether an object is a Secret of the platform: the one place for secrets."""
    return manifest["kind"] == "Secret" and (
        labels_of(manifest).get("app.kubernetes.io/managed-by") == "cto"
    )


def shims(tools: Path, folder: Path, records: Path) -> Path:
    """Return a folder with the same programs, of which kubectl and helm leave records."""
    folder.mkdir()
    records.mkdir()
    for program in tools.iterdir():
        file = folder / program.name
        if program.name in {"helm", "kubectl"}:
            text = _SHIM.format(records=records, name=program.name, program=program)
            file.write_text(text)
            file.chmod(0o755)
        else:
            file.symlink_to(program)
    return folder


@contextmanager
def command_lines(pid: int) -> Iterator[Mapping[int, bytes]]:
    """Note the command line of every descendant of a process while the block runs."""
    seen: dict[int, bytes] = {}
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for child in descendants(pid):
                with suppress(OSError):
                    line = Path(f"/proc/{child}/cmdline").read_bytes()
                    seen[child] = seen.get(child, b"") + b"\n" + line
            time.sleep(_LOOK_S)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def descendants(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from descendants(int(child))
