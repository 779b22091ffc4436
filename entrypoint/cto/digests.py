"""Digests of data and of streams."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

# A label's value has 63 characters at most, a sha256 in hex has 64:
# https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
LABEL_LENGTH = 40
_CHUNK = 1 << 20


def of_data(data: Any) -> str:
    """Return the sha256 (hex, 64 characters) of JSON-like data, whatever the order of keys."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def for_label(digest: str) -> str:
    """Return the part of a digest that fits a label's value."""
    return digest[:LABEL_LENGTH]


def of_file(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest (hex) of a file, read in pieces."""
    digest = hashlib.new(algorithm)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
