"""Where the images of a cluster in Docker come from: upstream, or a bundle.

A bundle is a registry: our own image, started a second time. One container per bundle, shared by
all clusters. Nothing is written down about who uses it: nodes name it in their containerd's files,
and what no node names is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event as Flag
from typing import NoReturn

from cto.adapters.docker import LOOPBACK, ContainerSpec, DockerContainer, Engine, Image, Publish
from cto.adapters.kind import mirrors, registries
from cto.adapters.kind.registries import PREFIX, REGISTRY, ROLE_LABEL
from cto.errors import PreflightError, ToolError
from cto.ports import Clock

BUNDLE_LABEL = "cto.dev/bundle"
# RFC 6761 keeps this name from ever being a host: nobody can be asked for such an image.
NODE_HOST = "cto.invalid"
_DIGITS = 12
_ATTEMPTS = 4
_ANSWER_S = 60.0
_LOOK_S = 0.1
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# It asks nobody but itself. Docker's own configuration may have proxies for every container.
_UNPROXIED = {"NO_PROXY": "*", "no_proxy": "*"}
_DEAD = ("dead", "removing", "restarting")
# A cluster's name server asks the world on its own; in an air-gapped one, nothing. CoreDNS' plugin
# `loop` asks for a name of random digits when it starts, and where nobody answers, its health check
# goes on asking for the root: https://coredns.io/plugins/loop/. It guards against a name server
# that is its own upstream, which Docker's cannot be. Names that pods ask for are forwarded as
# before: a network without a way out may have name servers.
#
# In a subshell: on a node that is no control plane there is nothing to do. A failure costs one
# question, and is no reason to have no cluster.
_QUIET_DNS = """\
(
  export KUBECONFIG=/etc/kubernetes/admin.conf
  [ -e "$KUBECONFIG" ] || exit 0
  found=$(kubectl --namespace kube-system get configmap coredns --output yaml) || exit 0
  printf '%s\\n' "$found" | grep -q '^ *loop$' || exit 0
  printf '%s\\n' "$found" | sed '/^ *loop$/d' | kubectl replace --filename - >/dev/null
) || true
"""


class UpstreamImages:
    """Implements `ports.ImageSupply`. Only the node image is ours to bring.

    Args:
        node_image: Its reference. One that Docker has already is not looked for anywhere.
    """

    def __init__(self, engine: Engine, node_image: str) -> None:
        self._engine = engine
        self._node_image = node_image

    def check(self) -> None:
        """Whether upstream can be reached is seen when Docker and nodes pull."""

    def node_image(self, progress: Callable[[str], None]) -> str:
        if self._engine.image(self._node_image) is None:
            progress(f"Docker pulls {self._node_image}")
            self._engine.pull(self._node_image)
        return self._node_image

    def join(self, cluster: str, network: str, nodes: Sequence[str]) -> None:
        """Nodes ask upstream's registries as they are."""

    def leave(self, cluster: str) -> None:
        # An image of cto with a bundle may have made the cluster.
        registries.sweep(self._engine, gone=cluster)

    def leftovers(self) -> Sequence[str]:
        return registries.leftovers(self._engine)


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What has to be known of a bundle to serve it.

    Attributes:
        hosts: Upstream's hosts of its images.
        node: The node image, `docker.io/kindest/node:v1.34.11`; '' if the bundle has none.
        node_digest: Its digest.
        architecture: Of its images, `amd64`.
    """

    digest: str
    hosts: tuple[str, ...]
    node: str
    node_digest: str
    architecture: str

    @property
    def node_repository(self) -> str:
        """What the node image is called in the registry, without its tag."""
        host, _, name = self.node.rpartition(":")[0].partition("/")
        return f"{mirrors.prefix_of(host)}/{name}"

    @property
    def node_name(self) -> str:
        """What Docker keeps the node image as."""
        tag = self.node.rpartition(":")[2]
        return f"{NODE_HOST}/{self.node_repository}:{tag}-{_short(self.node_digest)}"


class BundleRegistry:
    """Implements `ports.ImageSupply`.

    Args:
        engine: Docker.
        clock: Waits until the registry answers.
        bundle: What is served.
        image: An image that holds the bundle; '' is the one of our own container.
        node_image: Taken instead of the bundle's.
        check_bundle: Raises IntegrityError CTO-1810 if files of the bundle are missing or cut off.
        air_gapped: Asked when nodes are told where to look.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        bundle: Bundle,
        *,
        image: str,
        node_image: str = "",
        check_bundle: Callable[[], None],
        air_gapped: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._bundle = bundle
        self._image = image
        self._given = UpstreamImages(engine, node_image) if node_image else None
        self._check_bundle = check_bundle
        self._air_gapped = air_gapped
        self.name = f"{PREFIX}{_short(bundle.digest)}"

    def check(self) -> None:
        """See that the bundle can be served.

        Raises:
            PreflightError: CTO-1430, there is no image to serve it from; CTO-1401, somebody else's
                container has the registry's name.
            IntegrityError: CTO-1810, files are missing or cut off: its container would end at once.
        """
        self._check_bundle()
        if self._container() is None:
            self._image_with_bundle()

    def serve(self, progress: Callable[[str], None]) -> None:
        """Serve the bundle; return when the registry answers.

        Asked from inside: its ports may be out of our reach.

        Raises:
            PreflightError: As `check`.
            ToolError: CTO-1530, the registry does not run.
        """
        self._start(progress)
        end = self._clock.monotonic() + _ANSWER_S
        question = ("crane", "catalog", "--insecure", f"{LOOPBACK}:{mirrors.PORT}")
        while self._engine.execute(self.name, question, check=False).returncode:
            found = self._engine.container(self.name)
            if found is None or not found.running:
                self._fail("it ended")
            if self._clock.monotonic() >= end:
                self._fail(f"it does not answer within {_ANSWER_S:g} s")
            self._clock.wait(Flag(), _LOOK_S)

    def node_image(self, progress: Callable[[str], None]) -> str:
        """Return the node image, which Docker pulls from the registry by its digest.

        Its name here has no port in it: another one is published after each start.
        """
        if self._given:
            return self._given.node_image(progress)
        bundle = self._bundle
        if not bundle.node:
            text = "the bundle has no image for nodes"
            hint = "Name one that Docker has: CTO_NODE_IMAGE."
            raise PreflightError("CTO-1430", text, hint=hint)
        target = bundle.node_name
        if self._engine.image(target) is None:
            self.serve(progress)
            source = f"{LOOPBACK}:{self._port()}/{bundle.node_repository}@{bundle.node_digest}"
            progress(f"Docker pulls {bundle.node} from the bundle")
            self._engine.pull(source)
            self._engine.tag(source, target)
            self._engine.untag(source)
        return target

    def join(self, cluster: str, network: str, nodes: Sequence[str]) -> None:
        """Put the registry into the nodes' network, and tell them of it.

        What they used before is asked second: pods of the bundle before may still move around.
        """
        del cluster  # its nodes say which registries it uses
        self.serve(lambda _: None)
        self._engine.connect(network, self.name)
        air_gapped = self._air_gapped()
        for node in nodes:
            before = self._previous(node)
            names = (self.name, *before)
            texts = mirrors.files(self._bundle.hosts, names, network=network, air_gapped=air_gapped)
            quiet = _QUIET_DNS if air_gapped else ""
            self._engine.execute(node, ("sh", "-s"), stdin=mirrors.script(texts) + quiet)
        registries.sweep(self._engine, kept=self.name)

    def leave(self, cluster: str) -> None:
        """Remove the registries that no node names any more, and the node image with ours."""
        registries.sweep(self._engine, gone=cluster)
        name = self._bundle.node_name
        # While a container of it is there, Docker would take the name and keep the bytes.
        used = any(one.image == name for one in self._engine.containers())
        if self._bundle.node and self._engine.container(self.name) is None and not used:
            self._engine.untag(name)

    def leftovers(self) -> Sequence[str]:
        return registries.leftovers(self._engine)

    # the container

    def _start(self, progress: Callable[[str], None]) -> None:
        for _ in range(_ATTEMPTS):
            found = self._container()
            if found is None:
                progress(f"Serving the bundle: container {self.name}")
                self._create()
            elif found.state in _DEAD:
                self._engine.remove(self.name)
            elif not found.running:
                self._engine.start(self.name)
            else:
                return
        self._fail("it ends again and again")

    def _container(self) -> DockerContainer | None:
        found = self._engine.container(self.name)
        if found and found.labels.get(BUNDLE_LABEL) != self._bundle.digest:
            text = f"there is a container {self.name}, and cto did not make it"
            hint = f"Look at it: `docker inspect {self.name}`; rename or remove it."
            raise PreflightError("CTO-1401", text, hint=hint)
        return found

    def _create(self) -> None:
        spec = ContainerSpec(
            name=self.name,
            image=self._image_with_bundle().id,
            command=("bundle", "serve", "--listen", f":{mirrors.PORT}"),
            labels={ROLE_LABEL: REGISTRY, BUNDLE_LABEL: self._bundle.digest},
            publish=(Publish(container_port=mirrors.PORT),),
            restart="unless-stopped",
            env=_UNPROXIED,
        )
        try:
            self._engine.create(spec)
        except ToolError as error:
            # Another installer was quicker: it has the same bundle.
            if not error.name_is_taken:
                raise

    def _image_with_bundle(self) -> Image:
        """Return the image to serve from: nodes can run what is in its bundle, which is ours."""
        reference = self._image
        if not reference:
            own = self._engine.own()
            if own is None:
                text = "cto does not run in a container whose image could serve the bundle"
                hint = "Run it by `docker run`, or name an image that holds the bundle: CTO_IMAGE."
                raise PreflightError("CTO-1430", text, hint=hint)
            reference = own.image_id
        image = self._engine.image(reference)
        if image is None:
            text = f"Docker does not have the image {reference}"
            hint = f"Bring it: `docker pull {reference}`, or `docker load`."
            raise PreflightError("CTO-1430", text, hint=hint)
        self._compare(image)
        return image

    def _compare(self, image: Image) -> None:
        held = image.labels.get(BUNDLE_LABEL, "")
        if held != self._bundle.digest:
            text = f"the image {image.id[:19]} holds {held or 'no bundle'}"
            details = f"the bundle that was named is {self._bundle.digest}"
            hint = "Leave --bundle (CTO_BUNDLE) out, or name the image that holds it: CTO_IMAGE."
            raise PreflightError("CTO-1430", text, details=details, hint=hint)
        machine = self._engine.daemon().architecture
        if _ARCHITECTURES.get(machine, machine) != self._bundle.architecture:
            text = f"the bundle is for {self._bundle.architecture}, and Docker runs on {machine}"
            hint = f"Take the image of cto for {_ARCHITECTURES.get(machine, machine)}."
            raise PreflightError("CTO-1430", text, hint=hint)

    def _fail(self, why: str) -> NoReturn:
        text = f"the bundle's registry {self.name} does not run: {why}"
        raise ToolError("CTO-1530", text, details=self._engine.logs(self.name))

    def _port(self) -> int:
        found = self._engine.container(self.name)
        port = found.ports.get(mirrors.PORT, 0) if found else 0
        if not port:
            self._fail("Docker publishes no port of it")
        return port

    def _previous(self, node: str) -> Sequence[str]:
        """Return the registry that a node asks now, if it is another one and still there."""
        named = registries.named_by(self._engine, node)
        return [n for n in named if n != self.name and self._engine.container(n)][:1]


def _short(digest: str) -> str:
    return digest.rpartition(":")[2][:_DIGITS]
