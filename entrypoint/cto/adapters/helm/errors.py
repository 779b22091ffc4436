"""What helm's last lines are about: whose chart, which object, and whether trying again can help.

The return code alone decides that helm failed; its words only name what the user has to look at.
What is not in the table stays CTO-1500, with the component's name before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from cto.errors import CtoError, ToolError, WaitError
from cto.ports import ReleaseSpec

RENDERING = "CTO-1570"
REFUSED = "CTO-1571"
_OTHER = "CTO-1500"
_VALUES = (
    "Correct `components.{component}.values`, or take another version of the chart: as long as "
    "neither changes, the same command ends here."
)
_CHART = "The chart's archive is at fault: {fix} (`--charts DIR`)."
_LATER = "The API server did not answer helm. The same command goes on from here once it does."


@dataclass(frozen=True)
class _Row:
    """One kind of failure.

    Attributes:
        pattern: Found in helm's last lines. Its groups go into the message.
        message: With `{0}`, `{1}` for the groups.
        fix: With `{component}`, and the groups as well.
    """

    code: str
    pattern: re.Pattern[str]
    message: str
    fix: str


def _row(code: str, pattern: str, message: str, fix: str) -> _Row:
    return _Row(code, re.compile(pattern), message, fix)


# The first that is found counts: what is most exact comes first.
_ROWS = (
    # what may be otherwise in a moment
    _row(
        _OTHER,
        r"nodePort: Invalid value: (\d+): provided port is already allocated",
        "node port {0} is taken or reserved",
        "See who has the port: `kubectl get services -A`. A reservation without a Service goes by "
        "itself within 12 minutes.",
    ),
    _row(
        _OTHER,
        r"connection refused|i/o timeout|TLS handshake timeout|connection reset by peer|etcdserver:"
        r"|unexpected EOF|http2: |server is currently unable|no route to host|no such host",
        "the API server did not answer",
        _LATER,
    ),
    # the chart cannot be rendered
    _row(
        RENDERING,
        r"execution error at \(([^)]+)\)(?:: (.*))?",
        "{0}: {1}",
        _VALUES,
    ),
    _row(RENDERING, r"parse error at \(([^)]+)\)", "{0} has a syntax error", _VALUES),
    _row(
        RENDERING,
        r"YAML parse error on ([^\s:]+)",
        "{0} does not give YAML with these values",
        _VALUES,
    ),
    _row(
        RENDERING,
        r"values don't meet the specifications of the schema",
        "the values do not fit the chart's schema",
        _VALUES,
    ),
    _row(
        RENDERING,
        r"missing in charts/ directory: (.+)",
        "the chart lacks what it depends on: {0}",
        "Give the chart with its dependencies: `helm dependency build` and `helm package`, then "
        "`--charts DIR`.",
    ),
    _row(
        RENDERING,
        r"chart requires kubeVersion: (.+) which is incompatible with Kubernetes (\S+)",
        "the chart wants Kubernetes {0}, this is {1}",
        "Upgrade the cluster, or take a version of the chart that knows it.",
    ),
    _row(
        RENDERING,
        r"does not appear to be a gzipped archive|unable to detect chart|Chart\.yaml file is "
        r"missing|chart metadata is missing|validation: chart",
        "the archive is no chart that helm can read",
        _CHART.format(fix="take it anew from its publisher, or give it yourself"),
    ),
    _row(RENDERING, r"Error: (?:template: )?([^\s:]+:\d+(?::\d+)?)", "{0} fails", _VALUES),
    # the API server refuses an object
    _row(
        REFUSED,
        r'Secret "sh\.helm\.release[^"]*" is invalid: data: Too long',
        "helm's own record of the release is larger than a Secret may be",
        "Make the values smaller (`components.{component}.values`): chart, values and rendered "
        "objects have to fit into 1 MiB, compressed.",
    ),
    _row(
        REFUSED,
        r'admission webhook "([^"]+)" denied the request: (.*)',
        "the admission webhook {0} denies an object: {1}",
        "Change what the webhook minds (`components.{component}.values`), or ask whoever runs {0} "
        "for an exception: as long as neither changes, the same command ends here.",
    ),
    _row(
        _OTHER,
        r'failed calling webhook "([^"]+)"',
        "the admission webhook {0} does not answer",
        "See that the program behind the webhook runs: `kubectl get validatingwebhook"
        "configurations,mutatingwebhookconfigurations`. Then the same command goes on.",
    ),
    _row(
        REFUSED,
        r'(\w+) "([^"]+)" in namespace "([^"]*)" exists and cannot be imported',
        "{0} {1} is there already and belongs to somebody else",
        "Use what is there (`components.{component}.mode: external`), or remove it if nobody "
        "needs it: as long as it is there, the same command ends here.",
    ),
    # Of a Secret what is wrong may be quoted: its field has to do.
    _row(
        REFUSED,
        r'\bSecret "([^"]+)" is invalid: \[?([\w.\[\]\-/]+): ',
        "Secret {0}: {1} is refused",
        "`cto plan install` shows the way out of a field that cannot be changed. Otherwise correct "
        "`components.{component}.values`: as it is, the same command ends here.",
    ),
    _row(
        REFUSED,
        r'([A-Z]\w*)(?:\.[\w.]+)? "([^"]+)" is invalid: \[?(\w[\w.\[\]\-/]*): (?:.*: )?(.+)',
        "{0} {1}: {2}: {3}",
        "`cto plan install` shows the way out of a field that cannot be changed. Otherwise correct "
        "`components.{component}.values`: as it is, the same command ends here.",
    ),
    _row(
        REFUSED,
        r'(\w+) "([^"]+)" is forbidden: (exceeded quota[^\n]*|violates PodSecurity[^\n]*|maximum '
        r"[^\n]*|minimum [^\n]*)",
        "{0} {1}: {2}",
        "Raise the quota or limit, or choose smaller sizes (`components.{component}.values`).",
    ),
    _row(
        REFUSED,
        r'(\w+)(?:\.[\w.]+)? "([^"]*)" is forbidden: (User [^\n]*)',
        "{0} {1}: {2}",
        "Ask for the permission that is named: as long as it is missing, the same command ends "
        "here.",
    ),
    _row(
        REFUSED,
        r'no matches for kind "([^"]+)" in version "([^"]+)"',
        "the cluster has no kind {0} in {1}",
        "Install what brings this kind, or switch off what uses it "
        "(`components.{component}.values`).",
    ),
)


def explained(error: ToolError | WaitError, spec: ReleaseSpec) -> CtoError:
    """Return the error with component, chart and object first; helm's own words stay behind it."""
    component = spec.component or spec.name
    about = f"{component} (chart {spec.chart.name} {spec.chart.version})"
    made: Callable[..., CtoError] = type(error)
    if not isinstance(error, ToolError) or error.code != _OTHER:
        return made(error.code, f"{about}: {error.message}", details=error.details, hint=error.hint)
    for row in _ROWS:
        if found := row.pattern.search(error.details):
            groups = [(group or "").strip().rstrip(".]") for group in found.groups()]
            message = row.message.format(*groups).removesuffix(": ")
            fix = row.fix.format(*groups, component=component)
            return made(row.code, f"{about}: {message}", details=_told(error), hint=fix)
    return made(_OTHER, f"{about}: {error.message}", details=error.details)


def _told(error: ToolError) -> str:
    return f"{error.message}\n{error.details}"
