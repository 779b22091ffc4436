"""Our own chart, as far as it can be judged without Helm."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cto import __version__
from cto.catalog import Catalog
from cto.objects import load_yaml
from cto.render import Renderer

_CHART = Path(__file__).parents[2] / "bundle" / "charts" / "controller"
_CRDS = {path.stem: load_yaml(path.read_text()) for path in sorted(_CHART.glob("crds/*.yaml"))}
_TEMPLATES_OF_AGENTS = Path(__file__).parents[2] / "templates" / "agents"
_TEMPLATES = sorted(_CHART.glob("templates/*.yaml"))


def spec(plural: str) -> dict[str, Any]:
    schema: dict[str, Any] = _CRDS[plural]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found: dict[str, Any] = schema["properties"]["spec"]
    return found


def test_version_and_image_follow_the_catalog(catalog: Catalog) -> None:
    component = catalog["controller"]
    chart = load_yaml((_CHART / "Chart.yaml").read_text())
    assert (chart["name"], chart["version"]) == (component.chart.name, component.chart.version)
    assert chart["appVersion"] == __version__
    assert all(image.ours and image.reference.endswith(__version__) for image in component.images)


@pytest.mark.parametrize("plural", ["coderuns", "docsruns"])
def test_crds_are_the_platforms(plural: str) -> None:
    crd = _CRDS[plural]
    assert crd["metadata"]["name"] == f"{plural}.agents.platform"
    assert crd["spec"]["scope"] == "Namespaced"
    (version,) = crd["spec"]["versions"]
    assert version["name"] == "v1"
    assert version["subresources"] == {"status": {}}


def test_a_code_run_needs_a_repository_an_agent_and_a_task() -> None:
    assert spec("coderuns")["required"] == ["repositoryUrl", "githubApp"]
    (rule,) = spec("coderuns")["x-kubernetes-validations"]
    assert rule["rule"] == "has(self.prompt) || has(self.docsRepositoryUrl)"


@pytest.mark.parametrize("plural", ["coderuns", "docsruns"])
@pytest.mark.parametrize(
    ("address", "will_do"),
    [
        ("https://github.com/acme/shop", True),
        ("https://git@github.com/acme/shop.git", True),
        ("ssh://git@github.com:22/acme/shop.git", True),
        # In a copied address a token stands where a name would, and would be in lists and logs.
        ("https://ghp_planted@github.com/acme/shop", False),
        ("https://me:planted@github.com/acme/shop", False),
        ("ssh://me:planted@github.com/acme/shop", False),
        ("/etc/passwd", False),
        ("--upload-pack=x", False),
    ],
)
def test_a_repository_has_an_address_without_a_password(
    plural: str, address: str, *, will_do: bool
) -> None:
    (rule,) = spec(plural)["properties"]["repositoryUrl"]["x-kubernetes-validations"]
    patterns = re.findall(r"(!?)self\.matches\(r'([^']*)'\)", rule["rule"])
    assert len(patterns) == 2
    assert all(bool(re.search(text, address)) != bool(sign) for sign, text in patterns) == will_do


def test_what_the_controller_reads_of_a_run_is_in_its_definition() -> None:
    """A field that a definition lacks is dropped by the API server in silence."""
    package = Path(__file__).parents[2] / "entrypoint" / "cto_controller"
    text = "".join(path.read_text() for path in package.glob("*.py"))
    text += (_TEMPLATES_OF_AGENTS / "run.yaml.j2").read_text()
    text += (_TEMPLATES_OF_AGENTS / "agent.md.j2").read_text()
    read = set(re.findall(r"""spec(?:\.get\(|\[)["'](\w+)["']""", text))
    read |= set(re.findall(r"\bspec\.([a-z]\w+)", text)) - {"get"}
    assert "prompt" in read
    known = {plural: set(spec(plural)["properties"]) for plural in _CRDS}
    assert read <= known["coderuns"] | known["docsruns"]


def test_what_the_controller_writes_is_in_the_definitions() -> None:
    for plural, crd in _CRDS.items():
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        assert set(schema["status"]["properties"]) >= {
            "phase",
            "message",
            "attempts",
            "jobName",
            "startedAt",
            "finishedAt",
            "pullRequestUrl",
            "workCompleted",
            "contextVersion",
            "observedGeneration",
            "conditions",
        }, plural


def test_docker_in_a_run_is_off_unless_asked_for() -> None:
    """It needs a privileged container: root on the node."""
    assert spec("coderuns")["properties"]["enableDocker"]["default"] is False


def test_a_docs_run_acts_as_an_app_or_a_user() -> None:
    assert spec("docsruns")["oneOf"] == [{"required": ["githubApp"]}, {"required": ["githubUser"]}]


@pytest.mark.parametrize("template", _TEMPLATES, ids=lambda path: path.name)
def test_rights_are_few(template: Path) -> None:
    """No wildcard, no rights outside the namespace, nobody is cluster-admin."""
    text = template.read_text()
    assert not re.search(r"""["']\*["']|\[\*|- \*""", text)
    assert "ClusterRole" not in text
    assert "cluster-admin" not in text


def test_the_controller_fits_single_nodes() -> None:
    """No rule keeps it off control planes, which single nodes are."""
    assert load_yaml((_CHART / "values.yaml").read_text())["affinity"] == {}
    assert "control-plane" not in (_CHART / "templates" / "deployment.yaml").read_text()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://github.com", None),
        ("https://github.com/", None),
        (
            "https://github.bank.example:8443/",
            {
                "host": "github.bank.example:8443",
                "apiUrl": "https://github.bank.example:8443/api/v3",
            },
        ),
    ],
)
def test_the_controller_asks_the_github_of_the_configuration(
    catalog: Catalog, renderer: Callable[..., Renderer], url: str, told: dict[str, str] | None
) -> None:
    made = renderer("minimal", github={"organization": "acme", "url": url})
    assert made.values(catalog["controller"]).get("github") == told
