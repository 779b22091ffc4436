"""Quantities as Kubernetes writes them."""

from __future__ import annotations

import re
from fractions import Fraction

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_QUANTITY = re.compile(r"^([0-9.]+)(?:[eE]([-+]?[0-9]+))?([a-zA-Z]*)$")
_SUFFIXES = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    **{suffix: Fraction(1000**power) for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Fraction(1024**power) for power, suffix in enumerate("KMGTPE", start=1)},
}


def quantity(text: str) -> Fraction:
    """Return the number that a Kubernetes quantity like `500m` or `4Gi` stands for.

    Raises:
        ValueError: It is none.
    """
    found = _QUANTITY.match(str(text))
    if not found or found[3] not in _SUFFIXES:
        message = f"{text!r} is no quantity"
        raise ValueError(message)
    return Fraction(found[1]) * Fraction(10) ** int(found[2] or 0) * _SUFFIXES[found[3]]


def text_of(amount: Fraction) -> str:
    """Return a quantity as people write it: `1.5Gi`, `250m`, `3`."""
    for suffix in ("Gi", "Mi"):
        if amount >= _SUFFIXES[suffix]:
            return f"{float(amount / _SUFFIXES[suffix]):.4g}{suffix}"
    if amount.denominator != 1:
        return f"{float(amount * 1000):.4g}m"
    return str(amount)
