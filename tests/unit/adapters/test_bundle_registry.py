"""One registry per bundle, for all clusters in a Docker."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cto.adapters.docker.container import ContainerSpec, DockerContainer, Image
from cto.adapters.kind.registries import ROLE_LABEL
from cto.adapters.kind.supply import BUNDLE_LABEL, Bundle, BundleRegistry, UpstreamImages
from cto.errors import IntegrityError, PreflightError, ToolError
from fakes.clock import FakeClock
from fakes.docker import FakeDocker

DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
NODE_DIGEST = "sha256:" + "c" * 64
NAME, OTHER_NAME = "cto-registry-aaaaaaaaaaaa", "cto-registry-bbbbbbbbbbbb"
NODE = "docker.io/kindest/node"
KEPT = "cto.invalid/docker.io/kindest/node:v1.34.0-cccccccccccc"
CLUSTER = "io.x-k8s.kind.cluster"
PULLED = f"127.0.0.1:32768/{NODE}@{NODE_DIGEST}"


def bundle(digest: str = DIGEST, **changes: str) -> Bundle:
    fields = {"node": f"{NODE}:v1.34.0", "node_digest": NODE_DIGEST, "architecture": "amd64"}
    return Bundle(digest=digest, hosts=("docker.io", "quay.io"), **{**fields, **changes})


@dataclass
class Yard:
    """A Docker with nodes whose files are remembered, and registries that answer, or do not.

    Attributes:
        files: Node -> what the last script wrote to it.
        deaf: How often a registry does not answer yet.
    """

    docker: FakeDocker = field(default_factory=FakeDocker)
    clock: FakeClock = field(default_factory=FakeClock)
    files: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    deaf: int = 0
    on_question: Callable[[], object] = lambda: None
    check_bundle: Callable[[], None] = lambda: None
    air_gapped: bool = True

    def __post_init__(self) -> None:
        self.docker.info = replace(self.docker.info, architecture="x86_64")
        self.docker.program = self._run
        self.docker.add_network("kind")
        self.image("cto:one", DIGEST)
        self.docker.remote.add(PULLED)
        ours = DockerContainer(id="", name="us", image_id=self.docker.images["cto:one"].id)
        self.docker.add(ours)
        self.docker.inside = "us"

    def image(self, name: str, digest: str) -> Image:
        made = self.docker.add_image(name)
        self.docker.images[name] = replace(made, labels={BUNDLE_LABEL: digest} if digest else {})
        return self.docker.images[name]

    def node(self, name: str, cluster: str = "cto", **changes: Any) -> str:
        labels = {CLUSTER: cluster}
        made = DockerContainer(id="", name=name, labels=labels, networks={"kind": ""}, **changes)
        self.docker.add(made)
        return name

    def mark(self, cluster: str) -> None:
        """Say that a cluster is ours."""
        labels = {ROLE_LABEL: "kind-cluster", "cto.dev/cluster": cluster}
        marker = DockerContainer(id="", name=f"cto-kind-{cluster}", state="created", labels=labels)
        self.docker.add(marker)

    def supply(self, found: Bundle | None = None, *, image: str = "") -> BundleRegistry:
        return BundleRegistry(
            self.docker,
            self.clock,
            found or bundle(),
            image=image,
            check_bundle=self.check_bundle,
            air_gapped=lambda: self.air_gapped,
        )

    def serve(self) -> None:
        self.supply().serve(self.said.append)

    def registries(self) -> list[str]:
        return [one.name for one in self.docker.containers(**{ROLE_LABEL: "registry"})]

    def state(self, state: str, name: str = NAME) -> None:
        one = self.docker.container(name)
        assert one is not None
        self.docker.add(replace(one, state=state))

    def _run(
        self, container: DockerContainer, argv: tuple[str, ...], stdin: str | None
    ) -> tuple[int, str]:
        if argv[0] == "crane":
            self.on_question()
            self.deaf -= 1
            return (1, "connection refused") if self.deaf >= 0 else (0, "")
        if stdin is not None:
            self.files[container.name] = stdin
        return 0, "" if stdin is not None else self.files.get(container.name, "")


@pytest.fixture
def yard() -> Yard:
    return Yard()


def servers(script: str) -> set[str]:
    """Return the registries that a node was told to ask."""
    return set(re.findall(r"http://([^:]+)\.kind:5000/v2/", script))


# the container


def test_our_own_image_serves_the_bundle(yard: Yard) -> None:
    yard.serve()
    made = yard.docker.container(NAME)
    assert made is not None
    assert made.running
    assert made.image_id == yard.docker.images["cto:one"].id
    assert made.labels == {ROLE_LABEL: "registry", BUNDLE_LABEL: DIGEST}
    assert made.bindings == {5000: 0}
    assert made.mounts == {}
    assert yard.docker.kept == {NAME}
    assert yard.said == [f"Serving the bundle: container {NAME}"]


def test_it_never_asks_a_proxy(yard: Yard) -> None:
    """Docker's own configuration may have one for every container."""
    yard.serve()
    assert yard.docker.environments[NAME] == {"NO_PROXY": "*", "no_proxy": "*"}


def test_it_is_started_once(yard: Yard) -> None:
    yard.serve()
    before = yard.docker.container(NAME)
    yard.serve()
    assert yard.docker.container(NAME) == before
    assert len(yard.said) == 1


def test_an_image_that_is_named_serves_as_well(yard: Yard) -> None:
    yard.docker.inside = ""
    image = yard.image("cto:two", DIGEST)
    yard.supply(image="cto:two").serve(yard.said.append)
    made = yard.docker.container(NAME)
    assert made is not None
    assert made.image_id == image.id


@pytest.mark.parametrize("state", ["created", "exited", "paused"])
def test_one_that_stands_still_is_started(yard: Yard, state: str) -> None:
    """A run was killed before it started it, or somebody stopped it."""
    yard.serve()
    before = yard.docker.container(NAME)
    yard.state(state)
    yard.serve()
    after = yard.docker.container(NAME)
    assert before is not None
    assert after is not None
    assert (after.id, after.state) == (before.id, "running")


@pytest.mark.parametrize("state", ["dead", "restarting", "removing"])
def test_one_that_is_beyond_help_is_made_anew(yard: Yard, state: str) -> None:
    yard.serve()
    before = yard.docker.container(NAME)
    yard.state(state)
    yard.serve()
    after = yard.docker.container(NAME)
    assert before is not None
    assert after is not None
    assert after.id != before.id
    assert after.running


def test_somebody_elses_container_of_the_name_stays(yard: Yard) -> None:
    yard.docker.add(DockerContainer(id="", name=NAME))
    for ask in (yard.supply().check, yard.serve):
        with pytest.raises(PreflightError) as caught:
            ask()
        assert caught.value.code == "CTO-1401"
        assert NAME in caught.value.message


def test_whether_it_can_be_served_is_seen_without_a_container(yard: Yard) -> None:
    yard.supply().check()
    assert yard.registries() == []
    yard.serve()
    yard.supply().check()
    assert yard.registries() == [NAME]


def test_a_damaged_bundle_is_refused_before_anything_is_made(yard: Yard) -> None:
    damage = IntegrityError("CTO-1810", "the bundle is damaged")

    def refuse() -> None:
        raise damage

    yard.check_bundle = refuse
    with pytest.raises(IntegrityError) as caught:
        yard.supply().check()
    assert caught.value is damage
    assert yard.registries() == []


def test_of_two_installers_one_makes_it_and_both_go_on(yard: Yard) -> None:
    """The other one makes it between our look and our attempt."""

    class Racing(FakeDocker):
        def create(self, spec: ContainerSpec) -> str:
            self.start(super().create(spec))
            text = f"docker create {spec.name}: the name is taken"
            raise ToolError("CTO-1522", text)

    racing = Racing()
    racing.__dict__.update(yard.docker.__dict__)
    yard.docker = racing
    yard.serve()
    assert yard.registries() == [NAME]


def test_what_docker_refuses_is_not_hidden(yard: Yard) -> None:
    class Full(FakeDocker):
        def create(self, spec: ContainerSpec) -> str:
            text = "docker create: no space left on device"
            raise ToolError("CTO-1523", text)

    full = Full()
    full.__dict__.update(yard.docker.__dict__)
    yard.docker = full
    with pytest.raises(ToolError) as caught:
        yard.serve()
    assert caught.value.code == "CTO-1523"


def test_it_is_waited_for(yard: Yard) -> None:
    yard.deaf = 3
    yard.serve()
    assert yard.clock.waits == [0.1, 0.1, 0.1]
    questions = {argv for name, argv, _ in yard.docker.executed if name == NAME}
    assert questions == {("crane", "catalog", "--insecure", "127.0.0.1:5000")}


def test_one_that_never_answers_is_an_error_with_its_last_lines(yard: Yard) -> None:
    yard.deaf = 10**6
    with pytest.raises(ToolError) as caught:
        yard.serve()
    assert caught.value.code == "CTO-1530"
    assert "does not answer within 60 s" in caught.value.message


@pytest.mark.parametrize("gone", [True, False])
def test_one_that_ends_while_it_is_waited_for_is_an_error(yard: Yard, *, gone: bool) -> None:
    yard.deaf = 10**6
    yard.on_question = lambda: yard.docker.remove(NAME) if gone else yard.state("exited")
    with pytest.raises(ToolError) as caught:
        yard.serve()
    assert caught.value.code == "CTO-1530"
    assert "it ended" in caught.value.message


def test_one_that_ends_again_and_again_is_an_error(yard: Yard) -> None:
    class Dying(FakeDocker):
        def start(self, name: str) -> None:
            one = self.container(name)
            assert one is not None
            self.add(replace(one, state="restarting"))

    dying = Dying()
    dying.__dict__.update(yard.docker.__dict__)
    yard.docker = dying
    with pytest.raises(ToolError) as caught:
        yard.serve()
    assert caught.value.code == "CTO-1530"
    assert "again and again" in caught.value.message


# the image


def refused(yard: Yard, supply: BundleRegistry | None = None) -> PreflightError:
    supply = supply or yard.supply()
    with pytest.raises(PreflightError) as before:
        supply.check()
    with pytest.raises(PreflightError) as caught:
        supply.serve(yard.said.append)
    assert str(before.value) == str(caught.value)
    assert caught.value.code == "CTO-1430"
    assert yard.registries() == []
    return caught.value


def test_outside_of_a_container_an_image_has_to_be_named(yard: Yard) -> None:
    yard.docker.inside = ""
    assert "CTO_IMAGE" in refused(yard).hint


def test_an_image_that_docker_lacks_is_named(yard: Yard) -> None:
    assert "cto:three" in refused(yard, yard.supply(image="cto:three")).message


@pytest.mark.parametrize(("held", "told"), [("", "no bundle"), (OTHER, OTHER)])
def test_an_image_with_another_bundle_is_refused(yard: Yard, held: str, told: str) -> None:
    yard.image("cto:four", held)
    error = refused(yard, yard.supply(image="cto:four"))
    assert error.message.endswith(f"holds {told}")
    assert DIGEST in error.details


@pytest.mark.parametrize("machine", ["aarch64", "riscv64"])
def test_a_bundle_for_another_machine_is_refused(yard: Yard, machine: str) -> None:
    yard.docker.info = replace(yard.docker.info, architecture=machine)
    assert machine in refused(yard).message


# the node image


def test_docker_pulls_the_node_image_by_its_digest(yard: Yard) -> None:
    """It keeps a name without the port, which another start changes."""
    assert yard.supply().node_image(yard.said.append) == KEPT
    assert yard.docker.pulled == [PULLED]
    assert KEPT in yard.docker.images
    assert PULLED not in yard.docker.images
    assert yard.said[-1] == f"Docker pulls {NODE}:v1.34.0 from the bundle"


def test_a_node_image_that_is_there_is_not_pulled_again(yard: Yard) -> None:
    for _ in range(2):
        assert yard.supply().node_image(yard.said.append) == KEPT
    assert yard.docker.pulled == [PULLED]


def test_a_port_of_upstream_is_no_part_of_a_name(yard: Yard) -> None:
    found = bundle(node="registry.local:5000/kindest/node:v1")
    yard.docker.remote.add(f"127.0.0.1:32768/registry.local-5000/kindest/node@{NODE_DIGEST}")
    name = yard.supply(found).node_image(yard.said.append)
    assert name == "cto.invalid/registry.local-5000/kindest/node:v1-cccccccccccc"


def test_a_bundle_without_node_image_says_what_to_name(yard: Yard) -> None:
    with pytest.raises(PreflightError) as caught:
        yard.supply(bundle(node="")).node_image(yard.said.append)
    assert (caught.value.code, "CTO_NODE_IMAGE" in caught.value.hint) == ("CTO-1430", True)


def test_a_node_image_that_is_named_is_taken_instead(yard: Yard) -> None:
    yard.docker.add_image("mine:1")
    supply = BundleRegistry(
        yard.docker,
        yard.clock,
        bundle(),
        image="",
        node_image="mine:1",
        check_bundle=lambda: None,
        air_gapped=bool,
    )
    assert supply.node_image(yard.said.append) == "mine:1"
    assert yard.docker.pulled == []
    supply.leave("cto")
    assert "mine:1" in yard.docker.images


def test_a_port_that_is_not_published_is_an_error(yard: Yard) -> None:
    yard.serve()
    one = yard.docker.container(NAME)
    assert one is not None
    yard.docker.add(replace(one, ports={}))
    with pytest.raises(ToolError) as caught:
        yard.supply().node_image(yard.said.append)
    assert caught.value.code == "CTO-1530"


# the nodes


def test_nodes_are_told_where_to_look(yard: Yard) -> None:
    nodes = [yard.node("cto-control-plane"), yard.node("cto-worker")]
    yard.supply().join("cto", "kind", nodes)
    assert yard.files.keys() == {*nodes}
    for script in yard.files.values():
        assert servers(script) == {NAME}
        assert "put '_default'" in script
        assert "put 'quay.io'" in script
    network = yard.docker.network("kind")
    assert network is not None
    assert NAME in network.containers


@pytest.mark.parametrize("air_gapped", [True, False])
def test_the_clusters_name_server_asks_nobody_on_its_own_if_air_gapped(
    yard: Yard, *, air_gapped: bool
) -> None:
    yard.air_gapped = air_gapped
    yard.node("cto-control-plane")
    yard.supply().join("cto", "kind", ["cto-control-plane"])
    assert ("configmap coredns" in yard.files["cto-control-plane"]) is air_gapped


def test_not_air_gapped_other_hosts_are_left_alone(yard: Yard) -> None:
    yard.air_gapped = False
    yard.supply().join("cto", "kind", [yard.node("cto-control-plane")])
    assert "_default" not in yard.files["cto-control-plane"]


def test_the_bundle_before_is_asked_second_and_the_one_before_that_goes(yard: Yard) -> None:
    node = yard.node("cto-control-plane")
    for name, digest in (("cto:one", DIGEST), ("cto:two", OTHER), ("cto:three", "sha256:" + "d")):
        yard.image(name, digest)
        yard.supply(bundle(digest), image=name).join("cto", "kind", [node])
    assert yard.registries() == [OTHER_NAME, "cto-registry-d"]
    assert servers(yard.files[node]) == {"cto-registry-d", OTHER_NAME}


def test_a_bundle_before_that_is_gone_is_not_asked(yard: Yard) -> None:
    node = yard.node("cto-control-plane")
    yard.image("cto:two", OTHER)
    yard.supply(bundle(OTHER), image="cto:two").join("cto", "kind", [node])
    yard.docker.remove(OTHER_NAME)
    yard.supply().join("cto", "kind", [node])
    assert servers(yard.files[node]) == {NAME}


def test_a_registry_of_another_cluster_stays(yard: Yard) -> None:
    yard.image("cto:two", OTHER)
    yard.supply(bundle(OTHER), image="cto:two").join("x", "kind", [yard.node("x-node", "x")])
    yard.supply().join("cto", "kind", [yard.node("cto-control-plane")])
    assert yard.registries() == [NAME, OTHER_NAME]


# the end


def test_the_last_cluster_takes_the_registry_and_the_node_image_along(yard: Yard) -> None:
    supply = yard.supply()
    supply.node_image(yard.said.append)
    supply.join("cto", "kind", [yard.node("cto-control-plane")])
    supply.join("two", "kind", [yard.node("two-control-plane", "two")])
    yard.docker.remove("cto-control-plane")
    supply.leave("cto")
    assert yard.registries() == [NAME]
    assert KEPT in yard.docker.images
    supply.leave("two")
    assert yard.registries() == []
    assert KEPT not in yard.docker.images
    supply.leave("two")


def test_the_node_image_stays_whole_until_the_last_container_of_it_is_gone(yard: Yard) -> None:
    """Docker would take its name and keep its bytes, for nobody to find."""
    supply = yard.supply()
    supply.node_image(yard.said.append)
    yard.docker.add(DockerContainer(id="", name="cto-kind-cto.making", image=KEPT, state="created"))
    supply.leave("cto")
    assert KEPT in yard.docker.images
    yard.docker.remove("cto-kind-cto.making")
    supply.leave("cto")
    assert KEPT not in yard.docker.images


def test_an_installer_without_a_bundle_takes_the_registry_along_as_well(yard: Yard) -> None:
    yard.supply().join("cto", "kind", [yard.node("cto-control-plane")])
    upstream = UpstreamImages(yard.docker, "mine:1")
    upstream.leave("other")
    assert yard.registries() == [NAME]
    upstream.leave("cto")
    assert yard.registries() == []


@pytest.mark.parametrize("state", ["exited", "paused"])
def test_nobody_asks_a_node_of_ours_that_stands_still_and_so_everything_stays(
    yard: Yard, state: str
) -> None:
    supply = yard.supply()
    supply.node_image(yard.said.append)
    supply.join("cto", "kind", [yard.node("cto-control-plane")])
    yard.node("two-control-plane", "two", state=state)
    yard.mark("two")
    yard.docker.remove("cto-control-plane")
    supply.leave("cto")
    assert yard.registries() == [NAME]
    assert KEPT in yard.docker.images
    (line,) = supply.leftovers()
    assert line == (
        f"container {NAME}, and the image of nodes: the cluster two does not run, and its nodes "
        "may need them. Start it, or remove it (`cto uninstall --cluster --cluster-name two`), "
        "then repeat this."
    )
    assert UpstreamImages(yard.docker, "mine:1").leftovers() == supply.leftovers()


def test_somebody_elses_cluster_that_stands_still_needs_nothing_of_ours(yard: Yard) -> None:
    supply = yard.supply()
    supply.node_image(yard.said.append)
    supply.join("cto", "kind", [yard.node("cto-control-plane")])
    yard.mark("cto")
    yard.node("theirs-control-plane", "theirs", state="exited")
    yard.docker.remove("cto-control-plane")
    supply.leave("cto")
    assert supply.leftovers() == ()
    assert yard.registries() == []
    assert KEPT not in yard.docker.images


def test_what_a_running_node_names_stays_and_needs_no_words(yard: Yard) -> None:
    """Also if its marker is gone: `docker container prune` takes what does not run."""
    supply = yard.supply()
    supply.join("two", "kind", [yard.node("two-control-plane", "two")])
    supply.leave("cto")
    assert yard.registries() == [NAME]
    assert supply.leftovers() == ()
    yard.node("three-control-plane", "three", state="exited")
    yard.mark("three")
    assert supply.leftovers() == []


def test_a_node_that_goes_away_meanwhile_needs_nothing(yard: Yard) -> None:
    class Fleeting(FakeDocker):
        def execute(self, name: str, *more: object, **others: object) -> object:  # type: ignore[override] # passed on
            if name == "other":
                self.remove("other")
            return super().execute(name, *more, **others)  # type: ignore[arg-type] # as it is

    fleeting = Fleeting()
    fleeting.__dict__.update(yard.docker.__dict__)
    yard.docker = fleeting
    yard.serve()
    yard.node("other", "other")
    yard.supply().leave("cto")
    assert yard.registries() == []


def test_a_node_that_cannot_be_asked_is_an_error(yard: Yard) -> None:
    yard.serve()
    yard.node("other", "other")

    def fail(
        container: DockerContainer, argv: tuple[str, ...], stdin: str | None
    ) -> tuple[int, str]:
        return 1, "no"

    yard.docker.program = fail
    with pytest.raises(ToolError):
        yard.supply().leave("cto")
    assert yard.registries() == [NAME]
