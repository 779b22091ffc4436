"""Which cluster: what was named, else what there is, and never a guess between several."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cto import assets
from cto.adapters.docker.client import Docker
from cto.adapters.docker.config import has_docker
from cto.adapters.docker.container import DockerContainer, Engine, KnownContainers
from cto.adapters.kind.provider import Kind
from cto.adapters.kind.supply import UpstreamImages
from cto.bundle.collect import node_image
from cto.cli import containers
from cto.cli.clusters import Clusters
from cto.cli.settings import ClusterOptions, CommandSettings
from cto.cli.wiring import Wiring
from cto.errors import ApiError, ConfigError, PreflightError, ToolError, UsageError
from cto.holder import Containers, NoContainers
from cto.objects import ObjectRef
from cto.ports import Provider, ProviderState
from fakes.cluster import FakeCluster
from fakes.desk import Desk, write_kubeconfig
from fakes.docker import FakeDocker
from fakes.provider import FakeProvider
from fakes.runner import FakeRunner

KIND = {"cluster.provider": ("--provider", "kind")}
EXISTING = {"cluster.provider": ("--provider", "existing")}


def wiring(
    folder: Path, env: dict[str, str] | None = None, docker: Engine | None = None, **options: Any
) -> Wiring:
    """Return a wiring; with a Docker, there is a socket."""
    socket = folder / "docker.sock"
    if docker:
        socket.touch()
    settings = CommandSettings(
        ClusterOptions(**options),
        env={"HOME": str(folder / "home"), **(env or {})},
        docker_socket=socket,
    )
    made = Wiring(
        settings,
        open_cluster=lambda access, clock: FakeCluster(),
    )
    if docker:
        made.docker = docker
    return made


def made_cluster(name: str = "cto") -> FakeDocker:
    """Return a Docker with a cluster of ours."""
    docker = FakeDocker()
    labels = {"io.x-k8s.kind.cluster": name, "io.x-k8s.kind.role": "control-plane"}
    docker.add(DockerContainer(id="", name=f"{name}-control-plane", labels=labels))
    marker = {"cto.dev/role": "kind-cluster"}
    docker.add(DockerContainer(id="", name=f"cto-kind-{name}", state="created", labels=marker))
    return docker


class TestInstalling:
    def test_a_docker_and_nothing_named_is_kind(self, tmp_path: Path) -> None:
        write_kubeconfig(tmp_path / "home/.kube/config", "laptop")
        assert wiring(tmp_path, docker=FakeDocker()).clusters.chosen().name == "kind"

    @pytest.mark.parametrize("name", ["DOCKER_HOST", "DOCKER_CONTEXT"])
    def test_a_docker_may_be_somewhere_else(self, tmp_path: Path, name: str) -> None:
        assert wiring(tmp_path, {name: "somewhere"}).clusters.chosen().name == "kind"

    @pytest.mark.parametrize(
        ("config", "found"),
        [
            ({"currentContext": "desktop-linux"}, True),
            ({"currentContext": "default"}, False),
            ({}, False),
            ([], False),
        ],
    )
    def test_a_context_names_one_too(self, tmp_path: Path, config: Any, *, found: bool) -> None:
        file = tmp_path / "home/.docker/config.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(config))
        env = {"HOME": str(tmp_path / "home")}
        assert has_docker(env, tmp_path / "none") is found

    @pytest.mark.parametrize("way", ["flag", "kubeconfig", "variable", "config"])
    def test_a_cluster_that_is_named_comes_first(self, tmp_path: Path, way: str) -> None:
        file = write_kubeconfig(tmp_path / "home/.kube/config", "laptop")
        env: dict[str, str] = {}
        options: dict[str, Any] = {}
        match way:
            case "flag":
                options["flags"] = {"cluster.context": ("--context", "laptop")}
            case "kubeconfig":
                options["kubeconfig"] = file
            case "variable":
                env["CTO_CONTEXT"] = "laptop"
            case _:
                env["CTO_CLUSTER__PROVIDER"] = "existing"
        assert wiring(tmp_path, env, FakeDocker(), **options).clusters.chosen().name == "existing"

    def test_neither_a_docker_nor_a_context_gives_both_lines(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as caught:
            wiring(tmp_path).clusters.chosen()
        assert caught.value.code == "CTO-1202"
        assert caught.value.hint.count("docker run") == 2
        assert "-v /var/run/docker.sock:/var/run/docker.sock" in caught.value.hint
        assert "127.0.0.1, as with kind: --network host" in caught.value.hint

    def test_several_contexts_are_a_question(self, tmp_path: Path) -> None:
        write_kubeconfig(tmp_path / "home/.kube/config", "one", "two")
        with pytest.raises(UsageError) as caught:
            wiring(tmp_path).clusters.chosen()
        assert caught.value.details == "--context one\n--context two"


class TestLooking:
    """Verbs that need no configuration."""

    def name(self, made: Wiring) -> tuple[str, ProviderState]:
        provider = made.clusters.there()
        return provider.name, provider.state()

    def test_our_cluster_in_docker_comes_first(self, tmp_path: Path) -> None:
        write_kubeconfig(tmp_path / "home/.kube/config", "laptop")
        assert self.name(wiring(tmp_path, docker=made_cluster())) == (
            "kind",
            ProviderState.READY,
        )

    def test_without_one_it_is_the_kubeconfigs(self, tmp_path: Path) -> None:
        write_kubeconfig(tmp_path / "home/.kube/config", "laptop")
        assert wiring(tmp_path, docker=FakeDocker()).clusters.there().name == "existing"
        broken = FakeDocker(fails=PreflightError("CTO-1420", "no Docker answers"))
        assert wiring(tmp_path, docker=broken).clusters.there().name == "existing"

    def test_another_name_is_another_cluster(self, tmp_path: Path) -> None:
        docker = made_cluster("two")
        flags = {"cluster.name": ("--cluster-name", "two"), **KIND}
        assert self.name(wiring(tmp_path, docker=docker, flags=flags))[1] is ProviderState.READY
        env = {"CTO_CLUSTER__NAME": "two", "CTO_CLUSTER__PROVIDER": "kind"}
        assert self.name(wiring(tmp_path, env, docker))[1] is ProviderState.READY
        file = tmp_path / "cto.yaml"
        file.write_text("cluster: {name: two}\n")
        named = wiring(tmp_path, docker=docker, flags=KIND, files=(str(file),))
        assert self.name(named)[1] is ProviderState.READY
        assert self.name(wiring(tmp_path, docker=docker, flags=KIND))[1] is ProviderState.ABSENT

    def test_what_is_wrong_elsewhere_does_not_matter(self, tmp_path: Path) -> None:
        """Neither a secret that this shell does not have, nor a profile that is not there."""
        write_kubeconfig(tmp_path / "home/.kube/config", "one", "two")
        file = tmp_path / "cto.yaml"
        file.write_text(
            "cluster: {context: two}\nproviders: {anthropic: '${KEY}'}\n"
            "platform: {name: No Name, name: x}\nprofile: nowhere.yaml\n"
        )
        made = wiring(tmp_path, {"CTO_SMTP__PORT": "x"}, files=(str(file),))
        assert made.clusters.there().access().context == "two"

    @pytest.mark.parametrize(
        ("text", "env", "told"),
        [
            ("clustr: {context: two}", {}, "clustr (FILE:1): there is no such field; did you"),
            ("cluster: {contxt: two}", {}, "cluster.contxt (FILE:1): there is no such field; did"),
            ("cluster: {context: a, context: b}", {}, "cluster.context (FILE:1): is given twice"),
            ("cluster: {context: '${X}'}", {}, "cluster.context (FILE:1): the environment variab"),
            ("", {"CTO_CLUSTER__CONTXT": "two"}, "env CTO_CLUSTER__CONTXT: is no setting of cto"),
            ("", {"CTO_CONTXT": "two"}, "env CTO_CONTXT: is no setting of cto; did you mean CTO_C"),
            ("", {"CTO_CLUSTER__PROVIDER": "knid"}, "cluster.provider 'knid' (env CTO_CLUSTER__PR"),
        ],
    )
    def test_what_may_have_meant_another_cluster_is_told(
        self, tmp_path: Path, text: str, env: dict[str, str], told: str
    ) -> None:
        file = tmp_path / "cto.yaml"
        file.write_text(text)
        made = wiring(tmp_path, env, docker=made_cluster(), files=(str(file),))
        with pytest.raises(ConfigError) as caught:
            made.clusters.there()
        assert caught.value.details.replace(str(file), "FILE").startswith(told)


class TestStopped:
    """A simulated cluster whose programs do not run is told as such, however it was named."""

    STARTS = "`cto install --provider kwok` starts it again, and goes on; its data is kept."

    @pytest.fixture
    def stopped(self, desk: Desk) -> Desk:
        folder = desk.folder / "state" / "kwok" / "cto"
        folder.mkdir(parents=True)
        (folder / "complete.json").write_text("{}")
        desk.contexts("kwok-cto")
        silent = ApiError("CTO-1601", "connection refused")
        desk.cluster.fail_next("server_version", silent)
        return desk

    def test_one_whose_api_server_runs_is_looked_at(self, stopped: Desk) -> None:
        """Its scheduler may be away: that has a cause of its own."""
        with pytest.raises(ApiError):
            stopped.cluster.server_version()
        assert stopped.document("status", code=9)["error"]["code"] == "CTO-1901"

    @pytest.mark.parametrize("options", [("--provider", "kwok"), ()], ids=["provider", "context"])
    @pytest.mark.parametrize(
        "command", [("status",), ("plan", "uninstall"), ("uninstall", "--yes")]
    )
    def test_whoever_looks_learns_what_starts_it(
        self, stopped: Desk, command: tuple[str, ...], options: tuple[str, ...]
    ) -> None:
        error = stopped.document(*command, *options, code=6)["error"]
        assert (error["code"], error["fix"]) == ("CTO-1601", self.STARTS)
        assert error["message"].startswith("the simulated cluster kwok-cto is stopped: ")

    def test_whoever_installs_on_its_context_learns_it_too(self, stopped: Desk) -> None:
        error = stopped.document("install", code=4)["error"]
        assert (error["code"], error["fix"]) == ("CTO-1403", self.STARTS)

    def test_one_that_was_never_made_is_told_with_what_makes_it(self, desk: Desk) -> None:
        error = desk.document("status", "--provider", "kwok", code=2)["error"]
        assert (error["code"], error["message"]) == (
            "CTO-1202",
            "there is no simulated cluster of cto",
        )
        assert error["fix"].startswith("`cto install --provider kwok` makes one.")

    def test_somebody_elses_of_the_same_name_is_looked_at(self, desk: Desk) -> None:
        desk.contexts("kwok-cto")
        assert desk.document("status", code=9)["error"]["code"] == "CTO-1901"


class TestEveryVerb:
    @pytest.fixture
    def desk(self, desk: Desk) -> Desk:
        """A desk with a kind cluster of ours beside two contexts of somebody else."""
        desk.kind = FakeProvider(name="kind", kubeconfig=desk.kubeconfig)
        desk.contexts("production", "staging")
        desk.env["KUBECONFIG"] = str(desk.kubeconfig)
        return desk

    def contexts(self, desk: Desk, *options: str) -> set[str]:
        """Return where each verb goes."""
        verbs: tuple[tuple[str, ...], ...] = (
            ("plan", "install"),
            ("install",),
            ("status",),
            ("plan", "uninstall"),
            ("uninstall", "--yes"),
        )
        documents = [desk.document(*verb, *options, existing=False) for verb in verbs]
        return {document["data"]["context"] for document in documents}

    def test_all_take_our_cluster_if_nothing_is_named(self, desk: Desk) -> None:
        assert self.contexts(desk) == {"kind"}

    @pytest.mark.parametrize("name", ["CTO_CONTEXT", "CTO_CLUSTER__CONTEXT"])
    def test_all_take_what_the_environment_names(self, desk: Desk, name: str) -> None:
        desk.env[name] = "staging"
        assert self.contexts(desk) == {"staging"}
        assert self.contexts(desk, "--context", "production") == {"production"}

    def test_all_take_what_a_file_names(self, desk: Desk) -> None:
        file = desk.folder / "cto.yaml"
        file.write_text("cluster: {context: staging}\n")
        assert self.contexts(desk, "-c", str(file)) == {"staging"}
        desk.env["CTO_CONTEXT"] = "production"
        assert self.contexts(desk, "-c", str(file)) == {"production"}

    def test_all_take_the_provider_that_a_file_names(self, desk: Desk) -> None:
        desk.kwok = FakeProvider(name="kwok", kubeconfig=desk.kubeconfig)
        file = desk.folder / "cto.yaml"
        file.write_text("cluster: {provider: kwok}\n")
        assert self.contexts(desk, "-c", str(file)) == {"kwok"}


class TestDeleting:
    def provider(self, folder: Path, docker: Engine, *, kwok: bool, **options: Any) -> Provider:
        made = wiring(folder, docker=docker, **options)
        made.providers["kwok"] = FakeProvider(name="kwok", ready=kwok)
        return made.clusters.made()

    def test_it_is_what_there_is(self, tmp_path: Path) -> None:
        assert self.provider(tmp_path, made_cluster(), kwok=False).name == "kind"
        assert self.provider(tmp_path, FakeDocker(), kwok=True).name == "kwok"

    def test_without_a_cluster_it_is_what_a_killed_run_may_have_left_in_docker(
        self, tmp_path: Path
    ) -> None:
        assert self.provider(tmp_path, FakeDocker(), kwok=False).name == "kind"
        made = wiring(tmp_path / "elsewhere")
        made.providers["kwok"] = FakeProvider(name="kwok", ready=False)
        assert made.clusters.made().name == "kwok"

    def test_of_two_one_has_to_be_named(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as caught:
            self.provider(tmp_path, made_cluster(), kwok=True)
        assert caught.value.code == "CTO-1206"
        assert self.provider(tmp_path, made_cluster(), kwok=True, flags=KIND).name == "kind"

    def test_somebody_elses_cluster_is_never_deleted(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError):
            self.provider(tmp_path, FakeDocker(), kwok=True, flags=EXISTING)

    def test_whoever_names_another_context_does_not_mean_ours(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="context 'staging' was named"):
            self.provider(tmp_path, made_cluster(), kwok=True, env={"CTO_CONTEXT": "staging"})

    @pytest.mark.parametrize(("context", "name"), [("kind-two", "kind"), ("kwok-cto", "kwok")])
    def test_our_own_context_names_our_cluster(
        self, tmp_path: Path, context: str, name: str
    ) -> None:
        env = {"CTO_CONTEXT": context, "CTO_CLUSTER__NAME": "two"}
        assert self.provider(tmp_path, made_cluster("two"), kwok=True, env=env).name == name

    def test_a_file_names_it_too(self, tmp_path: Path) -> None:
        file = tmp_path / "cto.yaml"
        file.write_text("cluster: {provider: kwok}\n")
        files = (str(file),)
        assert self.provider(tmp_path, made_cluster(), kwok=True, files=files).name == "kwok"


class TestKind:
    def test_it_is_made_of_what_the_catalog_and_the_environment_say(self, tmp_path: Path) -> None:
        docker = FakeDocker()
        docker.add_image("mine/node:v1.33.1")
        made = wiring(tmp_path, {"CTO_NODE_IMAGE": "mine/node:v1.33.1"}, docker)
        assert made.provider("kind").kube_version() == "v1.33.1"
        assert containers.published(made.catalog.components) == {
            30080: 8080,
            30300: 3000,
            31200: 80,
            32746: 2746,
        }
        assert isinstance(containers.supply(made.settings, docker, made.clock), UpstreamImages)

    @pytest.mark.parametrize("image", ["", "mine/node@sha256:1", "mine/node:latest"])
    def test_without_a_version_in_its_name_it_has_the_usual_one(
        self, tmp_path: Path, image: str
    ) -> None:
        made = wiring(tmp_path, {"CTO_NODE_IMAGE": image}, FakeDocker())
        assert (
            made.provider("kind").kube_version()
            == node_image(assets.root() / "bundle").kube_version
        )

    def test_the_given_docker_comes_before_the_users_own(self, tmp_path: Path) -> None:
        for folder in ("given", "path"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "docker").write_text("#!/bin/false\n")
            (tmp_path / folder / "docker").chmod(0o755)
        env = {"PATH": str(tmp_path / "path")}
        made = wiring(tmp_path, env, tools=tmp_path / "given")
        assert containers.program(made.tools, env)() == str(tmp_path / "given/docker")
        assert containers.program(wiring(tmp_path, env).tools, env)() == str(
            tmp_path / "path/docker"
        )
        assert isinstance(made.docker, Docker)

    def test_for_the_sake_of_a_lock_no_docker_is_fetched(self, tmp_path: Path) -> None:
        program = tmp_path / "docker"
        env = {"PATH": str(tmp_path)}
        made = wiring(tmp_path, env)

        def known() -> Containers:
            return containers.known(lambda: made.docker, made.tools, env)

        assert isinstance(known(), NoContainers)
        program.write_text("#!/bin/false\n")
        program.chmod(0o755)
        assert isinstance(known(), KnownContainers)

    @pytest.mark.parametrize("asked", [False, True])
    def test_the_users_context_changes_if_asked_for(self, tmp_path: Path, *, asked: bool) -> None:
        wish = {"cluster.use_context": ("--use-context", "true")} if asked else {}
        made = wiring(tmp_path, docker=FakeDocker(), flags={**KIND, **wish})
        provider = made.clusters.chosen()
        assert isinstance(provider, Kind)
        assert provider._access._make_current is asked

    def test_no_proxy_is_asked_for_the_nodes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com")
        monkeypatch.setenv("NO_PROXY", "mine")
        monkeypatch.setenv("no_proxy", "mine")
        monkeypatch.setenv("HOME", str(tmp_path))
        made = Wiring(CommandSettings(ClusterOptions(), docker_socket=tmp_path / "none"))
        made.docker = FakeDocker()
        assert made.provider("kind").name == "kind"
        assert os.environ["NO_PROXY"] == "mine,cto-control-plane"

    def test_docker_is_asked_by_its_program(self, tmp_path: Path) -> None:
        (tmp_path / "docker").write_text("#!/bin/false\n")
        (tmp_path / "docker").chmod(0o755)
        made = wiring(tmp_path, {"DOCKER_HOST": "unix:///x", "PATH": str(tmp_path)})
        made.runner = FakeRunner()  # type: ignore[assignment] # starts nothing
        with pytest.raises(ToolError):
            made.docker.networks()
        assert made.settings.cluster.name == "cto"


class TestInstall:
    def test_urls_lead_to_where_the_cluster_publishes_them(self, desk: Desk) -> None:
        provider = FakeProvider(name="kind", ready=False)
        provider.resizes = False
        provider.ports = {30080: 8081}
        desk.kind = provider
        access = "access: {service: web, port: 80, "
        text = (desk.root / "bundle/components/web/component.yaml").read_text()
        desk.component(text.replace(access, f"{access}node_port: 30080, host_port: 8080, "))
        result = desk.cto("install", existing=False)
        assert result.exit_code == 0, result.output
        assert "Web: http://localhost:8081" in result.stdout.splitlines()
        document = desk.document("install", existing=False)
        assert document["data"]["access"][0]["url"] == "http://localhost:8081"
        env = {"CTO_PLATFORM__INGRESS_TYPE": "none"}
        desk.env.update(env)
        provider.ports = {30080: 8080}
        assert "port-forward svc/web 8081:80" in desk.cto("install", existing=False).stdout

    def test_nodes_are_told_of_a_profile_that_is_there(self, desk: Desk) -> None:
        provider = FakeProvider(name="kind")
        desk.kind = provider
        foreign = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}}
        desk.cluster.add(foreign)
        desk.document("install", "--profile", "standard", code=4, existing=False)
        assert provider.labelled == []
        desk.cluster.delete_quietly(ObjectRef("v1", "Namespace", "", "web"))
        desk.document("install", "--profile", "standard", existing=False)
        assert provider.labelled == ["standard"]

    def test_high_availability_on_one_node_makes_no_cluster(self, desk: Desk) -> None:
        provider = FakeProvider(name="kind", ready=False)
        provider.resizes = False
        desk.kind = provider
        desk.env["CTO_FEATURES__HIGH_AVAILABILITY"] = "true"
        document = desk.document("install", code=3, existing=False)
        assert document["error"]["code"] == "CTO-1320"
        assert provider.provisioned == []

    def test_high_availability_on_the_one_node_that_is_there_touches_nothing(
        self, desk: Desk
    ) -> None:
        """Not its registry, and not the profile that is written on its nodes."""
        provider = FakeProvider(name="kind")
        provider.resizes = False
        desk.kind = provider
        desk.env |= {"CTO_FEATURES__HIGH_AVAILABILITY": "true", "CTO_CLUSTER__NODES": "3"}
        document = desk.document("install", code=3, existing=False)
        assert document["error"]["code"] == "CTO-1320"
        assert "cto uninstall --provider kind --cluster" in document["error"]["fix"]
        assert provider.provisioned == []


def in_context(name: str) -> ClusterOptions:
    return ClusterOptions(flags={"cluster.context": ("--context", name)})


class TestInAPod:
    """Without a kubeconfig it is the cluster around us; whatever names one goes before that."""

    @pytest.fixture
    def pod(self, tmp_path: Path) -> Path:
        folder = tmp_path / "serviceaccount"
        folder.mkdir()
        (folder / "token").write_text("t")
        (folder / "ca.crt").write_text("c")
        return folder

    def wiring(self, tmp_path: Path, pod: Path, **env: str) -> Wiring:
        around = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
        made = wiring(tmp_path, {**around, **env})
        made.settings = replace(made.settings, service_account=pod)
        return made

    @pytest.mark.parametrize("choose", [Clusters.chosen, Clusters.there])
    def test_the_cluster_around_is_taken(self, tmp_path: Path, pod: Path, choose: Any) -> None:
        provider = choose(self.wiring(tmp_path, pod).clusters)
        assert provider.name == "existing"
        assert provider.access().context == "in-cluster"
        assert provider.validate()[0].message == (
            "the cluster around this pod, by its service account"
        )
        reach = provider.reach()
        assert (reach.context, reach.kubeconfig, reach.is_there) == ("", None, False)
        assert "kubeconfig" in reach.notes[0]

    def test_it_can_be_named(self, tmp_path: Path, pod: Path) -> None:
        """Beside a kubeconfig that has others."""
        write_kubeconfig(tmp_path / "home" / ".kube" / "config", "one", "two")
        made = self.wiring(tmp_path, pod)
        made.settings = replace(made.settings, options=in_context("in-cluster"))
        assert made.clusters.chosen().access().context == "in-cluster"

    def test_the_usual_kubeconfig_goes_before_it(self, tmp_path: Path, pod: Path) -> None:
        write_kubeconfig(tmp_path / "home" / ".kube" / "config", "mine")
        assert self.wiring(tmp_path, pod).clusters.chosen().access().context == "mine"

    @pytest.mark.parametrize("name", ["KUBECONFIG", "CTO_KUBECONFIG"])
    def test_one_that_is_named_and_not_there_is_an_error(
        self, tmp_path: Path, pod: Path, name: str
    ) -> None:
        with pytest.raises(UsageError) as error:
            self.wiring(tmp_path, pod, **{name: str(tmp_path / "missing")}).clusters.chosen()
        assert error.value.code == "CTO-1202"

    def test_so_is_one_of_the_command_line(self, tmp_path: Path, pod: Path) -> None:
        made = self.wiring(tmp_path, pod)
        options = ClusterOptions(kubeconfig=tmp_path / "missing")
        made.settings = replace(made.settings, options=options)
        with pytest.raises(UsageError, match="missing does not exist"):
            made.clusters.chosen()

    def test_another_context_is_not_taken_for_it(self, tmp_path: Path, pod: Path) -> None:
        made = self.wiring(tmp_path, pod)
        made.settings = replace(made.settings, options=in_context("other"))
        with pytest.raises(UsageError) as error:
            made.clusters.chosen()
        assert error.value.code == "CTO-1203"
