"""Renders the templates of components: values and manifests, as decoded YAML.

Rendering is pure: it reads templates, nothing else, and the same context gives the same bytes.
Secrets therefore never appear in what is rendered; `secret` and `random` give references.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from jinja2 import Environment, FunctionLoader, StrictUndefined, Undefined
from jinja2.exceptions import TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

from cto import goyaml
from cto.catalog import Component, GeneratedSecret, PodRequests, SuppliedSecret
from cto.errors import ConfigError, nearest
from cto.goyaml import YAMLError
from cto.objects import Manifest, load_documents, load_yaml

_Result = TypeVar("_Result")

VALUES = "values.yaml.j2"

_LABEL_LENGTH = 63
_HASH_LENGTH = 8
# What an expression in a template can raise besides jinja's own errors.
_EXPRESSION_ERRORS = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError)


class Renderer:
    """Renders templates in one context.

    Args:
        context: What all templates see: config, profile, features, components, cluster.
        env: The environment that `env()` reads.
    """

    def __init__(self, context: Mapping[str, Any], *, env: Mapping[str, str]) -> None:
        self._context = dict(context)
        # Undefined is an error.
        self._environment = Environment(
            loader=FunctionLoader(_read),
            undefined=_Unknown,
            autoescape=False,  # noqa: S701 - the output is YAML, not HTML
            keep_trailing_newline=True,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        # What a template puts into YAML is text that YAML reads, whatever is in it.
        self._environment.policies["json.dumps_function"] = _json
        named = {"k8s_name": _strict(k8s_name), "base64": _strict(base64)}
        self._environment.globals.update(named, env=_strict(_env_reader(env)))
        self._environment.filters.update(named, exactly=_strict(exactly), port=port_of)
        self._marking = self._environment.overlay(extensions=[_Marks])

    def values(
        self, component: Component, overrides: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the values of a component's release.

        The values that switch the chart's own CRDs off come last but for the user's.

        Raises:
            ConfigError: CTO-1311, naming file and line.
        """
        path = component.folder / VALUES
        values = self._parse(path, self._names(component), load_yaml) or {}
        if not isinstance(values, dict):
            raise _broken(path, 1, "the values are not a mapping")
        off = component.crds.off if component.crds else {}
        return merge(values, off, overrides or {})

    def manifests(self, component: Component, names: Sequence[str]) -> tuple[Manifest, ...]:
        """Return the objects of some of a component's own templates, in their order.

        Raises:
            ConfigError: CTO-1311, naming file and line.
        """
        return tuple(manifest for name in names for manifest in self._manifests(component, name))

    def asked(self, component: Component) -> Mapping[str, PodRequests]:
        """Return what a component's containers ask for, by their names in component.yaml.

        Raises:
            ConfigError: CTO-1310, an expression in component.yaml is wrong.
        """
        size = self._size(component)
        return {
            name: PodRequests(
                pods=self.number(component, f"resources.{name}.pods", container.pods),
                requests=container.requests[size],
            )
            for name, container in component.resources.items()
        }

    def number(self, component: Component, field: str, expression: str) -> int:
        """Return what an expression in a field of component.yaml comes to.

        Raises:
            ConfigError: CTO-1310, it is wrong.
        """
        names = {**self._context, "size": self._size(component)}
        try:
            compiled = self._environment.compile_expression(expression, undefined_to_none=False)
            return int(cast("int", compiled(names)))
        except _EXPRESSION_ERRORS as error:
            file = component.folder / "component.yaml"
            text = f"{file}: not a valid component"
            details = f"{field}: {expression!r}: {error}"
            raise ConfigError("CTO-1310", text, details=details) from error

    def text(self, path: Path, names: Mapping[str, Any] | None = None) -> str:
        """Return a template that belongs to no component; it sees `names` besides the context.

        Raises:
            ConfigError: CTO-1311, naming file and line.
        """
        return self._render(path, {**self._context, **(names or {})})

    def _manifests(self, component: Component, name: str) -> Sequence[Manifest]:
        path = component.folder / name
        manifests: list[Manifest] = self._parse(
            path, self._names(component), lambda text: [*load_documents(text)]
        )
        for number, manifest in enumerate(manifests, start=1):
            if not _is_object(manifest):
                raise _broken(path, 1, f"object {number} lacks apiVersion, kind or metadata.name")
        return manifests

    def _names(self, component: Component) -> dict[str, Any]:
        asked = self.asked(component)
        return {
            **self._context,
            "component": component,
            "size": self._size(component),
            "pods": {name: one.pods for name, one in asked.items()},
            "requests": {name: one.requests.model_dump() for name, one in asked.items()},
            "data": _strict(_data_reader(component)),
            "secret": _strict(_secret_reader(component)),
            "random": _strict(_random_reader(component)),
        }

    def _size(self, component: Component) -> str:
        return component.size(
            self._context["profile"],
            high_availability=self._context["features"]["high_availability"],
        )

    def _parse(self, path: Path, names: Mapping[str, Any], load: Callable[[str], Any]) -> Any:
        text = self._render(path, names)
        try:
            return load(text)
        except YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error)
            lines = text.splitlines()
            number = min(mark.line if mark else 0, len(lines) - 1)
            raise _broken(
                path,
                _origin(self._render(path, names, marked=True), number),
                f"not valid YAML once rendered: {problem}",
                details=lines[number].strip(),
            ) from error
        except AttributeError as error:
            raise _broken(path, 1, "not a stream of mappings") from error

    def _render(self, path: Path, names: Mapping[str, Any], *, marked: bool = False) -> str:
        environment = self._marking if marked else self._environment
        try:
            return environment.get_template(str(path)).render(names)
        except TemplateSyntaxError as error:
            raise _broken(path, error.lineno, error.message or "syntax error") from error
        except TemplateNotFound as error:
            raise _broken(path, 1, "there is no such template") from error
        except _EXPRESSION_ERRORS as error:
            raise _broken(path, _line_in(path, error.__traceback__), str(error)) from error


class _Unknown(StrictUndefined):
    """What a template names and nobody gave: an error, with the names that there are."""

    @property
    def _undefined_message(self) -> str:
        there = self._undefined_obj
        known = there if isinstance(there, Mapping) else getattr(type(there), "model_fields", {})
        if self._undefined_hint or not known:
            return super()._undefined_message
        names = sorted(map(str, known))
        close = nearest(str(self._undefined_name), names, likeness=0.6)
        meant = f" (did you mean {close!r}?)" if close else ""
        return f"there is no {self._undefined_name!r}{meant}; known are {', '.join(names)}"


def _strict(function: Callable[..., _Result]) -> Callable[..., _Result]:
    """Let what is undefined be an error before a function of ours stumbles over it."""

    @wraps(function)
    def strict(*given: Any, **named: Any) -> _Result:
        _refuse_undefined([*given, *named.values()])
        return function(*given, **named)

    return strict


def _refuse_undefined(data: Any) -> None:
    """Raise jinja's error for whatever is undefined in here, however deep."""
    if isinstance(data, Undefined):
        str(data)
    elif isinstance(data, Mapping):
        _refuse_undefined([*data.keys(), *data.values()])
    elif isinstance(data, list | tuple):
        for item in data:
            _refuse_undefined(item)


class _Marks(Extension):
    """Marks each line that a template writes with the template's own line number.

    Only text that is already known to be broken is rendered with it: marks inside a block that
    is filtered would spoil the result.
    """

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        for token in stream:
            if token.type != "data":
                yield token
                continue
            first, *others = token.value.split("\n")
            marked = [f"\x01{token.lineno + n}\x02{text}" for n, text in enumerate(others, 1)]
            yield Token(token.lineno, "data", "\n".join([first, *marked]))


def _origin(marked: str, number: int) -> int:
    """Return the template's line that wrote a line of a marked text (which counts from 0)."""
    text = "".join(marked.splitlines(keepends=True)[: number + 1])
    marks = re.findall(r"\x01(\d+)\x02", text)
    return int(marks[-1]) if marks else 1


def merge(base: Mapping[str, Any], *overlays: Mapping[str, Any]) -> dict[str, Any]:
    """Return base with the overlays on top; mappings are merged, all else is replaced.

    A null stays: to Helm it means that a chart's default is to be dropped.
    """
    merged = dict(base)
    for overlay in overlays:
        for key, value in overlay.items():
            below = merged.get(key)
            both = isinstance(below, Mapping) and isinstance(value, Mapping)
            merged[key] = merge(cast("Mapping[str, Any]", below), value) if both else value
    return merged


def k8s_name(text: str) -> str:
    """Return a name that fits an RFC 1123 label: a-z, 0-9 and '-', 63 characters at most.

    What does not fit becomes '-'. A longer name is cut, and ends in a hash of the whole, so that
    two long names stay two.

    Raises:
        ValueError: No character of the text fits.
    """
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not name:
        problem = f"k8s_name: nothing of {text!r} can be in a name"
        raise ValueError(problem)
    if len(name) <= _LABEL_LENGTH:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_LENGTH]
    return f"{name[: _LABEL_LENGTH - _HASH_LENGTH - 1].rstrip('-')}-{digest}"


def _json(data: Any, **_options: Any) -> str:
    _refuse_undefined(data)
    return goyaml.dump_json(data)


def port_of(url: str | None) -> int:
    """Return the port that an address leads to; its scheme's if it names none, 443 for none."""
    parts = urlsplit(url or "")
    return parts.port or (80 if parts.scheme == "http" else 443)


def exactly(text: str) -> str:
    """Return the regular expression that matches this text, and no other that holds it."""
    return f"^{re.escape(text)}$"


def base64(text: str) -> str:
    """Return the text, as UTF-8, in base64."""
    return b64encode(text.encode()).decode("ascii")


def _is_object(manifest: Any) -> bool:
    return (
        isinstance(manifest, dict)
        and bool(manifest.get("apiVersion"))
        and bool(manifest.get("kind"))
        and isinstance(manifest.get("metadata"), dict)
        and bool(manifest["metadata"].get("name"))
    )


def _env_reader(env: Mapping[str, str]) -> Callable[..., str]:
    def read(name: str, default: str | None = None) -> str:
        value = env.get(name, default)
        if value is None:
            problem = f"env: {name} is not set and has no default"
            raise LookupError(problem)
        return value

    return read


def _data_reader(component: Component) -> Callable[[str], Any]:
    """Make `data(FILE)`: what a YAML file of the component's folder holds."""

    def read(name: str) -> Any:
        found = _read(str(component.folder / name))
        if found is None:
            problem = f"data: {component.name} has no file {name!r}"
            raise LookupError(problem)
        return load_yaml(found[0])

    return read


def _secret_reader(component: Component) -> Callable[..., str]:
    """Make `secret(NAME, KEY)`: a secretKeyRef to one of the component's declared Secrets."""
    declared: dict[str, list[str]] = {}
    secrets: tuple[GeneratedSecret | SuppliedSecret, ...] = (
        *component.generated_secrets,
        *component.supplied_secrets,
    )
    for one in secrets:
        declared.setdefault(one.name, []).extend(one.keys)

    def reference(name: str, key: str, *, optional: bool = False) -> str:
        if not any(fnmatchcase(key, pattern) for pattern in declared.get(name, ())):
            problem = f"secret: {component.name} declares no key {key!r} of a Secret {name!r}"
            raise ValueError(problem)
        mark = {"optional": True} if optional else {}
        return goyaml.dump_json({"name": name, "key": key, **mark})

    return reference


def _random_reader(component: Component) -> Callable[[str], str]:
    """Make `random(NAME)`: the name of one of the component's generated Secrets."""
    declared = {secret.name for secret in component.generated_secrets}

    def reference(name: str) -> str:
        if name not in declared:
            problem = f"random: {component.name} declares no generated Secret {name!r}"
            raise ValueError(problem)
        return name

    return reference


def _read(name: str) -> tuple[str, str, None] | None:
    try:
        return Path(name).read_text(encoding="utf-8"), name, None
    except OSError:
        return None


def _line_in(path: Path, traceback: TracebackType | None) -> int:
    """Return the template's line at which an error was raised: jinja puts it in the traceback."""
    line = 1
    while traceback:
        if traceback.tb_frame.f_code.co_filename == str(path):
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line


def _broken(path: Path, line: int, problem: str, *, details: str = "") -> ConfigError:
    where = f"{path.parent.name}/{path.name}"
    text = f"the line once rendered: {details}" if details else ""
    return ConfigError("CTO-1311", f"{where}:{line}: {problem}", details=text)
