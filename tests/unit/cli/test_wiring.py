"""What a command works with follows from its options and the environment, and from nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from cto import assets
from cto.adapters.helm.releases import HelmReleases
from cto.adapters.kubernetes.cluster import KubeCluster
from cto.cli.output import Terminal
from cto.cli.parts import manifests
from cto.cli.secretguard import SecretGuard
from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto.errors import ConfigError, UsageError
from cto.ports import Access
from cto_airgap.logins import RegistryLogin
from fakes.cluster import FakeCluster
from fakes.desk import Desk, write_kubeconfig
from fakes.registry import FakeWeb
from fakes.runner import FakeRunner
from unit.cli.conftest import WEB

KWOK = {"cluster.provider": ("--provider", "kwok")}


def wiring(folder: Path, env: Mapping[str, str] | None = None, **options: Any) -> Wiring:
    settings = CommandSettings(
        ClusterOptions(**options),
        env={"HOME": str(folder / "home"), **(env or {})},
        docker_socket=folder / "docker.sock",
    )
    return Wiring(
        settings,
        open_cluster=lambda access, clock: FakeCluster(),
    )


class TestFolders:
    def test_they_are_where_the_desktop_expects_them(self, tmp_path: Path) -> None:
        made = wiring(tmp_path)
        assert made.settings.cache == tmp_path / "home/.cache/cto"
        assert made.settings.state == tmp_path / "home/.local/state/cto"

    def test_the_desktops_own_variables_count(self, tmp_path: Path) -> None:
        env = {"XDG_CACHE_HOME": "/some/cache", "XDG_STATE_HOME": "/some/state"}
        made = wiring(tmp_path, env)
        assert (made.settings.cache, made.settings.state) == (
            Path("/some/cache/cto"),
            Path("/some/state/cto"),
        )

    def test_our_own_variables_count_most_and_are_taken_as_they_are(self, tmp_path: Path) -> None:
        made = wiring(tmp_path, {"CTO_CACHE_DIR": "cache", "XDG_CACHE_HOME": "/some/cache"})
        assert made.settings.cache == Path("cache").absolute()

    def test_without_a_home_there_is_a_folder_all_the_same(self) -> None:
        made = Wiring(CommandSettings(ClusterOptions(), env={}))
        assert made.settings.cache == Path("/.cache/cto")


class TestRegistries:
    def test_what_log_ins_hold_is_shown_nowhere(self, tmp_path: Path) -> None:
        folder = tmp_path / "home" / ".docker"
        folder.mkdir(parents=True)
        entry = {"username": "me", "password": "file-hunter2", "identitytoken": "idt-hunter2"}
        (folder / "config.json").write_text(json.dumps({"auths": {"r.io": entry}}))
        variable = json.dumps({"auths": {"q.io": {"registrytoken": "reg-hunter2"}}})
        made = wiring(tmp_path, {"DOCKER_AUTH_CONFIG": variable})
        made.open_web = lambda ca_file: nullcontext(FakeWeb())
        with made.sessions.open(None, {"x.io": RegistryLogin("me", "given-hunter2")}, Event()):
            said = made.secrets.redacted("file-hunter2 idt-hunter2 reg-hunter2 given-hunter2")
        assert "hunter2" not in said

    def test_what_says_null_is_read_as_docker_reads_it(self, tmp_path: Path) -> None:
        folder = tmp_path / "home" / ".docker"
        folder.mkdir(parents=True)
        helper = folder / "docker-credential-x"
        helper.write_text("")
        helper.chmod(0o755)
        entry = {"username": "me", "password": "hunter2"}
        text = {
            "auths": {"a.io": None, "b.io": {**entry, "identitytoken": None}, "c.io": entry},
            "credHelpers": {"b.io": None, "c.io": "x"},
        }
        (folder / "config.json").write_text(json.dumps(text))
        made = wiring(tmp_path, {"PATH": str(folder)})
        runner = FakeRunner().on(
            "docker-credential-x", stdout='{"Username": null, "Secret": "helped-hunter2"}'
        )
        made.runner = runner  # type: ignore[assignment] # it answers for the helper
        logins = made.sessions.logins({})
        found = {host: logins.find(host, "r") for host in ("a.io", "b.io", "c.io")}
        assert found == {
            "a.io": None,
            "b.io": RegistryLogin("me", "hunter2"),
            "c.io": RegistryLogin("", "helped-hunter2"),
        }
        assert "hunter2" not in made.secrets.redacted("helped-hunter2")


class TestCluster:
    def test_the_only_context_of_the_usual_kubeconfig(self, tmp_path: Path) -> None:
        file = write_kubeconfig(tmp_path / "home/.kube/config", "laptop")
        assert wiring(tmp_path).clusters.chosen().access() == Access(file, "laptop")

    def test_the_kubeconfig_of_the_environment_and_before_it_that_of_the_command_line(
        self, tmp_path: Path
    ) -> None:
        write_kubeconfig(tmp_path / "home/.kube/config", "laptop")
        one = write_kubeconfig(tmp_path / "one", "one")
        two = write_kubeconfig(tmp_path / "two", "two")
        env = {"CTO_KUBECONFIG": str(one)}
        assert wiring(tmp_path, env).clusters.chosen().access().context == "one"
        assert wiring(tmp_path, env, kubeconfig=two).clusters.chosen().access().context == "two"
        assert wiring(tmp_path, {"KUBECONFIG": str(two)}).clusters.there().access().context == "two"

    def test_every_verb_takes_the_first_of_flag_environment_file_and_profile(
        self, tmp_path: Path
    ) -> None:
        """What was named in one way after the other, the last one first."""
        file = write_kubeconfig(tmp_path / "config", "a", "b", "c", "d", "e", "f")
        (tmp_path / "profile.yaml").write_text("config: {cluster: {context: f}}\n")
        (tmp_path / "cto.yaml").write_text("cluster: {context: '${NAME}'}\n")
        env = {"NAME": "e"}
        options: dict[str, Any] = {"kubeconfig": file}

        def taken() -> set[str | None]:
            """Return the contexts that verbs with and without a configuration work on."""
            configured = wiring(tmp_path, env, **options)
            config = configured.configure().config
            plain = wiring(tmp_path, env, **options)
            return {
                config.cluster.context,
                configured.clusters.chosen().access().context,
                plain.clusters.there().access().context,
            }

        env["CTO_PROFILE"] = str(tmp_path / "profile.yaml")
        assert taken() == {"f"}
        options["files"] = (str(tmp_path / "cto.yaml"),)
        assert taken() == {"e"}
        env["CTO_CLUSTER"] = "{context: d}"
        assert taken() == {"d"}
        env["CTO_CONTEXT"] = "c"
        assert taken() == {"c"}
        env["CTO_CLUSTER__CONTEXT"] = "b"
        assert taken() == {"b"}
        options["flags"] = {"cluster.context": ("--context", "a")}
        assert taken() == {"a"}

    def test_no_kubeconfig_is_no_cluster(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as caught:
            wiring(tmp_path).clusters.chosen()
        assert caught.value.code == "CTO-1202"

    def test_kwok_has_its_own_kubeconfig_below_our_state(self, tmp_path: Path) -> None:
        env = {"CTO_STATE_DIR": str(tmp_path / "state")}
        provider = wiring(tmp_path, env, flags=KWOK).clusters.chosen()
        assert (provider.name, provider.simulated, provider.creates) == ("kwok", True, True)
        assert provider.access().kubeconfig.is_relative_to(tmp_path / "state")


class TestConfiguration:
    def test_the_cluster_is_made_as_big_as_the_profile_says(self, tmp_path: Path) -> None:
        flags = {**KWOK, "profile": ("--profile", "production")}
        made = wiring(tmp_path, {"CTO_CLUSTER__NODES": "3"}, flags=flags)
        made.configure()
        options = made.node_options()
        assert (options.nodes, options.profile) == (3, "production")
        assert (options.cpu, options.memory_gib) == (16, 32)

    def test_it_knows_the_components_of_the_catalog(self, tmp_path: Path) -> None:
        env = {"CTO_COMPONENTS__ARGO_EVENTS__MODE": "external"}
        config = wiring(tmp_path, env).configure().config
        assert config.components["argo-events"].mode.value == "external"

    def test_simulated_pods_take_as_long_as_the_environment_says(self) -> None:
        folder = assets.root() / "templates" / "kwok"
        quick = manifests(folder, {})
        slow = manifests(folder, {"CTO_KWOK_POD_READY_SECONDS": "8"})
        assert {item["kind"] for item in quick} >= {"Stage"}
        assert "8000" in str(slow)
        assert quick != slow


class TestSecrets:
    def wiring(self, desk: Desk, **env: str) -> Wiring:
        made = Wiring(CommandSettings(ClusterOptions(), env={**desk.env, **env}, root=desk.root))
        assert made.configure() is made.loaded
        return made

    def guard(self, desk: Desk, **env: str) -> SecretGuard:
        return SecretGuard(self.wiring(desk, **env).loaded)

    def test_a_value_that_is_secret_may_not_be_in_a_command_line(self, desk: Desk) -> None:
        made = self.guard(
            desk, CTO_GITHUB__WEBHOOK_SECRET="planted-hook", CTO_SMTP__PASSWORD="planted-mail"
        )
        assert made.is_secret("--set=x=planted-hook")
        assert made.is_secret("planted-mail")
        assert not made.is_secret("--namespace=web")

    @pytest.mark.parametrize(
        "weak",
        [
            pytest.param("jenkins", id="a folder"),
            pytest.param("webserver", id="a component"),
            pytest.param("registry.example", id="the registry"),
            pytest.param("upgrade", id="an option"),
        ],
    )
    def test_one_that_every_command_line_holds_is_told_as_weak(self, desk: Desk, weak: str) -> None:
        desk.component(WEB.replace("release: web", "release: webserver"))
        env = {
            "CTO_CACHE_DIR": "/home/jenkins/.cache/cto",
            "CTO_REGISTRY__URL": "registry.example.com",
            "CTO_SMTP__PASSWORD": weak,
            "CTO_PROVIDERS__ANTHROPIC": f"{weak}-or-not",
        }
        with pytest.raises(ConfigError) as caught:
            self.wiring(desk, **env)
        assert (caught.value.code, caught.value.exit_code) == ("CTO-1300", 3)
        (line,) = caught.value.details.splitlines()
        assert line.startswith("smtp.password (env CTO_SMTP__PASSWORD): is a word that ")
        assert "{secret: NAME, key: KEY}" in line
        assert weak not in line

    def test_one_that_is_in_the_name_of_the_context_is_told_as_weak(self, desk: Desk) -> None:
        desk.contexts("admin@jenkins")
        desk.env["CTO_PROVIDERS__ANTHROPIC"] = "jenkins"
        error = desk.document("install", code=3)["error"]
        assert error["details"].startswith("providers.anthropic (env CTO_PROVIDERS__ANTHROPIC): ")
        assert "jenkins" not in error["details"]

    def test_a_short_one_would_be_found_everywhere(self, desk: Desk) -> None:
        assert not self.guard(desk, CTO_GITHUB__WEBHOOK_SECRET="web").is_secret("upgrade web")


class TestAdapters:
    def test_unless_given_otherwise_they_are_the_true_ones(self, tmp_path: Path) -> None:
        made = Terminal().wiring(ClusterOptions())
        assert made.settings.root == assets.root()
        access = Access(write_kubeconfig(tmp_path / "config", "one"), "one")
        helm = made.open_helm(FakeRunner(), lambda: Path("/nowhere/helm"), access, tmp_path)
        assert isinstance(helm, HelmReleases)
        assert isinstance(made.connect(access), KubeCluster)

    def test_a_lost_lock_is_told_and_stops_the_run(self, desk: Desk) -> None:
        """Somebody takes the lease away by force while Helm works."""

        def steal(_: object) -> None:
            lease = desk.cluster.list("coordination.k8s.io/v1", "Lease")[0]
            desk.cluster.add({**lease, "spec": {**lease["spec"], "holderIdentity": "a thief"}})
            desk.clock.advance(60)  # type: ignore[attr-defined] # the desk's clock is a fake

        desk.releases.during_upgrade = steal
        document = desk.document("install", code=10)
        assert document["error"]["code"] == "CTO-2001"
