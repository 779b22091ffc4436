"""Makes the files of a support bundle of what was gathered: without secrets, and not too large."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cto.support import facts
from cto.support.archive import MOST_BYTES
from cto.support.facts import Facts
from cto.support.timeline import timeline

# For the two files that tell of all others.
_RESERVED = 256 << 10
_PREFACE = (
    "A support bundle of cto. `cto diagnose FILE` names the likely causes of what is broken.",
    "",
    "Secrets that are known, or look like some, were taken out; *** stands in their place.",
    "What nobody can know to be one may still be here: look through it before you send it.",
    "",
)


@dataclass(frozen=True)
class Assembled:
    """What is to be written.

    Attributes:
        texts: File -> its text.
        missing: What is not among them -> why.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


def assembled(
    gathered: Facts,
    redact: Callable[[str], str],
    *,
    is_over: Callable[[], bool] = lambda: False,
    most_bytes: int = MOST_BYTES,
) -> Assembled:
    """Return the files, the most telling ones first: what comes last may have no room.

    Args:
        gathered: What is there, not redacted.
        redact: Takes secrets out of a text.
        is_over: Tells whether there is no time for more.
        most_bytes: Of all together.
    """
    missing = dict(gathered.missing)
    room = most_bytes - min(_RESERVED, most_bytes // 10)
    texts: dict[str, str] = {}
    for name in sorted(gathered.files, key=_rank):
        # Without the first one nobody could read the others.
        if is_over() and name != facts.ABOUT:
            missing[name] = "there was no time left to take secrets out of it"
            continue
        text = facts.text_of(name, gathered.files[name], redact)
        room -= _taken(texts, missing, redact(name), text, room)
    # Of what has no secrets any more: it cuts long messages, and half of one has no shape.
    times = redact(timeline(facts.parsed(texts)))
    _taken(texts, missing, facts.TIMELINE, times, room)
    missing = {redact(name): redact(reason) for name, reason in sorted(missing.items())}
    head = {facts.README: _readme(texts, missing)}
    if missing:
        head[facts.MISSING] = "".join(f"{name}: {why}\n" for name, why in missing.items())
    return Assembled({**head, **texts}, missing)


def _taken(texts: dict[str, str], missing: dict[str, str], name: str, text: str, room: int) -> int:
    """Take a text that fits; return its size, or 0."""
    size = len(text.encode(errors="replace"))
    if size > room:
        missing[name] = f"it has {size} bytes, and there was room for {room}"
        return 0
    texts[name] = text
    return size


def _rank(name: str) -> tuple[int, str]:
    titles = list(facts.TITLES)
    if name.startswith(facts.LOGS):
        return len(titles), name
    return (titles.index(name) if name in facts.TITLES else len(titles) - 1), name


def _readme(texts: Mapping[str, str], missing: Mapping[str, str]) -> str:
    width = max(map(len, facts.TITLES))
    there = {facts.README, *texts, *([facts.MISSING] if missing else [])}
    there |= {facts.LOGS for name in texts if name.startswith(facts.LOGS)}
    rows = [f"{name:{width}}  {what}" for name, what in facts.TITLES.items() if name in there]
    return "\n".join([*_PREFACE, *rows, ""])
