"""Profiles: what an installation of a size needs, and the defaults that go with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, ValidationError

from cto.config.fields import Section
from cto.config.layers import (
    Layer,
    Setting,
    Settings,
    merge,
    nearest_origin,
    placed,
    settings_at,
    to_plain,
)
from cto.config.problems import Problem, did_you_mean
from cto.config.sections import Features
from cto.config.shape import problems_of
from cto.config.source import Parsed, YamlSource, parse

_UNKNOWN = "CTO-1302"
_DEFAULT_BASE = "minimal"
# What a profile may not choose: itself, and the format of another file.
_NOT_IN_PROFILE = ("profile", "version")


class Profile(Section):
    """A size of the platform: its requirements and features.

    `base` is what templates and component files know as the size: a profile of one's own has none.
    Sizes of volumes are not here: most cannot change any more once they exist, so they would be in
    the way of a change of the profile.
    """

    name: str = Field(description="Name, or file name without suffix.", examples=["minimal"])
    base: str = Field(description="The built-in profile it is made from.", examples=["minimal"])
    title: str = Field(description="Name for people.", examples=["Minimal"])
    description: str = Field(description="One sentence.", examples=["The core only."])
    cpu: int = Field(ge=1, description="CPUs that are needed.", examples=[4])
    memory_gb: int = Field(ge=1, description="Memory that is needed.", examples=[8])
    disk_gb: int = Field(ge=1, description="Disk that is needed.", examples=[20])
    minutes: int = Field(ge=1, description="Estimated duration.", examples=[5])
    nodes: int = Field(ge=1, le=100, description="Nodes of a cluster that is made.", examples=[1])
    features: Features = Field(description="What is installed beyond the core.", examples=[{}])


@dataclass
class Read:
    """A profile and the layer of settings that it gives."""

    profile: Profile | None = None
    layer: Settings | None = None
    problems: list[Problem] = field(default_factory=list)


def names(folder: Path) -> tuple[str, ...]:
    """Return the names of the built-in profiles, the smallest first."""
    sized = [(parse_size(file), file.stem) for file in folder.glob("*.yaml")]
    return tuple(name for _, name in sorted(sized))


def parse_size(file: Path) -> int:
    found = parse(file.read_text(encoding="utf-8"), YamlSource(Layer.PROFILE, file.stem)).settings
    cpu = found.get(("cpu",)) if found else None
    return cpu.value if cpu and isinstance(cpu.value, int) else 0


def read(name: str, folder: Path, given: Setting) -> Read:
    """Read a built-in profile by its name, or one's own by its path.

    Args:
        name: Name or path. A path in a configuration file is relative to that file.
        folder: Of the built-in profiles.
        given: The name as it was given, and where.
    """
    built_in = folder / f"{name}.yaml"
    if "/" not in name and built_in.is_file():
        return _checked(name, name, _parsed(built_in, f"profile {name}", lines=False))
    if not name.endswith((".yaml", ".yml")):
        return Read(problems=[_unknown(name, folder, given)])
    file = Path(name)
    if given.origin.layer is Layer.FILE:
        file = Path(given.origin.text.rpartition(":")[0]).parent / file
    if not file.is_file():
        return Read(problems=[_unknown(name, folder, given)])
    return _own(file, folder)


def _own(file: Path, folder: Path) -> Read:
    """Read a profile of the user's: a built-in one with differences."""
    own = _parsed(file, f"profile {file}", lines=True)
    if own.settings is None or not own.settings[()].is_mapping:
        return _checked(file.stem, "", own)
    extends = own.settings.get(("extends",))
    base = extends.value if extends and extends.is_single else _DEFAULT_BASE
    source = folder / f"{base}.yaml"
    if not source.is_file():
        origin = nearest_origin(own.settings, ("extends",))
        fix = did_you_mean(str(base), names(folder))
        reason = "is no built-in profile"
        problem = Problem(path="extends", origin=str(origin), reason=reason, fix=fix, code=_UNKNOWN)
        return Read(problems=[*own.problems, problem])
    below = _parsed(source, f"profile {base}", lines=False)
    assert below.settings is not None  # noqa: S101 - ours, and tested; for the type checker
    merged = merge(below.settings, own.settings)
    return _checked(file.stem, str(base), Parsed(merged, own.problems))


def _parsed(file: Path, label: str, *, lines: bool) -> Parsed:
    source = YamlSource(Layer.PROFILE, label, lines=lines)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        problem = Problem(path="", origin=label, reason="cannot be read as UTF-8", code=_UNKNOWN)
        return Parsed(problems=[problem])
    return parse(text, source)


def _checked(name: str, base: str, parsed: Parsed) -> Read:
    if parsed.settings is None or not parsed.settings[()].is_mapping:
        reason = "a profile must be a mapping"
        problem = Problem(path="profile", origin=name, reason=reason, code=_UNKNOWN)
        return Read(problems=parsed.problems or [problem])
    settings = settings_at(parsed.settings, ("config",))
    problems = [*parsed.problems, *_misplaced(settings)]
    requirements = {
        path: item
        for path, item in parsed.settings.items()
        if not path or path[0] not in {"config", "extends"}
    }
    data = {**to_plain(requirements), "name": name, "base": base}
    try:
        profile = Profile.model_validate(data)
    except ValidationError as error:
        refused = error
    else:
        return Read(profile, _layer(requirements, settings), problems)
    return Read(problems=[*problems, *problems_of(refused, requirements, Profile)])


def _misplaced(settings: Settings) -> list[Problem]:
    found = [(name, settings.get((name,))) for name in _NOT_IN_PROFILE]
    reason = "a profile cannot set this"
    return [
        Problem(path=f"config.{name}", origin=str(item.origin), reason=reason, fix="remove it")
        for name, item in found
        if item is not None
    ]


def _layer(requirements: Settings, settings: Settings) -> Settings:
    """Return the settings: those under `config`, and what the requirements say about them."""
    nodes = placed(("cluster", "nodes"), settings_at(requirements, ("nodes",)))
    features = placed(("features",), settings_at(requirements, ("features",)))
    layer = merge(features, nodes)
    return merge(layer, settings) if settings and settings[()].is_mapping else layer


def _unknown(name: str, folder: Path, given: Setting) -> Problem:
    known = names(folder)
    fix = did_you_mean(name, known)
    if given.origin.layer is Layer.INSTALLED:
        fix = f"name its file by --to-profile, or {fix}"
    return Problem(
        path="profile",
        value=given.text,
        origin=str(given.origin),
        reason="there is no such profile, nor a file of this name",
        fix=fix,
        code=_UNKNOWN,
    )
