"""The fields: names, frozen values, descriptions, the schema and the starter file."""

from __future__ import annotations

import ast
import json
import re
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from cto import assets
from cto.config.agents import ROLES
from cto.config.display import schema, schema_text, starter
from cto.config.fields import Duration, HostName, KubeName, Quantity, Section, seconds_of
from cto.config.model import Config
from cto.config.profile import Profile
from unit.config.loading import Loader

_CHECKOUT = assets.root()


def _models(base: type[BaseModel] = Section) -> list[type[BaseModel]]:
    return [model for child in base.__subclasses__() for model in (child, *_models(child))]


def test_every_field_has_a_description_and_examples() -> None:
    without = [
        f"{model.__name__}.{name}"
        for model in _models()
        for name, field in model.model_fields.items()
        if not field.description or not field.examples
    ]
    assert not without
    assert Profile in _models()


def test_a_configuration_cannot_be_changed() -> None:
    config = Config()
    with pytest.raises(ValidationError):
        config.profile = "standard"
    with pytest.raises(ValidationError):
        config.platform.name = "x"


def test_ten_agents_are_known_and_switched_off() -> None:
    agents = Config().agents
    assert tuple(agents) == tuple(ROLES)
    assert len(agents) == 10
    assert not [name for name, agent in agents.items() if agent.enabled]


def _fits(kind: Any, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


_LABEL = string.ascii_lowercase + string.digits


@given(st.text(_LABEL + "-", max_size=64))
def test_names_are_those_of_kubernetes(text: str) -> None:
    wanted = 1 <= len(text) <= 63 and text[0] in _LABEL and text[-1] in _LABEL
    assert _fits(KubeName, text) == wanted


@given(st.text(max_size=8))
def test_other_names_are_refused(text: str) -> None:
    if set(text) - set(_LABEL + "-"):
        assert not _fits(KubeName, text)
    if set(text) & set(":/@ \n"):
        assert not _fits(HostName, text)


@pytest.mark.parametrize(("value", "wanted"), [("500m", "500m"), (2, "2"), (0.5, "0.5")])
def test_quantities_may_be_numbers(value: object, wanted: str) -> None:
    assert TypeAdapter(Quantity).validate_python(value) == wanted


@pytest.mark.parametrize("value", [True, "-1", "1 Gi", "1GB", None])
def test_what_is_no_quantity_is_refused(value: object) -> None:
    assert not _fits(Quantity, value)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("20m", 1200), ("1h", 3600)])
def test_durations_have_a_unit(text: str, seconds: float) -> None:
    assert _fits(Duration, text)
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("value", [600, "600", "0s", "-5m", "1.5h", "1h30m", "10 m", "1d", ""])
def test_what_is_no_duration_is_refused(value: object) -> None:
    assert not _fits(Duration, value)


def test_the_prd_s_example_is_accepted(loading: Loader) -> None:
    config = loading(
        """\
version: "0.1.0"
profile: production
platform: {name: enterprise-platform, domain: agents.example.com, namespace: cto}
github:
  organization: company-org
  repository: platform-test
  apps:
    rex: {id: "${REX_APP_ID}", client_id: "${REX_CLIENT_ID}", private_key_path: /secrets/rex.pem}
registry: {type: ecr, url: 123456789012.dkr.ecr.us-west-2.amazonaws.com, namespace: company}
agents:
  rex: {enabled: true, resources: {cpu: 4, memory: 8Gi}}
  tess: {enabled: true, features: {kubernetes_testing: true}}
features: {monitoring: true, databases: true, backup: true, high_availability: true}
""",
        env={"REX_APP_ID": "17", "REX_CLIENT_ID": "Iv23li"},
    ).config
    assert config.github.apps["rex"].id == 17
    assert config.agents["rex"].resources.cpu == "4"


def test_the_committed_schema_is_current() -> None:
    committed = (_CHECKOUT / "docs" / "schema.json").read_text(encoding="utf-8")
    assert committed == schema_text(), "run `cto config schema > docs/schema.json`"


def test_the_schema_lets_placeholders_stand_for_scalars_only() -> None:
    definitions = schema()["$defs"]

    def takes(section: str, name: str) -> bool:
        return "{[A-Za-z_]" in json.dumps(definitions[section]["properties"][name])

    assert takes("ClusterSettings", "nodes")
    assert takes("ClusterSettings", "provider")
    assert takes("Features", "backup")
    assert takes("Platform", "name")
    assert not takes("ComponentSettings", "values")
    assert definitions["Platform"]["additionalProperties"] is False


@pytest.mark.parametrize("profile", ["minimal", "standard", "production"])
def test_the_starter_file_changes_nothing(loading: Loader, profile: str) -> None:
    wanted = loading(flags={"profile": profile}).config
    assert loading(starter(wanted)).config == wanted


def test_the_starter_file_is_valid_with_all_lines_taken_in(loading: Loader) -> None:
    text = starter(loading(flags={"profile": "standard"}).config)
    everything = re.sub(r"^#(?! \S)", "", text, flags=re.MULTILINE)
    env = {
        "GITHUB_WEBHOOK_SECRET": "a",
        "GITHUB_TOKEN": "h",
        "REGISTRY_PASSWORD": "b",
        "SMTP_PASSWORD": "c",
        "TLS_CERTIFICATE": "e",
        "TLS_KEY": "f",
        "ANTHROPIC_API_KEY": "d",
        "AWS_ACCESS_KEY_ID": "e",
        "AWS_SECRET_ACCESS_KEY": "f",
        "OAUTH_CLIENT_SECRET": "g",
    }
    config = loading(everything, env=env).config
    assert config.github.organization == "acme"
    assert config.secret_values("providers.*") == {"anthropic": "d"}
    assert config.components["argo-events"].mode == "external"


def test_importing_the_configuration_needs_pydantic_and_yaml_only() -> None:
    """Kubernetes, jinja2, requests, rich and click are slow to import."""
    folder = _CHECKOUT / "entrypoint" / "cto" / "config"
    imported = set()
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module or "")
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    ours = {name for name in imported if name.startswith("cto")}
    others = {name.partition(".")[0] for name in imported - ours}
    slow = {"kubernetes", "jinja2", "requests", "rich", "click", "urllib3", "subprocess"}
    assert not others & slow
    assert {".".join(name.split(".")[:2]) for name in ours} <= {
        "cto",
        "cto.config",
        "cto.errors",
        "cto.providers",
    }
