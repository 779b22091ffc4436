"""Secrets show their source, never themselves."""

from __future__ import annotations

import copy
import json
import traceback

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from cto.config.display import display
from cto.config.fields import Secret, SecretReference
from cto.config.model import Config
from cto.errors import ConfigError
from unit.config.loading import Loader

CANARY = "canary-7f3a"
EVERYWHERE = f"""\
github: {{webhook_secret: {CANARY}-hook}}
registry: {{username: me, password: {CANARY}-registry}}
smtp: {{password: "${{SMTP}}"}}
providers:
  anthropic: a-${{PART}}
  xai: {{secret: llm, key: xai}}
components: {{grafana: {{values: {{admin: "${{SMTP}}", list: ["${{PART}}"]}}}}}}
"""
ENV = {"SMTP": f"{CANARY}-smtp", "PART": f"{CANARY}-part", "CTO_PROVIDERS__OPENAI": f"{CANARY}-env"}


def test_values_are_had_by_path_only(loading: Loader) -> None:
    config = loading(EVERYWHERE, env=ENV).config
    assert config.secret_values("github.webhook_secret") == {"": f"{CANARY}-hook"}
    assert config.secret_values("smtp.password") == {"": f"{CANARY}-smtp"}
    assert config.secret_values("providers.*") == {
        "anthropic": f"a-{CANARY}-part",
        "openai": f"{CANARY}-env",
    }
    assert config.secret_values("providers.openai") == {"": f"{CANARY}-env"}
    assert config.secret_values("providers.xai") == {}
    reference = SecretReference(secret="llm", key="xai")
    assert config.secret_reference("providers.*") == {"xai": reference}
    assert config.secret_reference("providers.xai") == {"": reference}
    assert config.secret_reference("providers.nope") == {}


def test_what_was_not_given_is_empty() -> None:
    config = Config()
    assert config.secret_values("registry.password") == {}
    assert config.secret_values("providers.*") == {}
    assert config.secret_reference("registry.password") == {}


@pytest.mark.parametrize("path", ["platform.name", "github.nope", "nope", "smtp.*", ""])
def test_asking_for_another_path_is_an_error_of_the_catalog(path: str) -> None:
    with pytest.raises(ConfigError, match="no secret field") as caught:
        Config().secret_values(path)
    assert caught.value.code == "CTO-1310"


def test_public_holds_markers_in_the_place_of_secrets(loading: Loader) -> None:
    public = loading(EVERYWHERE, env=ENV).config.public()
    file = f"{loading.folder}/0.yaml"
    assert public["github"]["webhook_secret"] == {"from": f"{file}:1"}
    assert public["registry"]["password"] == {"from": f"{file}:2"}
    assert public["smtp"]["password"] == {"from": "env SMTP"}
    assert public["providers"] == {
        "anthropic": {"from": "env PART"},
        "openai": {"from": "env CTO_PROVIDERS__OPENAI"},
        "xai": {"secret": "llm", "key": "xai"},
    }
    assert public["components"]["grafana"]["values"] == {
        "admin": "${SMTP}",
        "list": ["${PART}"],
    }


def test_no_form_of_the_configuration_shows_a_secret(loading: Loader) -> None:
    loaded = loading(EVERYWHERE, env=ENV)
    config = loaded.config
    without = config.model_copy(update={"components": {}})
    for text in (
        repr(loaded),
        str(config),
        f"{config.github}",
        str(vars(config)),
        json.dumps(config.public()),
        without.model_dump_json(),
        str(without.model_dump()),
        str(copy.deepcopy(without)),
        display(loaded, origins=True),
        str(loaded.origins),
    ):
        assert CANARY not in text


# Every place where a secret may stand, wrongly: all must be refused without being quoted.
MISTAKES = [
    "providers: {}",
    "providers: {{Bad Name: {}}}",
    "providers: {{anthropic: [{}]}}",
    "providers: {{anthropic: {{value: {}}}}}",
    "providers: {{anthropic: {{secret: {}_, key: a}}}}",
    "providers: {{anthropic: {{secret: a, key: b, {}: c}}}}",
    "providers: [{}]",
    "providers: {{anthropic: !{} x}}",
    "providers: {{anthropic: *{}}}",
    "providers: {{anthropic: '{}",
    'providers: {{anthropic: "{}\\q"}}',
    "providers: {{anthropic: {}, anthropic: {}}}",
    "providers: {{anthropic: '${{{} '}}",
    "github: {{webhook_secret: {}, nope: {}}}",
    "github: {}",
    "github: {{webhook_secrt: {}}}",
    "webhook_secret: {}",
    "smtp: {{password: [{}]}}",
    "smtp: {{password: {{a: {}}}}}",
    "registry: {{password: {}, type: ecr, url: a.dkr.ecr.x}}",
    "registry: {{password: {}, type: generic}}",
    "components: {{nope: {{values: {{a: {}}}}}}}",
    "components: {{grafana: {{value: {{a: {}}}}}}}",
    "{}",
    "- {}",
    "a: [{}",
    "a: b: {}",
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_no_error_quotes_what_may_be_a_secret(loading: Loader, mistake: str) -> None:
    error = loading.failure(mistake.format(*[CANARY] * mistake.count("{}")))
    told = "".join(traceback.format_exception(error))
    assert CANARY not in told
    assert CANARY not in f"{error.message}{error.details}{error.hint}{error!r}"
    # What is not printed may still be logged by a debugger's hook.
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.parametrize(
    "name", ["CTO_PROVIDERS", "CTO_GITHUB", "CTO_GITHUB__NOPE", "CTO_SMTP__PASSWORD__X", "CTO_SMTP"]
)
@pytest.mark.parametrize("value", [CANARY, f"{{{CANARY}", f"[{CANARY}]"])
def test_no_error_quotes_a_variable(loading: Loader, name: str, value: str) -> None:
    error = loading.failure(env={name: value})
    assert CANARY not in f"{error.message}{error.details}{error.hint}"
    assert name in error.details


def test_a_placeholder_is_quoted_as_written_not_as_resolved(loading: Loader) -> None:
    error = loading.failure(
        "platform: {name: '${TOKEN}'}\nprofile: ${TOKEN}\nagents: {rex: {enabled: '${TOKEN}'}}",
        env={"TOKEN": f"{CANARY} X"},
    )
    assert CANARY not in error.details
    assert "platform.name '${TOKEN}'" in error.details
    assert "profile '${TOKEN}'" in error.details


def test_commands_show_no_secret(loading: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    from cto.cli.root import cli

    file = loading.file(EVERYWHERE)
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    for command in (
        ["show"],
        ["show", "--origin"],
        ["validate"],
        ["show", "--origin", "-o", "json"],
    ):
        result = CliRunner().invoke(cli, ["config", *command, "-c", file])
        assert result.exit_code == 0, result.output
        assert CANARY not in result.output
        assert CANARY not in result.stderr
    assert CANARY not in CliRunner().invoke(cli, ["config", "init", "-"]).output


def test_a_password_is_taken_as_it_is_written(loading: Loader) -> None:
    config = loading("smtp: {password: 0123}\nproviders: {a: yes, b: 1.50}").config
    assert config.secret_values("smtp.password") == {"": "0123"}
    assert config.secret_values("providers.*") == {"a": "yes", "b": "1.50"}


@pytest.mark.parametrize("text", ["providers: {a: ''}", "providers: {a: ' '}", "providers: {a: }"])
def test_an_empty_secret_is_refused(loading: Loader, text: str) -> None:
    (line,) = loading.lines(text)
    assert line.startswith("providers.a (0.yaml:1): ")


def test_an_empty_variable_is_no_secret(loading: Loader) -> None:
    (line,) = loading.lines("smtp: {password: '${NONE}'}", env={"NONE": ""})
    assert line == "smtp.password (0.yaml:1): is empty"


def test_a_reference_is_checked(loading: Loader) -> None:
    (line,) = loading.lines("smtp: {password: {secret: Bad Name, key: a}}")
    assert "{secret: NAME, key: KEY} (secret does not fit)" in line


def test_a_later_layer_replaces_a_reference_by_a_value(loading: Loader) -> None:
    reference = "smtp: {password: {secret: mail, key: password}}"
    value = "smtp: {password: plain}"
    assert loading(reference, value).config.secret_values("smtp.password") == {"": "plain"}
    assert loading(value, reference).config.secret_values("smtp.password") == {}


@given(st.text(min_size=4).filter(lambda text: text.strip() and text not in "literal from"))
def test_a_secret_never_shows_whatever_it_is(value: str) -> None:
    secret = Secret(value, "here")
    config = Config.model_validate({"providers": {"a": value}})
    assert repr(secret) == str(secret) == "Secret({'from': 'here'})"
    assert config.public()["providers"] == {"a": {"from": "literal"}}
    assert config.secret_values("providers.*") == {"a": value}


def test_secrets_compare_by_value() -> None:
    assert Secret("a", "x") == Secret("a", "y") != Secret("b", "x")
    assert hash(Secret("a", "x")) == hash(Secret("a", "y"))
    assert Secret("a", "x") != "a"
