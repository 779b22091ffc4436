"""Settings from environment variables."""

from __future__ import annotations

import pytest

from cto.config.environment import OWN_VARIABLES, variable
from cto.config.shape import FieldKind, paths, shape_at
from unit.config.loading import Loader


def test_variables_reach_every_kind_of_field(loading: Loader) -> None:
    config = loading(
        env={
            "CTO_PROFILE": "standard",
            "CTO_PLATFORM__INGRESS_TYPE": "none",
            "CTO_FEATURES__BACKUP": "yes",
            "CTO_CLUSTER__NODES": "3",
            "CTO_SMTP__RECIPIENTS": "[a@example.com, b@example.com]",
            "CTO_AGENTS__MY_AGENT__ENABLED": "true",
            "CTO_AGENTS__TESS__FEATURES__KUBERNETES_TESTING": "false",
            "CTO_GITHUB__APPS__REX": "{id: 1, client_id: a, private_key_path: /x}",
            "CTO_PROVIDERS__OPEN_ROUTER": "key: with {odd} ${text}",
            "CTO_REGISTRY__PASSWORD__SECRET": "pull",
            "CTO_REGISTRY__PASSWORD__KEY": "password",
            "CTO_COMPONENTS__ARGO_EVENTS__MODE": "external",
            "CTO_COMPONENTS__GRAFANA__VALUES": "{a: {b: '${X}'}}",
            "HOME": "/root",
        }
    ).config
    assert (config.profile, config.platform.ingress_type) == ("standard", "none")
    assert (config.features.backup, config.cluster.nodes) == (True, 3)
    assert config.smtp.recipients == ("a@example.com", "b@example.com")
    assert config.agents["my-agent"].enabled
    assert config.agents["tess"].features == {"kubernetes_testing": False}
    assert config.github.apps["rex"].id == 1
    assert config.secret_values("providers.*") == {"open_router": "key: with {odd} ${text}"}
    assert config.secret_reference("registry.password")[""].secret == "pull"
    assert config.components["argo-events"].mode == "external"
    assert config.components["grafana"].values == {"a": {"b": "${X}"}}


def test_the_more_exact_variable_wins(loading: Loader) -> None:
    env = {"CTO_SMTP__HOST": "exact", "CTO_SMTP": "{host: rough, port: 25}"}
    smtp = loading(env=env).config.smtp
    assert (smtp.host, smtp.port) == ("exact", 25)


def test_a_single_value_is_text_as_it_stands(loading: Loader) -> None:
    config = loading(
        env={
            "CTO_PLATFORM__NAME": "no",
            "CTO_REGISTRY__USERNAME": "{x}",
            "CTO_REGISTRY__PASSWORD": "p",
        }
    ).config
    assert (config.platform.name, config.registry.username) == ("no", "{x}")


def test_empty_variables_and_those_of_the_program_say_nothing(loading: Loader) -> None:
    env = dict.fromkeys(OWN_VARIABLES, "/somewhere") | {"CTO_PROFILE": "", "CTO_SMTP": " "}
    assert loading(env=env).config.profile == "minimal"


@pytest.mark.parametrize(
    "name",
    [
        "CTO_SERVICE_HOST",
        "CTO_SERVICE_PORT",
        "CTO_PORT",
        "CTO_PORT_80_TCP_ADDR",
        "CTO_CONTROLLER_SERVICE_HOST",
        "CTO_HOME",
        "XCTO_PLATFORM__NAME",
    ],
)
def test_what_kubernetes_and_others_set_is_left_alone(loading: Loader, name: str) -> None:
    assert loading(env={name: "tcp://10.0.0.1:80"}).config.profile == "minimal"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("CTO_PLATFORM__NAMESPAC", "is no setting of cto; did you mean CTO_PLATFORM__NAMESPACE?"),
        ("CTO_PLATFORM_NAME", "is no setting of cto; did you mean CTO_PLATFORM__NAME?"),
        ("CTO_PROFIL", "is no setting of cto; did you mean CTO_PROFILE?"),
        ("CTO_MIROR", "is no setting of cto; did you mean CTO_MIRROR?"),
        ("CTO_X__Y", "is no setting of cto; `cto config schema` has all settings"),
        ("CTO___PROFILE", "is no setting of cto"),
        ("CTO_COMPONENTS__GRAFANA__VALUES__A", "is no setting of cto"),
        ("CTO_PROFILE__NAME", "is no setting of cto"),
        ("CTO_SMTP__PASSWORD__VALUE", "is no setting of cto"),
    ],
)
def test_a_variable_that_is_no_setting_is_an_error(loading: Loader, name: str, told: str) -> None:
    (line,) = loading.lines(env={name: "x"})
    assert line.startswith(f"env {name}: {told}")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "CTO_COMPONENTS__NOPE__MODE",
            "managed",
            "components.nope (env CTO_COMPONENTS__NOPE__MODE)",
        ),
        ("CTO_SMTP", "{host: [", "smtp (env CTO_SMTP): not valid YAML"),
        ("CTO_SMTP", "{host: a, host: b}", "smtp (env CTO_SMTP): is given twice"),
        ("CTO_SMTP", "5", "smtp (env CTO_SMTP): must be a mapping"),
        ("CTO_CLUSTER__NODES", "three", "cluster.nodes 'three' (env CTO_CLUSTER__NODES): must be"),
    ],
)
def test_a_wrong_value_names_its_variable(
    loading: Loader, name: str, value: str, told: str
) -> None:
    (line,) = loading.lines(env={name: value})
    assert line.startswith(told)


def test_every_field_has_a_variable() -> None:
    names = [variable(path) for path in paths()]
    assert len(set(names)) == len(names)
    assert not OWN_VARIABLES.intersection(names)


def test_shapes_follow_the_model() -> None:
    wanted = {
        (): FieldKind.SECTION,
        ("agents",): FieldKind.MAPPING,
        ("agents", "x", "resources"): FieldKind.SECTION,
        ("components", "x", "values"): FieldKind.OPEN,
        ("components", "x", "values", "y"): FieldKind.OPEN,
        ("smtp", "recipients"): FieldKind.LIST,
        ("smtp", "recipients", "0"): FieldKind.VALUE,
        ("providers", "x"): FieldKind.SECRET,
        ("registry", "password"): FieldKind.SECRET,
    }
    found = {path: shape.kind for path in wanted if (shape := shape_at(path))}
    assert found == wanted
    assert shape_at(("profile", "x")) is None
