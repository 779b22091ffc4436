"""Makes one Config of flags, environment, files, profile and defaults, in this order of rank.

Or again of what the cluster's state keeps of one: `Config.public()`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as File
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from cto.config import profile
from cto.config.environment import read_environment
from cto.config.fields import Secret
from cto.config.layers import (
    DEFAULT,
    Layer,
    Origin,
    Setting,
    Settings,
    from_plain,
    leaves,
    merge,
    placed,
    restricted,
    settings_at,
    to_plain,
)
from cto.config.model import Config
from cto.config.problems import Path, Problem, dotted, failure
from cto.config.profile import Profile
from cto.config.sections import ClusterSettings
from cto.config.shape import FieldKind, problems_of, shape_at
from cto.config.source import YamlSource, parse, resolve
from cto.errors import ConfigError, nearest

_SOURCE = "from"
STDIN = "-"
_UNREADABLE = "CTO-1301"
_ABSENT = "there is no such file"
_NAME_ONE = "Name a file that is there; `cto config init FILE` writes one to begin with."


def remembered(data: Mapping[str, Any]) -> Config | None:
    """Return the configuration; None if this version cannot read it.

    References to Secrets are as they were. Of other secrets only the source is known: their values
    are in the cluster's Secrets, and nowhere here.
    """
    try:
        return Config.model_validate(_with_sources(data, ()))
    except ValidationError:
        # A damaged hint, or a field that another version has: the cluster says the rest.
        return None


def remembered_under(
    data: Mapping[str, Any], env: Mapping[str, str], sections: Sequence[str]
) -> Config | None:
    """Return the configuration, with what the environment says of some sections over it.

    Raises:
        ConfigError: CTO-1300, what it says is wrong.
    """
    run = _Load(env=env)
    given = {
        path: item for path, item in run.environment().items() if not path or path[0] in sections
    }
    resolved, problems = resolve(given, env)
    run.problems = [*run.problems, *problems]
    if run.problems:
        raise failure(run.problems)
    if len(given) == 1 or remembered(data) is None:
        return remembered(data)
    below = from_plain(_with_sources(data, ()), Origin(Layer.DEFAULT, "what is installed"))
    merged = merge(below, _with_secrets(resolved))
    try:
        return Config.model_validate(to_plain(merged))
    except ValidationError as error:
        raise failure(problems_of(error, merged, Config, ())) from None


SecretValue = Callable[[str], str | None]
"""Takes the dotted path of a secret field; gives its value, None where nobody knows it."""


def _with_sources(data: Any, path: Path, value_of: SecretValue = lambda _: None) -> Any:
    if not isinstance(data, Mapping):
        return data
    shape = shape_at(path)
    if shape is not None and shape.kind is FieldKind.SECRET and isinstance(data.get(_SOURCE), str):
        value = value_of(dotted(path))
        return Secret(value, data[_SOURCE]) if value else Secret.remembered(data[_SOURCE])
    return {key: _with_sources(item, (*path, str(key)), value_of) for key, item in data.items()}


@dataclass(frozen=True, kw_only=True)
class Installed:
    """What a cluster's state keeps of the configuration that the platform was installed with.

    Attributes:
        config: `Config.public()`.
        given: Dotted paths of what a file, a variable or a flag said, as in `Loaded.given`. None
            if an older cto wrote the state: all that differs from defaults and profile counts.
        value_of: Finds the values of secrets, which the state does not have.
    """

    config: Mapping[str, Any]
    given: tuple[str, ...] | None
    value_of: SecretValue


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A configuration with its history.

    Attributes:
        origins: Dotted path of every value -> where it came from. A list is one value.
    """

    config: Config
    profile: Profile
    origins: Mapping[str, Origin]

    @property
    def names_profile(self) -> bool:
        """Tell whether anybody chose the profile: a file, the environment or a flag."""
        return self.origins["profile"].layer is not Layer.DEFAULT

    @property
    def given(self) -> tuple[str, ...]:
        """The paths of what somebody said, now or in an earlier run; one of Helm values is one."""
        said = (path for path, origin in self.origins.items() if origin.layer > Layer.PROFILE)
        return tuple(sorted({_closed(path) for path in said}))


def load(
    *,
    flags: Mapping[str, Any],
    env: Mapping[str, str],
    files: Sequence[str],
    profiles: File,
    component_names: Callable[[Sequence[str]], Sequence[str]],
    stdin: Callable[[], str],
    options: Mapping[str, str] = MappingProxyType({}),
    installed: Installed | None = None,
) -> Loaded:
    """Read the whole configuration.

    Args:
        flags: Dotted path -> value; nothing and empty ones are not given. No secrets.
        env: The environment: settings, and what `${NAME}` stands for.
        files: Paths in the order of the command line, the last one wins; `-` is stdin.
        profiles: Folder of the built-in profiles.
        component_names: Returns those of the catalog, for the folders of `components_from`.
        stdin: Returns what was piped in.
        options: Dotted path -> the option that gives it, if it is not called as the field.
        installed: What was given to the installation: it counts where nothing else is given.

    Raises:
        ConfigError: CTO-1300 with a line for everything that is wrong; CTO-1301 if a file is not
            readable, CTO-1302 if there is nothing wrong but the profile.
    """
    run = _Load(env=env)
    before = [_installed(installed, env, profiles)] if installed else []
    given = [*before, *run.files(files, stdin), run.environment(), _flags(flags, options)]
    layer, chosen = run.profile(given, profiles)
    merged = functools.reduce(merge, [_defaults(), layer, *given])
    run.learn_components(merged, component_names)
    return run.finish(merged, chosen)


def load_cluster(
    *,
    flags: Mapping[str, Any],
    env: Mapping[str, str],
    files: Sequence[str],
    profiles: File,
    stdin: Callable[[], str],
    options: Mapping[str, str] = MappingProxyType({}),
) -> ClusterSettings:
    """Read only the section `cluster`, as `load` would, for verbs that need no more.

    A mistake in another section, a secret that is not set, or an unknown profile is none of their
    business. A name that nothing has is: it may have been meant for the cluster.

    Args:
        flags: These and all others are those of `load`.
        env: The environment.
        files: Paths.
        profiles: Folder.
        stdin: Returns what was piped in.
        options: As above.

    Raises:
        ConfigError: CTO-1300 with a line for everything that is wrong; CTO-1301 if a file is not
            readable.
    """
    run = _Load(env=env)
    given = [*run.files(files, stdin), run.environment(), _flags(flags, options)]
    problems = [item for item in run.problems if item.path.partition(".")[0] in {"", "cluster"}]
    layer, _ = run.profile(given, profiles)
    run.problems = problems
    return run.cluster(functools.reduce(merge, [_defaults(), layer, *given]))


def _installed(installed: Installed, env: Mapping[str, str], profiles: File) -> Settings:
    """Return what was given to the installation."""
    data = _with_sources(installed.config, (), installed.value_of)
    settings = from_plain(data, Origin(Layer.INSTALLED, "what is installed"))
    if installed.given is None:
        named = restricted(settings, lambda path: path == ("profile",))
        usual = merge(_defaults(), _Load(env=env).profile([named], profiles)[0])
        kept = {path for path, _ in leaves(settings) if not _same(settings, usual, path)}
    else:
        told = frozenset(installed.given)
        kept = {path for path, _ in leaves(settings) if _closed(_value_path(path)) in told}
    return restricted(settings, lambda path: path == ("profile",) or path in kept)


def _same(one: Settings, other: Settings, path: Path) -> bool:
    return path in other and to_plain(settings_at(one, path)) == to_plain(settings_at(other, path))


@dataclass
class _Load:
    """One run: what it was given, and what turned out to be wrong."""

    env: Mapping[str, str]
    component_names: Sequence[str] = ()
    problems: list[Problem] = field(default_factory=list)

    def files(self, names: Sequence[str], stdin: Callable[[], str]) -> list[Settings]:
        layers = []
        for index, name in enumerate(names):
            if name == STDIN and STDIN in names[:index]:
                self._unreadable(name, "stdin can be read only once")
                continue
            text = self._text(name, stdin)
            if text is not None:
                layers += self._parsed(text, "stdin" if name == STDIN else name)
        unreadable = [problem for problem in self.problems if problem.code == _UNREADABLE]
        if unreadable:
            absent = all(problem.reason == _ABSENT for problem in unreadable)
            raise failure(unreadable, hint=_NAME_ONE if absent else "")
        return layers

    def environment(self) -> Settings:
        layer, problems = read_environment(self.env)
        self.problems += problems
        return _without_empty(layer)

    def profile(self, layers: Sequence[Settings], folder: File) -> tuple[Settings, Profile | None]:
        """Read the profile that the layers name."""
        path = ("profile",)
        named = functools.reduce(merge, layers, _defaults())[path]
        resolved = resolve({path: named}, self.env)[0][path]
        empty = from_plain({}, Origin(Layer.PROFILE, "profile"))
        if not isinstance(resolved.value, str):
            return empty, None  # the model says what is wrong with it
        found = profile.read(resolved.value, folder, resolved)
        self.problems += found.problems
        return _without_empty(found.layer or empty), found.profile

    def learn_components(
        self, merged: Settings, names: Callable[[Sequence[str]], Sequence[str]]
    ) -> None:
        """Learn how components are called, a user's own among them."""
        given = {path: item for path, item in merged.items() if path[:1] == ("components_from",)}
        # What is no folder's name, the model tells.
        found = {p: s for p, s in resolve(given, self.env)[0].items() if isinstance(s.value, str)}
        self.component_names = names(())
        for path, folder in found.items():
            try:
                self.component_names = [*self.component_names, *names([folder.value])]
            except ConfigError as error:
                self.problems.append(
                    Problem(
                        path=dotted(path),
                        value=folder.value,
                        origin=str(folder.origin),
                        reason=error.message,
                    )
                )

    def finish(self, merged: Settings, chosen: Profile | None) -> Loaded:
        resolved, config = self._checked(merged)
        if config is None or chosen is None or self.problems:
            raise failure(self.problems)
        return Loaded(config=config, profile=chosen, origins=_origins(resolved, config))

    def cluster(self, merged: Settings) -> ClusterSettings:
        """Check the one section, and the names of all."""
        kept = {
            path: item
            for path, item in merged.items()
            if path[:1] in {(), ("cluster",)} or shape_at(path[:1]) is None
        }
        _, config = self._checked(kept)
        if config is None or self.problems:
            raise failure(self.problems)
        return config.cluster

    def _checked(self, merged: Settings) -> tuple[Settings, Config | None]:
        resolved, problems = resolve(merged, self.env)
        self.problems += problems
        return resolved, self._config(resolved, {problem.path for problem in problems})

    def _config(self, settings: Settings, unresolved: set[str]) -> Config | None:
        context = {"component_names": self.component_names}
        data = to_plain(_with_secrets(settings))
        try:
            return Config.model_validate(data, context=context)
        except ValidationError as error:
            problems = problems_of(error, settings, Config, self.component_names)
        # A field whose variable is not set has one problem, not two.
        self.problems += [item for item in problems if item.path not in unresolved]
        return None

    def _text(self, name: str, stdin: Callable[[], str]) -> str | None:
        try:
            return stdin() if name == STDIN else File(name).read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            self._unreadable(name, _ABSENT, _similar(File(name)))
            return None
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        except UnicodeDecodeError:
            reason = "cannot be read: it is not UTF-8 text"
        self._unreadable(name, reason)
        return None

    def _parsed(self, text: str, label: str) -> list[Settings]:
        parsed = parse(text, YamlSource(Layer.FILE, label))
        self.problems += parsed.problems
        if parsed.settings is None:
            return []
        if parsed.settings[()].is_mapping:
            return [_without_empty(parsed.settings)]
        self._unreadable(label, "must be a mapping of settings, `key: value`")
        return []

    def _unreadable(self, name: str, reason: str, fix: str = "") -> None:
        origin = "stdin" if name == STDIN else name
        problem = Problem(path="", origin=origin, reason=reason, fix=fix, code=_UNREADABLE)
        self.problems.append(problem)


def _similar(file: File) -> str:
    """Ask whether another file of the folder was meant; '' if none has such a name."""
    try:
        near = nearest(file.name, (other.name for other in file.parent.iterdir()))
    except OSError:
        return ""
    return f"did you mean {file.with_name(near)}?" if near else ""


def _defaults() -> Settings:
    return from_plain(Config().model_dump(mode="json"), DEFAULT)


def _flags(flags: Mapping[str, Any], options: Mapping[str, str]) -> Settings:
    layer = from_plain({}, Origin(Layer.FLAG, "flags"))
    for path, value in flags.items():
        if value is None or value == "":
            continue
        keys = tuple(path.split("."))
        option = options.get(path, f"--{keys[-1].replace('_', '-')}")
        origin = Origin(Layer.FLAG, option)
        layer = merge(layer, placed(keys, from_plain(value, origin)))
    return layer


def _without_empty(settings: Settings) -> Settings:
    """Take out what is only a headline: `smtp:` with every line below it commented out."""
    return {
        path: item
        for path, item in settings.items()
        if item.value is not None or not _takes_more(path)
    }


def _takes_more(path: Path) -> bool:
    """Tell whether lines belong below a key of ours."""
    above, shape = shape_at(path[:-1]), shape_at(path)
    own = above is not None and above.kind in {FieldKind.SECTION, FieldKind.MAPPING}
    return own and shape is not None and (shape.is_container or shape.kind is FieldKind.LIST)


def _with_secrets(settings: Settings) -> Settings:
    """Wrap the values of secret fields, so that nothing after this can show them."""
    return {path: _wrapped(item, path) for path, item in settings.items()}


def _wrapped(item: Setting, path: Path) -> Setting:
    shape = shape_at(path)
    is_secret = shape is not None and shape.kind is FieldKind.SECRET
    if not is_secret or not item.is_single or item.value is None or isinstance(item.value, Secret):
        return item
    # As it was written: 0123 is a password, not the number 83.
    value = item.value if isinstance(item.value, str) else item.text
    source = f"env {', '.join(item.variables)}" if item.variables else str(item.origin)
    return replace(item, value=Secret(value, source))


def _origins(settings: Settings, config: Config) -> dict[str, Origin]:
    origins = {_value_path(path): leaf.origin for path, leaf in leaves(settings)}
    # What a user's own agent or component leaves out comes from the model.
    for path, _ in leaves(from_plain(config.public(), DEFAULT)):
        if path not in settings and not _is_marker(path):
            origins.setdefault(_value_path(path), DEFAULT)
    return origins


def _closed(path: str) -> str:
    """Return the path of the field that a path ends in: of Helm values, that of them all."""
    keys = path.split(".")
    for end in range(1, len(keys)):
        shape = shape_at(tuple(keys[:end]))
        if shape is not None and shape.kind is FieldKind.OPEN:
            return ".".join(keys[:end])
    return path


def _is_marker(path: Path) -> bool:
    above = shape_at(path[:-1])
    return path[-1] == "from" and above is not None and above.kind is FieldKind.SECRET


def _value_path(path: Path) -> str:
    """Return the dotted path of a value; a secret reference is one."""
    above = shape_at(path[:-1])
    return dotted(path[:-1] if above is not None and above.kind is FieldKind.SECRET else path)
