"""`cto upgrade`: from the cluster alone, component by component, and back where one fails."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode
from typing import Any

import pytest

from cto import __version__
from cto.adapters.clock import SystemClock
from cto.objects import Manifest, ObjectRef, labels_of
from cto.ports import ReleaseSpec
from fakes.components import definition
from fakes.desk import API, CHART, Desk
from fakes.provider import FakeProvider
from fakes.releases import Killed, plain_chart

STATE = ObjectRef("v1", "ConfigMap", "cto-system", "cto-state")
KEYS = definition(
    "keys",
    """
depends_on: [web]
supplied_secrets:
  - name: llm-keys
    keys: {"*_API_KEY": "providers.*"}
""",
)
FILE = "platform: {name: shop}\nproviders: {anthropic: '${KEY}'}\n"
SECRET = "sk-planted-anthropic"


@pytest.fixture
def shop(desk: Desk) -> Desk:
    """A platform of three components, installed from a file and a variable that are gone then."""
    desk.component(API)
    desk.component(KEYS)
    file = desk.folder / "shop.yaml"
    file.write_text(FILE)
    desk.env["KEY"] = SECRET
    result = desk.cto("install", "-c", str(file), "--yes")
    assert result.exit_code == 0, result.output
    file.unlink()
    del desk.env["KEY"]
    return desk


def newer(desk: Desk, name: str, version: str = "1.1.0") -> None:
    folder = desk.root / "bundle" / "charts" / name
    (folder / "Chart.yaml").write_text(CHART.format(name=name, version=version))


def state(desk: Desk) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(desk.cluster.everything()[STATE]["data"]["state.json"])
    return found


def secret(desk: Desk) -> Manifest:
    return desk.cluster.everything()[ObjectRef("v1", "Secret", "keys", "llm-keys")]


def test_what_is_installed_needs_neither_file_nor_variable(shop: Desk) -> None:
    before, keys = state(shop), secret(shop)
    newer(shop, "web")
    result = shop.cto("upgrade", "--yes")
    assert result.exit_code == 0, result.output
    assert shop.releases.labels("web", "web")["cto.dev/chart"] == "web-1.1.0"
    after = state(shop)
    assert after["config"] == before["config"]
    assert after["config"]["platform"]["name"] == "shop"
    assert after["given"] == ["platform.name", "profile", "providers.anthropic"]
    assert secret(shop)["data"] == keys["data"]
    assert SECRET not in result.output
    nothing = shop.document("upgrade", "--yes")
    assert nothing["data"]["changes"] == []


def test_a_state_of_an_older_cto_says_what_was_given_by_what_differs(shop: Desk) -> None:
    old = state(shop)
    del old["given"]
    manifest = shop.cluster.everything()[STATE]
    shop.cluster.add({**manifest, "data": {"state.json": json.dumps(old)}})
    assert shop.cto("upgrade", "--yes").exit_code == 0
    assert state(shop)["given"] == ["platform.name", "profile", "providers.anthropic"]


def test_a_value_that_no_secret_has_any_more_is_asked_for(shop: Desk) -> None:
    shop.cluster.delete_quietly(ObjectRef("v1", "Secret", "keys", "llm-keys"))
    error = shop.document("upgrade", "--yes", code=3)["error"]
    assert error["code"] == "CTO-1300"
    assert error["details"] == (
        "providers.anthropic (what is installed): its value is kept in Secret llm-keys in keys "
        "only, and is not there any more; give it again, in a file (-c FILE) or by a variable"
    )
    shop.env["CTO_PROVIDERS__ANTHROPIC"] = "sk-another-value"
    assert shop.cto("upgrade", "--yes").exit_code == 0


def test_nothing_installed_is_told(desk: Desk) -> None:
    for command in (("upgrade", "--yes"), ("plan", "upgrade")):
        error = desk.document(*command, code=9)["error"]
        assert error["code"] == "CTO-1901"


def test_it_asks_and_needs_somebody_who_answers(shop: Desk) -> None:
    newer(shop, "web")
    assert shop.document("upgrade", code=2)["error"]["code"] == "CTO-1204"
    shop.attended = True
    refused = shop.cto("upgrade", answer="n\n")
    assert refused.exit_code == 130
    assert "web-1.0.0 -> web-1.1.0" in refused.output
    assert shop.releases.labels("web", "web")["cto.dev/chart"] == "web-1.0.0"
    assert shop.cto("upgrade", answer="y\n").exit_code == 0
    assert shop.releases.labels("web", "web")["cto.dev/chart"] == "web-1.1.0"


def test_the_plan_says_from_what_to_what_object_by_object(shop: Desk) -> None:
    newer(shop, "web")

    def rendered(spec: ReleaseSpec) -> tuple[Manifest, ...]:
        _, app = plain_chart(spec)
        app["spec"]["template"]["spec"]["containers"][0]["image"] = "x:2"
        more = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "more"}, "spec": {}}
        return (app, more)

    shop.releases.render["web"] = rendered
    text = shop.cto("plan", "upgrade").stdout
    assert "web        web-1.0.0 -> web-1.1.0       1 new, 1 changed, 1 deleted, 1 restart" in text
    assert "      ~ Deployment web in web (its pods restart)\n" in text
    assert "          spec.template.spec.containers[main].image: x -> x:2\n" in text
    assert "      + Service more in web\n" in text
    assert "      - ConfigMap web-values in web\n" in text
    document = shop.document("plan", "upgrade")
    (step,) = (one for one in document["data"]["steps"] if one["id"] == "release:web")
    assert step["from"] == {"chart": "web-1.0.0", "app": ""}
    assert step["to"] == {"chart": "web-1.1.0", "app": ""}
    assert [one["action"] for one in step["objects"]] == ["update", "create", "delete"]


def test_check_ends_with_11_when_there_is_something_to_do(shop: Desk) -> None:
    assert shop.cto("plan", "upgrade", "--check").exit_code == 0
    newer(shop, "web")
    assert shop.cto("plan", "upgrade", "--check").exit_code == 11
    assert shop.cto("plan", "upgrade").exit_code == 0


def test_only_what_is_named_is_upgraded(shop: Desk) -> None:
    newer(shop, "web")
    newer(shop, "api")
    assert shop.cto("upgrade", "--yes", "--only", "api").exit_code == 0
    assert shop.releases.labels("api", "api")["cto.dev/chart"] == "api-1.1.0"
    assert shop.releases.labels("web", "web")["cto.dev/chart"] == "web-1.0.0"
    error = shop.document("upgrade", "--yes", "--only", "apy", code=2)["error"]
    assert error["code"] == "CTO-1200"
    assert error["fix"] == "There are web, api, keys."


def test_another_profile_brings_its_settings_and_keeps_what_was_given(shop: Desk) -> None:
    assert shop.cto("upgrade", "--yes", "--to-profile", "standard").exit_code == 0
    after = state(shop)
    assert after["profile"] == "standard"
    assert after["config"]["features"]["monitoring"]
    assert after["config"]["platform"]["name"] == "shop"


def test_a_component_follows_those_that_it_needs_once_they_are_ready(shop: Desk) -> None:
    newer(shop, "web")
    newer(shop, "api")
    steps = {one["id"]: one for one in shop.document("plan", "upgrade")["data"]["steps"]}
    assert "ready:web" in steps["release:api"]["after"]
    assert "ready:web" not in steps["release:web"]["after"]


def test_a_component_that_fails_is_brought_back_and_the_next_run_goes_on(shop: Desk) -> None:
    newer(shop, "web")
    newer(shop, "api")
    shop.releases.fail("api")
    failed = shop.cto("upgrade", "--yes")
    assert failed.exit_code == 5, failed.output
    assert "Roll Api back to api-1.0.0" in failed.output
    assert shop.releases.labels("web", "web")["cto.dev/chart"] == "web-1.1.0"
    assert shop.releases.labels("api", "api")["cto.dev/chart"] == "api-1.0.0"
    assert labels_of(shop.cluster.everything()[ObjectRef("apps/v1", "Deployment", "api", "api")])
    again = shop.cto("upgrade", "--yes")
    assert again.exit_code == 0, again.output
    assert shop.releases.labels("api", "api")["cto.dev/chart"] == "api-1.1.0"
    assert shop.document("plan", "upgrade")["data"]["changes"] == 0


# what cannot be changed


def another_selector(spec: ReleaseSpec) -> tuple[Manifest, ...]:
    values, app = plain_chart(spec)
    if spec.chart.version != "1.0.0":
        app["spec"]["selector"]["matchLabels"]["more"] = "yes"
    return (values, app)


@pytest.fixture
def immutable(shop: Desk) -> Desk:
    """A newer chart of Web, whose Deployment has another selector."""
    shop.releases.render["web"] = another_selector
    newer(shop, "web")
    return shop


def test_what_cannot_be_changed_is_refused_and_the_option_is_named(immutable: Desk) -> None:
    error = immutable.document("upgrade", "--yes", code=4)["error"]
    assert error["code"] == "CTO-1471"
    assert "Deployment web in web: spec.selector" in error["details"]
    assert "Or let cto do that, one after the other: --replace" in error["details"]


def test_what_cannot_be_changed_is_replaced_where_that_is_asked_for(immutable: Desk) -> None:
    ref = ObjectRef("apps/v1", "Deployment", "web", "web")
    plan = immutable.cto("plan", "upgrade", "--replace").stdout
    assert "! Deployment web in web (deleted and made again, its pods restart)" in plan
    before = immutable.cluster.everything()[ref]["metadata"]["uid"]
    result = immutable.cto("upgrade", "--yes", "--replace")
    assert result.exit_code == 0, result.output
    after = immutable.cluster.everything()[ref]
    assert after["spec"]["selector"]["matchLabels"]["more"] == "yes"
    assert after["metadata"]["uid"] != before
    back = immutable.cto("rollback", "--yes")
    assert back.exit_code == 0, back.output
    assert "more" not in immutable.cluster.everything()[ref]["spec"]["selector"]["matchLabels"]


# the way back, and who was there


def runs(desk: Desk) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = desk.document("history")["data"]["runs"]
    return found


def test_history_tells_who_did_what_and_how_it_ended(shop: Desk) -> None:
    newer(shop, "web")
    newer(shop, "api")
    shop.releases.fail("api")
    shop.cluster.user = "ann"
    shop.cto("upgrade", "--yes")
    last, first = runs(shop)
    assert (first["number"], first["command"], first["outcome"]) == (1, "install", "done")
    assert first["changes"] == {"api": "api-1.0.0", "keys": "keys-1.0.0", "web": "web-1.0.0"}
    assert (last["number"], last["command"], last["outcome"]) == (2, "upgrade", "failed")
    assert last["changes"] == {
        "api": "api-1.0.0 -> api-1.1.0",
        "web": "web-1.0.0 -> web-1.1.0",
    }
    assert last["rolled_back"] == ["api"]
    assert last["error"].startswith("CTO-1500: api: ")
    assert last["host"] == "vm"
    assert last["user"] == "ann"
    text = shop.cto("history").stdout
    assert "failed: CTO-1500: api: " in text
    assert "  2  web: web-1.0.0 -> web-1.1.0\n" in text


def test_a_run_that_was_killed_is_known(shop: Desk) -> None:
    newer(shop, "web")
    shop.releases.die("web")
    with pytest.raises(Killed):
        shop.cto("upgrade", "--yes")
    assert [one["outcome"] for one in runs(shop)] == ["running", "done"]
    assert "it was killed, or lost the cluster" in shop.cto("history").stdout


def test_twenty_runs_are_kept(shop: Desk) -> None:
    for number in range(22):
        newer(shop, "web", f"1.1.{number}")
        assert shop.cto("upgrade", "--yes", "--only", "web").exit_code == 0
    assert [one["number"] for one in runs(shop)] == list(range(23, 3, -1))


def test_the_way_back_brings_releases_own_objects_and_configuration(desk: Desk) -> None:
    own = (
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: own, namespace: own}}\n"
        "data: {{says: {}}}\n"
    )
    text = definition("own", "manifests: {after: [own.yaml.j2]}\n")
    # What was asked a moment ago is no answer once time goes on.
    desk.clock = SystemClock()
    desk.component(text, {"own.yaml.j2": own.format("one")})
    assert desk.cto("install", "--yes").exit_code == 0
    ref = ObjectRef("v1", "ConfigMap", "own", "own")
    before = desk.cluster.everything()[ref]
    (desk.root / "bundle/components/own/own.yaml.j2").write_text(
        own.format("two") + "---\n" + own.format("more").replace("name: own", "name: more")
    )
    newer(desk, "own")
    assert desk.cto("upgrade", "--yes", "--to-profile", "standard").exit_code == 0
    assert desk.cluster.everything()[ref]["data"] == {"says": "two"}
    plan = desk.cto("plan", "rollback").stdout
    assert "~ Roll Own back to own-1.0.0 (to own-1.0.0)" in plan
    assert "This takes back run 2." in plan
    result = desk.cto("rollback", "--yes")
    assert result.exit_code == 0, result.output
    assert "The platform is what it was before run 2." in result.output
    after = desk.cluster.everything()
    assert after[ref]["data"] == before["data"]
    assert labels_of(after[ref]) == labels_of(before)
    assert ObjectRef("v1", "ConfigMap", "own", "more") not in after
    assert desk.releases.labels("own", "own")["cto.dev/chart"] == "own-1.0.0"
    assert state(desk)["profile"] == "minimal"
    again = desk.cto("upgrade", "--yes")
    assert again.exit_code == 0
    assert desk.releases.labels("own", "own")["cto.dev/chart"] == "own-1.1.0"
    back = desk.document("rollback", "--yes", "--to", "1")
    assert back["data"]["takes_back"] == [2, 3, 4]
    assert desk.releases.labels("own", "own")["cto.dev/chart"] == "own-1.0.0"


def test_the_way_back_asks_and_says_what_there_is_to_go_to(shop: Desk) -> None:
    error = shop.document("rollback", "--yes", code=2)["error"]
    assert (error["code"], error["message"]) == (
        "CTO-1207",
        "before run 1 nothing was installed",
    )
    error = shop.document("plan", "rollback", "--to", "7", code=2)["error"]
    assert error["message"] == "--to 7: there is no such run; there are 1"
    newer(shop, "web")
    assert shop.cto("upgrade", "--yes").exit_code == 0
    assert shop.document("rollback", code=2)["error"]["code"] == "CTO-1204"
    shop.attended = True
    assert shop.cto("rollback", answer="n\n").exit_code == 130
    assert shop.releases.labels("web", "web")["cto.dev/chart"] == "web-1.1.0"


def test_a_revision_that_helm_keeps_no_more_is_told_before_anything_changes(shop: Desk) -> None:
    newer(shop, "web")
    newer(shop, "api")
    assert shop.cto("upgrade", "--yes").exit_code == 0
    shop.cluster.remove(ObjectRef("v1", "Secret", "web", "sh.helm.release.v1.web.v1"))
    error = shop.document("rollback", "--yes", code=4)["error"]
    assert error["code"] == "CTO-1474"
    assert "web: Helm keeps revision 1 no more" in error["details"]
    assert shop.releases.labels("api", "api")["cto.dev/chart"] == "api-1.1.0"


def test_the_way_back_leads_to_where_a_run_last_came_to_its_end(shop: Desk) -> None:
    """One that was killed, and the one that went on from there, go back together."""
    newer(shop, "web")
    newer(shop, "api")
    shop.releases.die("api")
    with pytest.raises(Killed):
        shop.cto("upgrade", "--yes")
    assert shop.cto("upgrade", "--yes").exit_code == 0
    back = shop.document("rollback", "--yes")["data"]
    assert back["takes_back"] == [2, 3]
    for name in ("web", "api"):
        assert shop.releases.labels(name, name)["cto.dev/chart"] == f"{name}-1.0.0"
    again = shop.document("rollback", "--yes")["data"]
    assert again["takes_back"] == [4]
    for name in ("web", "api"):
        assert shop.releases.labels(name, name)["cto.dev/chart"] == f"{name}-1.1.0"


@pytest.mark.parametrize("moment", ["pending", "applied"])
def test_a_way_back_that_was_killed_is_gone_on_with(shop: Desk, moment: str) -> None:
    newer(shop, "web")
    newer(shop, "api")
    assert shop.cto("upgrade", "--yes").exit_code == 0
    shop.releases.die("api", at=moment)
    with pytest.raises(Killed):
        shop.cto("rollback", "--yes")
    back = shop.document("rollback", "--yes")["data"]
    assert back["takes_back"] == [2, 3]
    for name in ("web", "api"):
        assert shop.releases.labels(name, name)["cto.dev/chart"] == f"{name}-1.0.0"
        assert shop.releases.status(name, name) == "deployed"
    assert shop.document("rollback", "--yes")["data"]["takes_back"] == [3, 4]
    assert shop.releases.labels("api", "api")["cto.dev/chart"] == "api-1.1.0"


def test_secrets_among_own_objects_are_kept_nowhere_and_stay(desk: Desk) -> None:
    """What a component of a user's own has in a Secret is in no ConfigMap of ours."""
    desk.clock = SystemClock()
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {{name: own, namespace: own}}\n"
    secret += "stringData: {{key: {}}}\n"
    text = definition("own", "manifests: {after: [own.yaml.j2]}\n")
    desk.component(text, {"own.yaml.j2": secret.format("planted-one")})
    assert desk.cto("install", "--yes").exit_code == 0
    (desk.root / "bundle/components/own/own.yaml.j2").write_text(secret.format("planted-two"))
    newer(desk, "own")
    assert desk.cto("upgrade", "--yes").exit_code == 0
    point = desk.cluster.everything()[ObjectRef("v1", "ConfigMap", "cto-system", "cto-run-000002")]
    packed = gzip.decompress(b64decode(point["binaryData"]["before.json.gz"])).decode()
    assert "planted" not in packed
    assert "own-1.0.0" in packed
    assert desk.cto("rollback", "--yes").exit_code == 0
    kept = desk.cluster.everything()[ObjectRef("v1", "Secret", "own", "own")]
    assert kept["stringData"] == {"key": "planted-two"}


def test_the_way_back_is_open_to_the_cto_that_had_installed_it(shop: Desk) -> None:
    old = state(shop)
    manifest = shop.cluster.everything()[STATE]
    writer = json.dumps({**old, "writer": "0.0.1"})
    shop.cluster.add({**manifest, "data": {"state.json": writer}})
    newer(shop, "web")
    assert shop.cto("upgrade", "--yes").exit_code == 0
    assert state(shop)["writer"] == __version__
    assert shop.cto("rollback", "--yes").exit_code == 0
    assert state(shop)["writer"] == "0.0.1"


def test_an_upgrade_gives_a_cluster_that_cto_made_what_it_lacks(desk: Desk) -> None:
    """Nodes that pull from a bundle get the images of the new one."""
    made = FakeProvider(name="kwok", kubeconfig=desk.kubeconfig)
    desk.kwok = made
    assert desk.cto("install", "--provider", "kwok", existing=False).exit_code == 0
    newer(desk, "web")
    result = desk.cto("upgrade", "--yes", "--provider", "kwok", existing=False)
    assert result.exit_code == 0, result.output
    assert len(made.provisioned) == 2


def test_a_profile_whose_file_is_not_there_is_to_be_named_again(desk: Desk) -> None:
    file = desk.folder / "mine.yaml"
    file.write_text("extends: minimal\ncpu: 3\n")
    assert desk.cto("install", "--yes", "--profile", str(file)).exit_code == 0
    moved = file.rename(desk.folder / "moved.yaml")
    error = desk.document("upgrade", "--yes", code=3)["error"]
    assert error["code"] == "CTO-1302"
    assert "name its file by --to-profile" in error["details"]
    assert desk.cto("upgrade", "--yes", "--to-profile", str(moved)).exit_code == 0


# what lies in between


def test_a_chart_that_may_not_follow_what_is_installed_is_refused(desk: Desk) -> None:
    text = definition("old", "upgrade: {from: 1.5.0, hazards: [always, {at: 2.0.0, what: now}]}\n")
    desk.component(text)
    assert desk.cto("install", "--yes").exit_code == 0
    newer(desk, "old", "2.0.0")
    error = desk.document("upgrade", "--yes", code=4)["error"]
    assert error["code"] == "CTO-1473"
    assert "Old: 1.0.0 -> 2.0.0, which follows 1.5.0" in error["details"]


def test_what_to_know_is_told_where_an_upgrade_goes_across_it(desk: Desk) -> None:
    text = definition("old", "upgrade: {hazards: [always, {at: 1.5.0, what: now and then}]}\n")
    desk.component(text)
    assert desk.cto("install", "--yes").exit_code == 0
    newer(desk, "old", "1.2.0")
    assert "know: always" in desk.cto("plan", "upgrade").stdout
    assert "now and then" not in desk.cto("plan", "upgrade").stdout
    newer(desk, "old", "1.5.0")
    assert "know: now and then" in desk.cto("plan", "upgrade").stdout
