"""What a user reads when something is wrong: everything at once, each with place and fix."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cto.config.problems import Problem, did_you_mean, dotted, failure
from cto.errors import ConfigError
from unit.config.loading import Loader


def test_all_errors_come_at_once_one_line_each(loading: Loader) -> None:
    text = """\
version: "9"
profile: standrd
namespace: x
platform:
  name: Bad_Name
  namspace: foo
  namespace: other
github:
  apps:
    rex: {id: abc, client_id: "${X}"}
registry: {type: genric}
features: {monitoring: maybe, mail_notifications: true}
components:
  argo-cd: {mode: extern}
agents: {rexx: {}, max: {}}
cluster: {nodes: 0}
smtp: {port: 70000, recipients: [nobody]}
"""
    assert loading.lines(text) == [
        (
            "profile 'standrd' (0.yaml:2): there is no such profile, nor a file of this name; "
            "did you mean standard?"
        ),
        (
            "github.apps.rex.client_id (0.yaml:10): the environment variable X is not set; "
            "set X, or write $${X} for the plain text ${X}"
        ),
        (
            "version '9' (0.yaml:1): this program reads configurations of version 0.1.0; write "
            "'0.1.0', or take another version of cto"
        ),
        (
            "platform.name 'Bad_Name' (0.yaml:5): must be a Kubernetes name: at most 63 lower-case "
            "letters, digits and hyphens, with a letter or digit at both ends"
        ),
        (
            "platform.namespace 'other' (0.yaml:7): must be 'cto': the controller's image watches "
            "no other namespace; leave the line out"
        ),
        "platform.namspace (0.yaml:6): there is no such field; did you mean namespace?",
        "github.apps.rex.id 'abc' (0.yaml:10): must be a whole number",
        (
            "registry.type 'genric' (0.yaml:11): must be one of local, generic, ecr; did you mean "
            "generic?"
        ),
        "features.monitoring 'maybe' (0.yaml:12): must be true or false",
        (
            "agents.rexx (0.yaml:15): is too much like a known agent's name to tell it from a "
            "typing error; did you mean rex?"
        ),
        "cluster.nodes '0' (0.yaml:16): must be at least 1",
        "smtp.port '70000' (0.yaml:17): must be at most 65535",
        "smtp.recipients.0 'nobody' (0.yaml:17): must be an e-mail address, like cto@example.com",
        "components.argo-cd (0.yaml:14): there is no component of this name; did you mean argocd?",
        (
            "components.argo-cd.mode 'extern' (0.yaml:14): must be one of managed, external, "
            "disabled; did you mean external?"
        ),
        (
            "namespace (0.yaml:3): there is no such field; did you mean platform.namespace or "
            "registry.namespace?"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("platform: 5", "platform (0.yaml:1): must be a mapping; write its fields"),
        ("agents: [rex]", "agents (0.yaml:1): must be a mapping; write its entries"),
        ("smtp: {recipients: a@example.com}", "smtp.recipients (0.yaml:1): must be a list"),
        ("github: {organization: no}", "github.organization 'no' (0.yaml:1): must be text; put"),
        *(
            (
                f"smtp: {{recipients: [ok@example.com, {address}]}}",
                f"smtp.recipients.1 '{address}' (0.yaml:1): must be an address that Argo Ev",
            )
            for address in (
                "ops+ci@example.com",
                "ops@example.technology",
                "ops@localhost",
                "öps@example.com",
                "ops..ci@example.com",
                ".ops@example.com",
                "ops@example.c",
            )
        ),
        (
            "databases: {redis: [{name: cache}]}",
            "databases.redis (0.yaml:1): needs the operators, which features.databases adds; set",
        ),
        (
            "{features: {databases: true}, databases: {redis: [{name: a}, {name: a}]}}",
            "databases.redis.1.name (0.yaml:1): databases has a database of this name already",
        ),
        ("databases: {postgresql: [{name: a, size: big}]}", "databases.postgresql.0.size 'big' "),
        ("databases: {postgresql: [{name: a, replicas: 0}]}", "databases.postgresql.0.replicas "),
        ("object_store: {access_key: a}", "object_store.bucket (default): is needed where a store"),
        (
            "object_store: {bucket: cto, access_key: a}",
            "object_store.secret_key (default): is needed by the other key; give both or none",
        ),
        ("object_store: {endpoint: 's3:9000'}", "object_store.endpoint 's3:9000' (0.yaml:1): must"),
        ("backups: {schedule: daily}", "backups.schedule 'daily' (0.yaml:1): must be five fields"),
        ("platform: {name: null}", "platform.name (0.yaml:1): must not be empty"),
        ("cluster: {nodes: 1.5}", "cluster.nodes '1.5' (0.yaml:1): must be a whole number"),
        ("cluster: {nodes: [1]}", "cluster.nodes (0.yaml:1): must be a whole number"),
        ("cluster: {context: ''}", "cluster.context (0.yaml:1): must not be empty"),
        ("profile: [minimal]", "profile (0.yaml:1): must be text"),
        (
            "features: {grafna: true}",
            "features.grafna (0.yaml:1): there is no such field; did you mean components.grafana?",
        ),
        ("wholly: unlike", "wholly (0.yaml:1): there is no such field; take one of: version"),
        (
            "agents: {rex: {features: {Bad Name: true}}}",
            'agents.rex.features."Bad Name" (0.yaml:1)',
        ),
        ("agents: {rex: {github_app_id: -1}}", "github_app_id '-1' (0.yaml:1): input should be gr"),
        ("agents: {rex: {resources: {memory: 4GB}}}", "memory '4GB' (0.yaml:1): must be a Kube"),
        ("platform: {ingress_type: ingress}", "platform.domain (default): is needed by platform."),
        (
            "platform: {access: {admins: [ops]}}",
            "platform.access.github_org (default): is needed by the other fields of platform.acc",
        ),
        (
            "platform: {access: {github_org: acme, client_secret: s}}",
            "platform.access.client_id (default): is needed by platform.access.github_org; make an",
        ),
        (
            "platform: {access: {admins: [The Ops]}}",
            "platform.access.admins.0 'The Ops' (0.yaml:1): must be a team as the address of its",
        ),
        (
            "repositories: {shop: {url: ftp://git.example.com}}",
            "repositories.shop.url",
        ),
        (
            "repositories: {shop: {url: 'https://git:canary@git.example.com'}}",
            "repositories.shop.url",
        ),
        (
            "repositories: {shop: {url: 'oci://git.example.com', type: oci, username: a}}",
            "repositories.shop.password",
        ),
        (
            "repositories: {shop: {url: 'https://git.example.com', shared: true}}",
            "repositories.shop.password",
        ),
        (
            "ingress: {certificate: canary}",
            "ingress.private_key (default): is needed by the other one of ingress.certificate",
        ),
        ("registry: {type: generic}", "registry.url (default): is needed by registry.type 'gen"),
        (
            "registry: {type: ecr, url: r.example.com}",
            "registry.url 'r.example.com' (0.yaml:1): is not the address of an Amazon registry",
        ),
        (
            "registry: {type: ecr, url: 1.dkr.ecr.eu-west-1.amazonaws.com, password: canary}",
            "registry.password (0.yaml:1): an Amazon registry's password expires after 12 hours",
        ),
        (
            "registry: {type: ecr, url: 1.dkr.ecr.eu.x, password: {secret: canary, key: a}}",
            "registry.password (0.yaml:1): an Amazon registry's password expires after 12 hours",
        ),
        (
            "registry: {type: ecr, url: 1.dkr.ecr.eu.x, username: AWS}",
            "registry.username 'AWS' (0.yaml:1): is of no use to an Amazon registry",
        ),
        (
            "registry: {type: generic, url: r.example.com, username: me}",
            "registry.password (default): is needed by registry.username; give both or none",
        ),
        (
            "registry: {type: generic, url: r.example.com, password: canary}",
            "registry.username (default): is needed by registry.password; give both or none",
        ),
        (
            "registry: {type: generic, url: r.example.com/path}",
            "registry.url 'r.example.com/path' (0.yaml:1): must be a registry's host",
        ),
        (
            "registry: {type: generic, url: 'https://me:canary@r.example.com'}",
            "registry.url 'https://...@r.example.com' (0.yaml:1): must be",
        ),
        (
            "github: {apps: {rex: {private_key_path: /x}}}",
            "github.apps.rex.id (0.yaml:1): is missing, and so is client_id; add one of them",
        ),
        (
            "github: {apps: {rex: {id: 1}}}",
            "github.apps.rex.private_key_path (0.yaml:1): is missing; add it, or private_key",
        ),
        (
            "github: {apps: {rex: {id: 1, private_key_path: /x, private_key: canary}}}",
            "github.apps.rex.private_key_path '/x' (0.yaml:1): is given twice, by private_key too",
        ),
        (
            "github: {apps: {rex: {id: 1, client_id: a, private_key_path: '-----BEGIN canary'}}}",
            "github.apps.rex.private_key_path '...' (0.yaml:1): must be the path of a file",
        ),
        (
            (
                "github: {apps: {rex: {id: 1, client_id: a, private_key_path: /x}}}\n"
                "agents: {rex: {github_app_id: 2}}"
            ),
            "agents.rex.github_app_id '2' (0.yaml:2): differs from github.apps.rex.id, which is 1",
        ),
        (
            "features: {mail_notifications: true}\nsmtp: {host: a, sender: a@example.com}",
            "smtp.recipients (default): is needed by features.mail_notifications",
        ),
    ],
)
def test_each_mistake_is_told_in_words(loading: Loader, text: str, line: str) -> None:
    (found,) = loading.lines(text)
    assert line in found
    assert "canary" not in found


def test_settings_that_agree_are_fine(loading: Loader) -> None:
    loaded = loading(
        "github: {apps: {rex: {id: '1', client_id: a, private_key_path: /x}}}\n"
        "agents: {rex: {github_app_id: 1}}\n"
        "features: {mail_notifications: true}\n"
        "smtp: {host: a, sender: a@example.com, recipients: [b@example.com]}\n"
        "platform: {ingress_type: ingress, domain: a.example.com}\n"
        "registry: {type: ecr, url: 1.dkr.ecr.eu-west-1.amazonaws.com}\n"
    )
    assert loaded.config.github.apps["rex"].id == 1


def test_app_of_an_agent_that_is_not_configured_is_no_contradiction(loading: Loader) -> None:
    app = "{id: 1, client_id: a, private_key_path: /x}"
    assert loading(f"github: {{apps: {{max: {app}}}}}").config.github.apps["max"].id == 1


def test_lines_are_not_repeated_and_long_values_are_cut() -> None:
    problem = Problem(path="a", value="x" * 100, origin="f:1", reason="no")
    error = failure([problem, problem])
    assert error.message == "The configuration has an error."
    assert error.details == f"a '{'x' * 60}...' (f:1): no"


def test_paths_quote_keys_that_hold_dots() -> None:
    assert dotted(("a", 0, "grafana.ini")) == 'a.0."grafana.ini"'


def test_nothing_to_choose_from_is_no_hint() -> None:
    assert did_you_mean("a", ()) == ""


def test_a_folder_without_components_is_told_with_all_else(loading: Loader) -> None:
    def names(folders: Sequence[str]) -> Sequence[str]:
        if folders:
            raise ConfigError("CTO-1310", "there is no component.yaml in nope")
        return ["argocd"]

    loading.names = names
    text = "components_from: [./nope]\nplatfrom: {}\ncomponents: {argocd: {mode: disabled}}\n"
    assert loading.lines(text) == [
        "components_from.0 './nope' (0.yaml:1): there is no component.yaml in nope",
        "platfrom (0.yaml:2): there is no such field; did you mean platform?",
    ]
