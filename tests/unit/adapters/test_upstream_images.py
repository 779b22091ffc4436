"""Without a bundle only the node image is ours to bring, and only if Docker lacks it."""

from __future__ import annotations

from cto.adapters.kind.supply import UpstreamImages
from fakes.docker import FakeDocker

NODE = "docker.io/kindest/node:v1.34.0@sha256:1"


def test_it_is_pulled_once() -> None:
    docker, said = FakeDocker(remote={NODE}), list[str]()
    images = UpstreamImages(docker, NODE)
    images.check()
    assert images.node_image(said.append) == NODE
    assert UpstreamImages(docker, NODE).node_image(said.append) == NODE
    assert docker.pulled == [NODE]
    assert said == [f"Docker pulls {NODE}"]


def test_nodes_are_left_as_they_are() -> None:
    docker = FakeDocker()
    images = UpstreamImages(docker, NODE)
    images.join("cto", "kind", ["cto-control-plane"])
    images.leave("cto")
    assert docker.executed == []
    assert docker.names() == []
