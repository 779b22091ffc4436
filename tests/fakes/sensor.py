"""What Argo Events makes of an event by a Sensor: as much of it as our Sensors use.

Held against argo-events 1.9.11, pkg/sensors: dependencies/filter.go, triggers/params.go.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from cto.objects import Manifest

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[()|]|[^\s()|]+')
_ACTION = re.compile(r"\{\{ (.*?) \}\}")


class MissingError(LookupError):
    """A filter looks at what the event lacks: the program drops it, and logs the whole of it."""


def fired(sensor: Manifest, event: Mapping[str, Any], entry: str = "org") -> list[Manifest]:
    """Return what the triggers of a Sensor would write for an event that an entry got."""
    passed = {
        dependency["name"]
        for dependency in sensor["spec"]["dependencies"]
        if dependency["eventName"] == entry and passes(dependency["filters"], event)
    }
    # Each dependency that passed does so by itself: conditions have no `&&`.
    return [
        made(trigger["template"], event, by)
        for trigger in sensor["spec"]["triggers"]
        for by in trigger["template"]["conditions"].split(" || ")
        if by in passed
    ]


def subscriptions(sensor: Manifest) -> int:
    """Return how many the program has: each trigger one for each dependency."""
    conditions = (one["template"]["conditions"] for one in sensor["spec"]["triggers"])
    return sum(len(one.split(" || ")) for one in conditions)


def passes(filters: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Go through the data filters, until one does not match."""
    assert filters.keys() == {"data"}
    for row in filters["data"]:
        text = written(found(event, row["path"]))
        # A regular expression of Go's; without (?m), $ is the end of the text and nothing else.
        patterns = [re.sub(r"\$$", r"\\Z", pattern) for pattern in row["value"]]
        if not any(re.search(pattern, text, re.ASCII) for pattern in patterns):
            return False
    return True


def made(template: Mapping[str, Any], event: Mapping[str, Any], by: str) -> Manifest:
    """Return a trigger's resource, with its parameters of the dependency that passed."""
    resource: Manifest = copy.deepcopy(template["k8s"]["source"]["resource"])
    for parameter in template["k8s"]["parameters"]:
        source, value = parameter["src"], None
        if source["dependencyName"] != by:
            continue
        if "dataTemplate" in source:
            value = rendered(source["dataTemplate"], event)
        else:
            value = found(event, source["dataKey"])
            value = value if source.get("useRawData") else written(value)
        *path, last = parameter["dest"].split(".")
        target = resource
        for key in path:
            target = target[key]
        is_more = parameter.get("operation") == "append"
        target[last] = written(target[last]) + value if is_more else value
    return resource


def found(event: Mapping[str, Any], path: str) -> Any:
    """Return what gjson finds at a path."""
    value: Any = event
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            raise MissingError(path)
        value = value[key]
    return value


def written(value: Any) -> str:
    """Return the text that gjson gives of a value."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def rendered(text: str, event: Mapping[str, Any]) -> str:
    """Return what a template of Go's makes of an event. It fails if that is empty."""
    inner = re.fullmatch(r"\{\{ with \.Input\.body \}\}(.*)\{\{ end \}\}", text, re.DOTALL)
    assert inner, text

    def value(match: re.Match[str]) -> str:
        return str(_Expression(match.group(1), event["body"]).value())

    result = _ACTION.sub(value, inner.group(1))
    if not result:
        raise MissingError(text)
    return result


class _Expression:
    """An action of a template: fields, texts, numbers, functions of sprig, pipes."""

    def __init__(self, text: str, data: Mapping[str, Any]) -> None:
        self._tokens = _TOKEN.findall(text)
        self._data = data

    def value(self) -> Any:
        result = self._call([])
        while self._tokens and self._tokens[0] == "|":
            self._tokens.pop(0)
            result = self._call([result])
        return result

    def _call(self, last: Sequence[Any]) -> Any:
        first = self._tokens.pop(0)
        if first[0] in '."(':
            return self._operand(first)
        given = []
        while self._tokens and self._tokens[0] not in ")|":
            given.append(self._operand(self._tokens.pop(0)))
        return getattr(self, f"_{first}")(*given, *last)

    def _operand(self, token: str) -> Any:
        if token == "(":
            result = self.value()
            assert self._tokens.pop(0) == ")"
            return result
        if token[0] == '"':
            return json.loads(token)
        return found(self._data, token[1:]) if token[0] == "." else int(token)

    @staticmethod
    def _default(other: Any, value: Any) -> Any:
        return value or other

    @staticmethod
    def _dict(*pairs: str) -> dict[str, str]:
        return dict(zip(pairs[::2], pairs[1::2], strict=True))

    @staticmethod
    def _get(mapping: Mapping[str, str], key: str) -> str:
        return mapping.get(key, "")

    @staticmethod
    def _index(items: Sequence[Any], number: int) -> Any:
        return items[number]

    @staticmethod
    def _printf(text: str, *values: Any) -> str:
        return text % values

    @staticmethod
    def _regexFind(pattern: str, text: str) -> str:  # noqa: N802 - its name
        match = re.search(pattern, text)
        return match.group() if match else ""

    @staticmethod
    def _regexReplaceAll(pattern: str, text: str, instead: str) -> str:  # noqa: N802 - its name
        return re.sub(pattern, instead, text)

    @staticmethod
    def _splitList(separator: str, text: str) -> list[str]:  # noqa: N802 - its name
        return text.split(separator)

    @staticmethod
    def _trimPrefix(prefix: str, text: str) -> str:  # noqa: N802 - its name
        return text.removeprefix(prefix)
