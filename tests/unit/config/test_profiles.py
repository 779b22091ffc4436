"""Profiles: the built-in ones, and those of a user's own."""

from __future__ import annotations

import pytest

from cto import assets
from cto.config import profile
from cto.config.agents import ROLES
from unit.config.loading import Loader

_FOLDER = assets.root() / "profiles"


def test_the_built_in_ones_are_named_from_small_to_large() -> None:
    assert profile.names(_FOLDER) == ("minimal", "standard", "production")


@pytest.mark.parametrize(
    ("name", "needs", "features"),
    [
        ("minimal", (4, 8, 20, 5, 1), set()),
        ("standard", (8, 16, 50, 10, 1), {"monitoring", "databases"}),
        (
            "production",
            (16, 32, 100, 15, 3),
            {"monitoring", "databases", "backup", "high_availability"},
        ),
    ],
)
def test_each_has_its_requirements_and_features(
    loading: Loader, name: str, needs: tuple[int, ...], features: set[str]
) -> None:
    loaded = loading(flags={"profile": name})
    size = loaded.profile
    assert (size.cpu, size.memory_gb, size.disk_gb, size.minutes, size.nodes) == needs
    assert (size.name, size.base) == (name, name)
    assert {key for key, on in loaded.config.features if on} == features
    assert loaded.config.features == size.features
    assert loaded.config.cluster.nodes == size.nodes
    assert set(loaded.config.agents) == set(ROLES)


def test_ones_own_is_a_built_in_one_with_differences(loading: Loader) -> None:
    path = loading.file(
        "extends: standard\ntitle: Team\nmemory_gb: 24\nfeatures: {databases: false}\n"
        "config:\n  platform: {name: '${TEAM}'}\n",
        "team.yaml",
    )
    loaded = loading(flags={"profile": path}, env={"TEAM": "blue"})
    own = loaded.profile
    assert (own.name, own.base, own.title, own.memory_gb, own.cpu) == (
        "team",
        "standard",
        "Team",
        24,
        8,
    )
    assert (own.features.monitoring, loaded.config.features.databases) == (True, False)
    assert loaded.config.platform.name == "blue"
    assert str(loaded.origins["platform.name"]) == f"profile {path}:6"
    assert str(loaded.origins["features.monitoring"]) == "profile standard"
    assert loaded.config.agents["morgan"].enabled


def test_a_path_in_a_file_is_relative_to_that_file(loading: Loader) -> None:
    loading.file("title: Mine\n", "sub/mine.yml")
    path = loading.file("profile: mine.yml", "sub/cto.yaml")
    loaded = loading(files=[path])
    assert (loaded.profile.title, loaded.profile.base) == ("Mine", "minimal")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("extends: huge", "extends (profile PATH:1): is no built-in profile; take one of: minimal"),
        ("cpu: many", "cpu 'many' (profile PATH:1): must be a whole number"),
        ("memory: 4", "memory (profile PATH:1): there is no such field; did you mean memory_gb?"),
        ("features: {monitor: true}", "features.monitor (profile PATH:1): there is no such field"),
        ("config: {profile: minimal}", "config.profile (profile PATH:1): a profile cannot set"),
        ("config: {smtp: {port: x}}", "smtp.port 'x' (profile PATH:1): must be a whole number"),
        ("cpu: 1\ncpu: 2", "cpu (profile PATH:2): is given twice, first in profile PATH:1"),
        ("a: [", "profile PATH:2: not valid YAML"),
        ("- a", "profile (own): a profile must be a mapping"),
    ],
)
def test_what_is_wrong_in_ones_own_is_told(loading: Loader, text: str, told: str) -> None:
    path = loading.file(text, "own.yaml")
    error = loading.failure(flags={"profile": path})
    assert told in error.details.replace(path, "PATH")


def test_one_that_cannot_be_read_is_told(loading: Loader) -> None:
    (loading.folder / "own.yaml").write_bytes(b"\xff")
    error = loading.failure(flags={"profile": str(loading.folder / "own.yaml")})
    assert error.code == "CTO-1302"
    assert "cannot be read as UTF-8" in error.details


def test_one_that_does_not_exist_is_told_with_everything_else(loading: Loader) -> None:
    assert loading.lines("cluster: {nodes: 0}", flags={"profile": "nope.yaml"}) == [
        (
            "profile 'nope.yaml' (--profile): there is no such profile, nor a file of this name; "
            "take one of: minimal, standard, production"
        ),
        "cluster.nodes '0' (0.yaml:1): must be at least 1",
    ]
