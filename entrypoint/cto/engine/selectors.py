"""Selectors of labels, as the API server and the scheduler read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any


def selected(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Tell whether labels fulfil a selector; an absent or empty one takes everything."""
    wanted = (selector or {}).get("matchLabels") or {}
    expressions = (selector or {}).get("matchExpressions") or ()
    return wanted.items() <= labels.items() and all(
        matches_expression(expression, labels) for expression in expressions
    )


def matches_expression(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Tell whether labels fulfil one requirement of a selector.

    A word of a newer Kubernetes keeps nobody away: it is not understood here.
    """
    found, values = labels.get(expression["key"]), tuple(expression.get("values") or ())
    test = _OPERATORS.get(expression["operator"])
    return test is None or test(found, values)


def _number(text: str | None) -> float:
    """Return an integer; what is none is neither more nor less than anything."""
    return int(text) if text is not None and text.isdigit() else math.nan


_OPERATORS: Mapping[str, Callable[[str | None, tuple[str, ...]], bool]] = {
    "In": lambda found, values: found in values,
    "NotIn": lambda found, values: found not in values,
    "Exists": lambda found, _: found is not None,
    "DoesNotExist": lambda found, _: found is None,
    "Gt": lambda found, values: _number(found) > _number(values[0]),
    "Lt": lambda found, values: _number(found) < _number(values[0]),
}
