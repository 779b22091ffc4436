"""Which hosts answer from this machine: those of programs, of charts, of images."""

from __future__ import annotations

import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.tools import build

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ROOT / "bundle" / "components"

# The whole answer, redirects included, must be there after this long; an unreachable host often
# does not refuse but stays silent.
PROBE_S = 5

# Docker Hub's registry has another name than its images.
# https://distribution.github.io/distribution/about/compatibility/
HUB = "registry-1.docker.io"


@dataclass(frozen=True)
class Sources:
    """What can be had from where its makers have it; for the rest the lab has stand-ins."""

    tools: bool
    charts: bool
    images: bool


@dataclass(frozen=True)
class Pin:
    """A tool of bundle/tools.yaml, for this machine."""

    name: str
    url: str
    algorithm: str
    digest: str

    def cached(self) -> Path | None:
        """Find it where cto has put it already; then its host does not matter."""
        return next(cto_cache().glob(f"**/{self.algorithm}-{self.digest}/{self.name}"), None)


def cto_cache() -> Path:
    """Where cto keeps downloads (docs: CTO_CACHE_DIR, XDG_CACHE_HOME)."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "cto"
    return Path(os.environ.get("CTO_CACHE_DIR") or base).expanduser()


def pins() -> list[Pin]:
    """Read the tools that a kwok cluster needs (by hand: there may be no YAML library yet)."""
    text = (ROOT / "bundle" / "tools.yaml").read_text()
    wanted = {tool.name for tool in build.tools()}
    field = rf"linux/{build.machine()}:\n(?:\s+(?:format|member): \S+\n)*\s+url: (\S+)\n"
    field += r"(?:\s+(?:format|member): \S+\n)*\s+(sha256|sha512): (\S+)"
    blocks = re.split(r"^  (?=\S+:$)", text, flags=re.MULTILINE)
    found = [(block.split(":", 1)[0], re.search(field, block)) for block in blocks]
    return [Pin(name, *match.groups()) for name, match in found if match and name in wanted]


def tool_urls() -> list[str]:
    """List a real download of each host: a front page may answer where a download does not."""
    return one_per_host([pin.url for pin in pins() if not pin.cached()])


def chart_urls() -> list[str]:
    return one_per_host(_in_components(r"^\s+url: (https://\S+)"))


def image_urls() -> list[str]:
    """List the API's root of each registry; which of them has which images is not asked."""
    platform = (ROOT / "bundle" / "platform.yaml").read_text()
    node = re.findall(r"^\s+image: (\S+)", platform, re.MULTILINE)
    references = [*node, *_in_components(r"^\s+- ref: (\S+)")]
    return sorted({f"https://{registry_of(reference)}/v2/" for reference in references})


def registry_of(reference: str) -> str:
    """Return the host of an image; a first part without a dot belongs to the repository."""
    first, slash, _ = reference.partition("/")
    return first if slash and "." in first and first != "docker.io" else HUB


def _in_components(pattern: str) -> list[str]:
    texts = [file.read_text() for file in sorted(COMPONENTS.glob("*/component.yaml"))]
    return [found for text in texts for found in re.findall(pattern, text, re.MULTILINE)]


def one_per_host(urls: list[str]) -> list[str]:
    return list({url.split("/")[2]: url for url in urls}.values())


def answers(url: str) -> bool:
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - https, from our own data
    try:
        with urllib.request.urlopen(request, timeout=PROBE_S):  # noqa: S310 - as above
            return True
    except urllib.error.HTTPError as error:
        # Registries tell everybody first to log in.
        return error.code == 401 and url.endswith("/v2/")
    except (OSError, ValueError):
        return False


def probe(ask: Callable[[str], bool] = answers) -> Sources:
    """Ask all hosts at once; who has not answered in time counts as out of reach."""
    tools, charts, images = tool_urls(), chart_urls(), image_urls()
    heard: set[str] = set()

    def note(url: str) -> None:
        if ask(url):
            heard.add(url)

    _all_at_once(note, (*tools, *charts, *images))
    return Sources(
        tools=heard.issuperset(tools),
        charts=heard.issuperset(charts),
        images=heard.issuperset(images),
    )


def _all_at_once(note: Callable[[str], None], urls: Iterable[str]) -> None:
    threads = [threading.Thread(target=note, args=(url,), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PROBE_S
    for thread in threads:
        thread.join(max(0, deadline - time.monotonic()))
