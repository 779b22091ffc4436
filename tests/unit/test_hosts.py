"""The hosts that an installation needs are told, all of them and no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from cto.bundle.lock import read_lock
from cto.objects import load_yaml

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "bundle"


def wanted() -> Iterator[str]:
    tools = load_yaml((BUNDLE / "tools.yaml").read_text(encoding="utf-8"))
    for name in tools["image"]:
        yield from (one["url"] for one in tools["tools"][name]["platforms"].values())
    for file in BUNDLE.glob("components/*/component.yaml"):
        chart = load_yaml(file.read_text(encoding="utf-8"))["chart"]
        if "url" in chart:
            yield chart["url"]
    yield from (f"//{one.image}" for one in read_lock(BUNDLE / "lock.yaml").images)


def test_the_table_of_hosts_is_that_of_tools_charts_and_images() -> None:
    section = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8").partition("### Hosts")[2]
    told = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert sorted(told) == sorted({urlsplit(url).netloc for url in wanted()})
