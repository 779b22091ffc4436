"""The figures of the image: what each must reach, and its part of docs/performance.md."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from bench import machine, page
from cto.adapters.kind.config import PULLS

_MIB = 2**20


@dataclass(frozen=True)
class Figure:
    """One line of the table; `measure` gets the medians."""

    what: str
    must: str
    measure: Callable[[Mapping[str, float]], float]
    reached: Callable[[float], bool]
    unit: str = "times"


def _best(m: Mapping[str, float]) -> float:
    """Return the bytes per second that nobody can be faster than: unpacked, and on the disk."""
    return min(m["disk"], m["gunzip"])


FIGURES = (
    Figure(
        "delivery of the minimal set to a node, against `kind load`",
        "≥ 3 times faster",
        lambda m: m["kind load"] / m["pull"],
        lambda value: value >= 3,
    ),
    Figure(
        "the same, against min(disk, gunzip times cores)",
        "≥ 70 %",
        lambda m: 100 * m["set"] / m["pull"] / _best(m),
        lambda value: value >= 70,
        "%",
    ),
    Figure(
        "second installation, nothing changed: bytes of blobs",
        "0",
        lambda m: m["again bytes"],
        lambda value: value == 0,
        "B",
    ),
    Figure(
        "the bundle, against its blobs",
        "≤ 1.05 times",
        lambda m: m["bundle"] / m["blobs"],
        lambda value: value <= 1.05,
    ),
    Figure(
        "a cluster whose node takes pods, beyond `kind create cluster --wait 5m`",
        "≤ 2 s",
        lambda m: m["cluster"] - m["kind"],
        lambda value: value <= 2,
        "s",
    ),
    Figure(
        "`docker run --rm IMAGE version`, beyond 1.5 times `/bin/true`",
        "≤ 0.3 s",
        lambda m: m["version"] - 1.5 * m["true"],
        lambda value: value <= 0.3,
        "s",
    ),
    Figure(
        "`bundle verify`, against sha256sum times cores used",
        "≥ 80 %",
        lambda m: 100 * m["sha256sum"] / m["cores"] / m["verify"],
        lambda value: value >= 80,
        "%",
    ),
)

_NAMES = {
    "pull": f"all images of the set pulled by a node, {PULLS} at once, as its kubelet does",
    "containerd": "CPU time of the node's containerd and its gunzips for that, over all cores",
    "kind load": "`kind load docker-image` of the same images",
    "cluster": "`cto install` up to the cluster, preflight and all",
    "kind": "`kind create cluster --wait 5m` alone, of the same node image, which Docker has",
    "kind bare": "the same without `--wait`: its node takes no pods yet",
    "node image": "Docker's pull of the node image from the bundle",
    "again": "`cto install` again, nothing changed",
    "version": "`docker run --rm IMAGE version`",
    "true": "`docker run --rm --entrypoint /bin/true IMAGE`",
    "verify": "`cto bundle verify`",
    "sha256sum": "`sha256sum` of the same files, one core",
}
_SIZES = {
    "set": "the set, unpacked",
    "bundle": "the bundle",
    "disk": "writing to Docker's disk, per second",
    "gunzip": "gunzip times cores, per second",
}


def section(values: Mapping[str, Sequence[float]], rounds: int) -> str:
    medians = {name: median(found) for name, found in values.items() if found}
    return "\n".join(
        [
            f"## {page.IMAGE}",
            "",
            f"- {dt.datetime.now(tz=dt.UTC).date()}, {rounds} rounds, medians",
            *(f"- {key}: {value}" for key, value in machine.describe().items()),
            f"- load of the machine at the end: {machine.load():.1f}",
            "- the lab's images (layers gzip to 1/2.8) and its node image; one run, one daemon",
            "",
            "| figure | must reach | measured | |",
            "|---|---|---|---|",
            *_goals(medians),
            "",
            "| medians | | samples |",
            "|---|---|---|",
            *_rows(values, medians),
            "",
            _ceiling(medians),
        ]
    )


def _ceiling(m: Mapping[str, float]) -> str:
    """Tell what containerd could reach of the bound, which knows of gunzip and the disk only."""
    share = 100 * m["set"] / m["containerd"] / _best(m)
    return (
        "containerd also hashes every layer packed and unpacked, and writes it in both forms: with "
        f"its own CPU time and that of its gunzips, spread over all cores, {share:.0f} % of "
        "min(disk, gunzip times cores) could be reached on this machine."
    )


def _goals(medians: Mapping[str, float]) -> Iterator[str]:
    for figure in FIGURES:
        try:
            value = figure.measure(medians)
        except KeyError as missing:
            yield f"| {figure.what} | {figure.must} | not measured: {missing} | |"
            continue
        word = "reached" if figure.reached(value) else "**missed**"
        yield f"| {figure.what} | {figure.must} | {_number(value)} {figure.unit} | {word} |"


def _rows(values: Mapping[str, Sequence[float]], medians: Mapping[str, float]) -> Iterator[str]:
    for name, what in _NAMES.items():
        if name in medians:
            samples = ", ".join(_number(value) for value in values[name])
            yield f"| {what} | {_number(medians[name])} s | {samples} |"
    for name, what in _SIZES.items():
        if name in medians:
            samples = ", ".join(f"{value / _MIB:.0f}" for value in values[name])
            yield f"| {what} | {medians[name] / _MIB:.0f} MiB | {samples} |"


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
