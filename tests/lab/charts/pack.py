#!/usr/bin/env python3
"""Packs the stand-in charts: NAME-VERSION.tgz, the same bytes every time.

Needs nothing but Python. README.md tells what a stand-in is made of.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import json
import os
import re
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
CHARTS = tuple(sorted(file.parent.name for file in HERE.glob("*/Chart.yaml")))

# Enough words for descriptions that compress about as well as what people write.
_WORDS = re.findall(
    r"\w+",
    "the of to a and in is for this that be or if not when with from are by it as field list "
    "object name value must may will only used which namespace default container volume pod node "
    "selector policy resource controller status reference secret key version number string time "
    "seconds optional required specified empty ignored cluster backup replica source target "
    "template label annotation request limit network port path condition reason message image "
    "storage claim mode type group kind api server client certificate authority password user "
    "role schedule instance primary standby connection pool memory cpu",
)
_KINDS = ("object",) * 3 + ("string",) * 4 + ("integer", "boolean", "array")
_SYLLABLES = tuple(a + b for a in "bdfgklmn" for b in "aeio")


class Dice:
    """Random numbers that are the same on every Python: sha256 of the seed and a counter."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._count = 0

    def below(self, bound: int) -> int:
        self._count += 1
        digest = hashlib.sha256(f"{self._seed}/{self._count}".encode()).digest()
        return int.from_bytes(digest[:6], "big") % bound

    def word(self, syllables: int) -> str:
        """Return a name that no real API has, so that real objects never clash with a schema."""
        return "".join(_SYLLABLES[self.below(len(_SYLLABLES))] for _ in range(syllables))

    def sentence(self, length: int) -> str:
        text = ""
        while len(text) < length:
            text += _WORDS[self.below(len(_WORDS))] + " "
        return text[:length].strip().ljust(length, ".")


def compact(value: object) -> int:
    """Return the length as compact JSON, the measure of README.md's tables."""
    return len(json.dumps(value, separators=(",", ":")))


# Kinds with fields beside metadata, spec and status.
_FLAT = ("Application", "WorkflowTaskResult")


def crd(row: Mapping[str, str], version: str) -> dict[str, Any]:
    """Make a CRD with the row's identity, number of fields and size.

    The schema keeps unknown fields, so it takes any real object of the kind. `version` shows in
    it: two versions of a chart have different CRDs.
    """
    subresources: dict[str, Any] = {name: {} for name in row["subresources"].split()}
    if "scale" in subresources:
        subresources["scale"] = {
            "specReplicasPath": ".spec.instances",
            "statusReplicasPath": ".status.instances",
        }
    spec: dict[str, Any] = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"stand" + re.sub(r"\W", "x", version): {"type": "string"}},
    }
    root: dict[str, Any] = {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    if row["kind"] in _FLAT:
        root["x-kubernetes-preserve-unknown-fields"] = True
    names: dict[str, Any] = {
        "kind": row["kind"],
        "listKind": row["kind"] + "List",
        "plural": row["plural"],
        "singular": row["kind"].lower(),
    }
    if row["short"]:
        names["shortNames"] = row["short"].split()
    result: dict[str, Any] = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{row['plural']}.{row['group']}",
            "annotations": {"helm.sh/resource-policy": "keep"} if row["when"] else {},
        },
        "spec": {
            "group": row["group"],
            "names": names,
            "scope": row["scope"],
            "versions": [
                {
                    "name": row["version"],
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": root},
                    "subresources": subresources,
                }
            ],
        },
    }
    dice = Dice(result["metadata"]["name"])
    fields = [spec]
    room = int(row["bytes"]) - compact(result)
    room = _grow(spec, fields, dice, int(row["fields"]) - 7, room)
    _describe(fields, dice, room)
    return result


def _grow(
    spec: dict[str, Any], fields: list[dict[str, Any]], dice: Dice, count: int, room: int
) -> int:
    """Add `count` fields below `spec` as long as there is room; return the room that is left."""
    parents = [spec]
    while count > 0:
        properties = parents[dice.below(len(parents))]["properties"]
        name = dice.word(2 + dice.below(3))
        if name in properties:
            continue
        # Three fields of ten hold others; nesting is as deep as chance makes it.
        kind = _KINDS[dice.below(len(_KINDS))]
        field: dict[str, Any] = {"type": kind}
        if kind == "object":
            field["properties"] = {}
        if kind == "array":
            field["items"] = {"type": "string"}
        # Braces do not count, a comma does unless the field is the first.
        cost = compact({name: field}) - 2 + bool(properties)
        if cost > room:
            break
        properties[name] = field
        room -= cost
        count -= 2 if kind == "array" else 1
        fields.append(field)
        if kind == "object":
            parents.append(field)
    return room


def _describe(fields: Sequence[dict[str, Any]], dice: Dice, room: int) -> None:
    """Use up the room with descriptions, many of them equal, as in upstream's schemas."""
    overhead = len(',"description":""')
    share = room // len(fields) - overhead
    if share < 1:
        fields, share = fields[:1], room - overhead
        if share < 1:
            return
    texts = [dice.sentence(share) for _ in range(max(1, len(fields) // 8))]
    for field in fields[1:]:
        field["description"] = texts[dice.below(len(texts))]
    rest = room - (len(fields) - 1) * (share + overhead) - overhead
    fields[0]["description"] = dice.sentence(rest)


def to_yaml(value: object, indent: int = 0) -> Iterator[str]:
    """Yield the lines of a block style YAML document, as charts hold their CRDs."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        for key, item in value.items():
            if isinstance(item, (dict, list)) and item:
                yield f"{pad}{key}:"
                yield from to_yaml(item, indent + 1)
            else:
                yield f"{pad}{key}: {json.dumps(item)}"
    elif isinstance(value, list) and value:
        for item in value:
            lines = list(to_yaml(item, indent + 1))
            yield f"{pad}- {lines[0].lstrip()}"
            yield from lines[1:]
    else:
        yield pad + json.dumps(value)


def crd_files(chart: str, version: str) -> Iterator[tuple[str, str]]:
    """Yield path and text of the chart's CRDs: crds/, or templates if values switch them."""
    with (HERE / "crds.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["chart"] == chart]
    for row in rows:
        text = "\n".join(to_yaml(crd(row, version))) + "\n"
        if row["when"]:
            text = f"{{{{- if {row['when']} }}}}\n{text}{{{{- end }}}}\n"
            yield f"templates/crds/{row['plural']}.yaml", text
        else:
            yield f"crds/{row['plural']}.yaml", text


def chart_files(chart: str, bump: str = "") -> tuple[str, dict[str, str]]:
    """Return version and files of a chart; `bump` is another version to pack it as."""
    text = (HERE / chart / "Chart.yaml").read_text(encoding="utf-8")
    found = re.search(r"^version: (\S+)$", text, re.MULTILINE)
    if not found:
        sys.exit(f"{chart}/Chart.yaml: no version")
    version = bump or found[1]
    files = {
        "Chart.yaml": text.replace(found[0], f"version: {version}"),
        "values.yaml": (HERE / chart / "values.yaml").read_text(encoding="utf-8"),
        "shape.yaml": (HERE / chart / "shape.yaml").read_text(encoding="utf-8"),
    }
    for shared in sorted((HERE / "_shared").iterdir()):
        files[f"templates/{shared.name}"] = shared.read_text(encoding="utf-8")
    files.update(crd_files(chart, version))
    return version, files


def archive(chart: str, files: Mapping[str, str]) -> bytes:
    """Return a .tgz in which nothing depends on when, where and by whom it was made."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path in sorted(files, key=lambda path: (path != "Chart.yaml", path)):
            data = files[path].encode()
            info = tarfile.TarInfo(f"{chart}/{path}")
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as stream:
        stream.write(raw.getvalue())
    return packed.getvalue()


def pack(out: Path, bumps: Mapping[str, str]) -> list[Path]:
    """Write all charts, or with `bumps` only those named, as their new versions."""
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for chart in bumps or CHARTS:
        version, files = chart_files(chart, bumps.get(chart, ""))
        path = out / f"{chart}-{version}.tgz"
        part = out / f".{path.name}.{os.getpid()}"
        part.write_bytes(archive(chart, files))
        part.replace(path)
        paths.append(path)
    return paths


def default_out() -> Path:
    cache = os.environ.get("CTO_LAB_CACHE") or "~/.cache/cto-lab"
    return Path(cache).expanduser() / "charts"


def _bump(text: str) -> tuple[str, str]:
    name, _, version = text.partition("=")
    if name not in CHARTS or not version:
        message = f"{text}: not NAME=VERSION with one of {', '.join(CHARTS)}"
        raise argparse.ArgumentTypeError(message)
    return name, version


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Pack the stand-in charts.")
    parser.add_argument("--out", type=Path, default=default_out(), help="folder to write to")
    parser.add_argument(
        "--bump",
        type=_bump,
        action="append",
        default=[],
        metavar="NAME=VERSION",
        help="write only this chart, as this version: its pods and CRDs differ a little",
    )
    options = parser.parse_args(argv)
    for path in pack(options.out, dict(options.bump)):
        print(path)


if __name__ == "__main__":
    main()
