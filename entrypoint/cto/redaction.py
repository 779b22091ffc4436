"""Takes secrets out of what others say: programs, API servers, exceptions.

Two nets. Values that are known are found wherever they are, also in base64, JSON and URLs: Go
prints whole entries of a kubeconfig when it complains about one
(https://github.com/kubernetes/kubernetes/issues/66435). What is not known is recognized by its
shape, also within base64. Below everything else: whoever takes a message in can use it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

HIDDEN = "***"
# Shorter ones would be found in any text.
SHORTEST = 6

_TOKENS = (
    r"eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?",  # JSON Web Tokens: service accounts, OIDC
    r"gh[a-z]_\w{20,}",
    r"github_pat_\w{20,}",
    r"glpat-[\w-]{16,}",
    r"sk-[\w-]{16,}",  # providers of models
    r"xox[a-z]-[\w-]{10,}",
    r"(?:AKIA|ASIA)[0-9A-Z]{16}",
    r"k8s-aws-v1\.[\w-]+",
    r"dckr_pat_[\w-]{16,}",
    r"hf_\w{20,}",
)
# A key that was cut off has no end: what looks like one goes.
_PEM = re.compile(
    r"-----BEGIN (?P<what>[A-Z0-9 ]*(?:PRIVATE KEY|CERTIFICATE))(?:-----)?"
    r"(?:.*?-----END (?P=what)-----|[\w+/=\\]*(?:\s+[\w+/=\\]{16,})*(?:\s+[\w+/=\\]*\Z)?)",
    re.DOTALL,
)
_SHAPES = re.compile(rf"(?<![A-Za-z0-9_])(?:{'|'.join(_TOKENS)})")
_CREDENTIALS = re.compile(r"\b(Bearer|Basic)(\s+)([A-Za-z0-9._~+/=-]{8,})", re.IGNORECASE)
# An @ may be a part of a password that was not escaped. What shows the form of a log-in is none.
_USERINFO = re.compile(r"(?<=://)(?!\]?\[?USER:PASSWORD@)[^\s/@\"'<>]*:[^\s/\"'<>]+(?=@)")
_DATA = re.compile(
    r"((?:client-key|client-certificate|certificate-authority)-data[\"']?\s*[:=]\s*[\"']?)"
    r"[A-Za-z0-9+/=]+"
)
_FIELDS = re.compile(
    r"(\b(?:password|passwd|secret|api[-_]?key|[a-z-]*token|client-secret|auth)"
    r"[\"']?\s*[:=]\s*[\"']?)((?![$<{%*])[^\s\"',;&}\])]{8,})",
    re.IGNORECASE,
)
_BASE64 = re.compile(r"(?<![\w+/=-])[A-Za-z0-9+/_-]{16,}={0,2}")
_WORD = re.compile(r"[a-z]+(?:[-_.][a-z]+)*[.:]?", re.IGNORECASE)


def redacted(text: str) -> str:
    """Return a text without what has the shape of a secret."""
    text = _PEM.sub(HIDDEN, text)
    text = _SHAPES.sub(HIDDEN, text)
    text = _CREDENTIALS.sub(_credential, text)
    text = _USERINFO.sub(HIDDEN, text)
    text = _DATA.sub(rf"\1{HIDDEN}", text)
    text = _FIELDS.sub(_value, text)
    return _BASE64.sub(_encoded, text)


class Secrets:
    """Values that are known to be secret. Any thread may add some while others look."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._forms: tuple[str, ...] = ()
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        """Take more of them; what is too short to be told from other text is left out."""
        found = {form for value in values if len(value) >= SHORTEST for form in _forms(value)}
        # The longest first: one may be a part of another.
        self._forms = tuple(sorted({*self._forms, *found}, key=lambda form: (-len(form), form)))

    def redacted(self, text: str) -> str:
        """Return a text without them, and without what has the shape of a secret."""
        return redacted(self.without(text))

    def without(self, text: str) -> str:
        """Return a text without them alone: for what is data, and may show how secrets look."""
        for form in self._forms:
            text = text.replace(form, HIDDEN)
        return text

    def without_all(self, data: Any) -> Any:
        """Return decoded JSON without them."""
        if isinstance(data, str):
            return self.without(data)
        if isinstance(data, Mapping):
            return {key: self.without_all(value) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.without_all(value) for value in data]
        return data


class Lines:
    """Redacts lines one by one, as they come: a key has several."""

    def __init__(self, redact: Callable[[str], str] = redacted) -> None:
        self._redact = redact
        self._in_key = False

    def redacted(self, line: str) -> str:
        """Return the next line without secrets."""
        if self._in_key:
            self._in_key = "-----END " not in line
            return HIDDEN
        self._in_key = bool(_PEM.search(line)) and "-----END " not in line
        return self._redact(line)


def _forms(value: str) -> Iterator[str]:
    """Yield a value as it may be written."""
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="")
    yield from _in_base64(value.encode())


def _in_base64(data: bytes) -> Iterator[str]:
    """Yield what is certain of the value's base64, wherever in other data it begins."""
    yield base64.b64encode(data).decode()
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data)
        # The first and the last characters depend on the neighbours, too.
        start, end = (0, 2, 3)[before], len(data) + before
        certain = whole[start : end * 8 // 6].decode()
        if len(certain) >= SHORTEST:
            yield certain
            yield certain.translate(str.maketrans("+/", "-_"))


def _credential(found: re.Match[str]) -> str:
    scheme, space, value = found.groups()
    # "Basic authentication", "bearer credentials": words.
    return found.group() if _WORD.fullmatch(value) else f"{scheme}{space}{HIDDEN}"


def _value(found: re.Match[str]) -> str:
    name, value = found.groups()
    return found.group() if _WORD.fullmatch(value) else f"{name}{HIDDEN}"


def _encoded(found: re.Match[str]) -> str:
    """Hide base64 of something that would be hidden."""
    word = found.group().rstrip("=").translate(str.maketrans("-_", "+/"))
    # One character alone is no byte: it was cut off.
    word = word[:-1] if len(word) % 4 == 1 else word
    text = base64.b64decode(word + "=" * (-len(word) % 4)).decode("latin-1")
    return HIDDEN if _is_secret(text) else found.group()


def _is_secret(text: str) -> bool:
    return bool(_PEM.search(text) or _SHAPES.search(text) or _CREDENTIALS.search(text))
