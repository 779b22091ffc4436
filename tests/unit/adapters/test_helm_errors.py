"""Component, chart and object come before what helm says (in the words of 4.1.4)."""
# ruff: noqa: E501 - words of others are kept in one piece

from __future__ import annotations

import pytest

from cto.adapters.helm.errors import explained
from cto.errors import ToolError, WaitError
from cto.ports import ReleaseSpec
from fakes.components import chart

SPEC = ReleaseSpec(
    name="rel", namespace="ns", chart=chart("web", "2.0.0"), values={}, component="grafana"
)
FOREVER = "the same command ends here"
# stderr -> code, what the message names, what the fix says
CASES: dict[str, tuple[str, str, str, str]] = {
    "nil": (
        (
            'Error: c/templates/x.yaml:1:13\n  executing "c/templates/x.yaml" at <.Values.a.b>:\n'
            "    nil pointer evaluating interface {}.b\n\nUse --debug flag to render out invalid YAML"
        ),
        "CTO-1570",
        "c/templates/x.yaml:1:13 fails",
        "components.grafana.values",
    ),
    "required": (
        "Error: execution error at (c/templates/x.yaml:1:6): need x\n\nUse --debug flag",
        "CTO-1570",
        "c/templates/x.yaml:1:6: need x",
        FOREVER,
    ),
    "syntax": (
        "Error: parse error at (c/templates/x.yaml:1): missing value for if",
        "CTO-1570",
        "c/templates/x.yaml:1 has a syntax error",
        FOREVER,
    ),
    "yaml": (
        "Error: YAML parse error on c/templates/x.yaml: error converting YAML to JSON: yaml",
        "CTO-1570",
        "c/templates/x.yaml does not give YAML",
        FOREVER,
    ),
    "schema": (
        (
            "Error: values don't meet the specifications of the schema(s) in the following chart(s):\n"
            "c:\n- at '': missing property 'zz'"
        ),
        "CTO-1570",
        "do not fit the chart's schema",
        "components.grafana.values",
    ),
    "dependency": (
        (
            "Error: an error occurred while checking for chart dependencies. You may need to run `helm "
            "dependency build` to fetch missing dependencies: found in Chart.yaml, but missing in "
            "charts/ directory: dep"
        ),
        "CTO-1570",
        "the chart lacks what it depends on: dep",
        "helm dependency build",
    ),
    "kubernetes": (
        "Error: chart requires kubeVersion: >=9.0.0 which is incompatible with Kubernetes v1.35.0",
        "CTO-1570",
        "the chart wants Kubernetes >=9.0.0, this is v1.35.0",
        "Upgrade the cluster",
    ),
    "archive": (
        "Error: file '/x/bad.tgz' does not appear to be a gzipped archive; got 'text'",
        "CTO-1570",
        "the archive is no chart",
        "--charts DIR",
    ),
    "immutable": (
        (
            'Error: UPGRADE FAILED: Deployment.apps "web" is invalid: spec.selector: Invalid value: '
            '{"matchLabels":{"a":"b"}}: field is immutable'
        ),
        "CTO-1571",
        "Deployment web: spec.selector: field is immutable",
        "`cto plan install` shows the way out",
    ),
    "statefulset": (
        (
            'Error: UPGRADE FAILED: StatefulSet.apps "db" is invalid: spec: Forbidden: updates to '
            "statefulset spec for fields other than 'replicas', 'template' are forbidden"
        ),
        "CTO-1571",
        "StatefulSet db: spec: updates to statefulset spec for fields other than 'replicas'",
        FOREVER,
    ),
    "several": (
        'Error: UPGRADE FAILED: failed to create resource: Service "x" is invalid: [spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive, spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive]',
        "CTO-1571",
        "Service x: spec.ports[0].port: must be between 1 and 65535, inclusive",
        FOREVER,
    ),
    "secret": (
        (
            'Error: UPGRADE FAILED: Secret "keys" is invalid: type: Invalid value: "planted": field is '
            "immutable"
        ),
        "CTO-1571",
        "Secret keys: type is refused",
        FOREVER,
    ),
    "role": (
        (
            'Error: UPGRADE FAILED: cannot patch "b" with kind RoleBinding: RoleBinding.rbac.'
            'authorization.k8s.io "b" is invalid: roleRef: Invalid value: {}: cannot change roleRef'
        ),
        "CTO-1571",
        "RoleBinding b: roleRef: cannot change roleRef",
        FOREVER,
    ),
    "webhook": (
        'Error: UPGRADE FAILED: admission webhook "policy.example.com" denied the request: bad',
        "CTO-1571",
        "the admission webhook policy.example.com denies an object: bad",
        "ask whoever runs policy.example.com",
    ),
    "dead webhook": (
        (
            'Error: UPGRADE FAILED: Internal error occurred: failed calling webhook "a.example.com": '
            'failed to call webhook: Post "https://a.svc:443/x": service "a" not found'
        ),
        "CTO-1500",
        "the admission webhook a.example.com does not answer",
        "kubectl get validatingwebhookconfigurations",
    ),
    "foreign": (
        (
            'Error: unable to continue with install: Service "web" in namespace "ns" exists and cannot '
            "be imported into the current release: invalid ownership metadata"
        ),
        "CTO-1571",
        "Service web is there already and belongs to somebody else",
        "components.grafana.mode: external",
    ),
    "quota": (
        'Error: UPGRADE FAILED: services "web" is forbidden: exceeded quota: few, requested: 1',
        "CTO-1571",
        "services web: exceeded quota: few",
        "Raise the quota",
    ),
    "permission": (
        (
            'Error: UPGRADE FAILED: roles.rbac.authorization.k8s.io "web" is forbidden: User "ci" '
            'cannot patch resource "roles"'
        ),
        "CTO-1571",
        'User "ci" cannot patch resource "roles"',
        "Ask for the permission",
    ),
    "kind": (
        (
            "Error: unable to build kubernetes objects from release manifest: resource mapping not "
            'found for name: "x": no matches for kind "Web" in version "example.com/v1"'
        ),
        "CTO-1571",
        "the cluster has no kind Web in example.com/v1",
        "Install what brings this kind",
    ),
    "record": (
        (
            'Error: UPGRADE FAILED: Secret "sh.helm.release.v1.rel.v2" is invalid: data: Too long: may '
            "not be more than 1048576 bytes"
        ),
        "CTO-1571",
        "record of the release is larger than a Secret may be",
        "Make the values smaller",
    ),
    "silent": (
        'Error: UPGRADE FAILED: Get "https://10.0.0.1/api": dial tcp: connect: connection refused',
        "CTO-1500",
        "the API server did not answer",
        "goes on from here once it does",
    ),
    "port": (
        (
            'Error: UPGRADE FAILED: Service "web" is invalid: spec.ports[0].nodePort: Invalid value: 30080: '
            "provided port is already allocated"
        ),
        "CTO-1500",
        "node port 30080 is taken or reserved",
        "kubectl get services -A",
    ),
    "unknown": (
        "Error: something new",
        "CTO-1500",
        "helm ended with code 1",
        "mend what they name",
    ),
}


@pytest.mark.parametrize(("stderr", "code", "named", "fix"), CASES.values(), ids=list(CASES))
def test_component_chart_and_object_come_first(
    stderr: str, code: str, named: str, fix: str
) -> None:
    told = explained(ToolError("CTO-1500", "helm ended with code 1", details=stderr), SPEC)
    assert isinstance(told, ToolError)
    assert told.code == code
    assert told.message.startswith("grafana (chart web 2.0.0): ")
    assert named in told.message
    assert fix in told.hint
    assert stderr in told.details
    assert "is safe" not in told.hint
    assert "planted" not in told.message


def test_a_release_without_a_component_goes_by_its_name() -> None:
    spec = ReleaseSpec(name="rel", namespace="ns", chart=chart("web"), values={})
    told = explained(ToolError("CTO-1500", "helm ended with code 1"), spec)
    assert told.message == "rel (chart web 1.0.0): helm ended with code 1"


@pytest.mark.parametrize(
    "error",
    [
        WaitError("CTO-1700", "helm did not end within 60 s", details="last lines", hint="wait"),
        ToolError("CTO-1501", "there is no program helm", details="last lines", hint="wait"),
    ],
)
def test_other_errors_keep_what_they_say(error: ToolError | WaitError) -> None:
    told = explained(error, SPEC)
    assert (type(told), told.code) == (type(error), error.code)
    assert told.message == f"grafana (chart web 2.0.0): {error.message}"
    assert (told.details, told.hint) == ("last lines", "wait")
