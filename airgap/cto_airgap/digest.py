"""Digests as OCI writes them: `sha256:` and 64 hexadecimal digits."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NewType

Digest = NewType("Digest", str)

# The two that the image specification registers:
# https://github.com/opencontainers/image-spec/blob/main/descriptor.md#registered-algorithms
_FORM = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
# Larger pieces are not faster: the digest is computed without the interpreter's lock from 2 KiB on.
_PIECE = 1 << 20


def parse(text: str) -> Digest:
    """Return the text as a digest.

    Raises:
        ValueError: It is none.
    """
    if not _FORM.fullmatch(text):
        message = f"not a digest: {text[:160]!r}"
        raise ValueError(message)
    return Digest(text)


def algorithm_of(digest: Digest) -> str:
    return digest.partition(":")[0]


def hex_of(digest: Digest) -> str:
    return digest.partition(":")[2]


def of_bytes(data: bytes, algorithm: str = "sha256") -> Digest:
    return Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")


def of_file(path: Path, algorithm: str = "sha256") -> Digest:
    """Return the digest of a file; it is never in memory as a whole."""
    digest = hashlib.new(algorithm)
    buffer = bytearray(_PIECE)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return Digest(f"{algorithm}:{digest.hexdigest()}")
