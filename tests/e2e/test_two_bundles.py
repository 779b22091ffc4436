"""A newer image on the cluster of an older one: its bundle is asked first, and sends nothing."""

from __future__ import annotations

import json

import pytest

from .delivery import registries, sent
from .engine import Engine
from .image import Image, made
from .installer import Installer
from .moments import NODE

pytestmark = [pytest.mark.docker, pytest.mark.slow]

CERTS = "/etc/containerd/certs.d"


@pytest.fixture
def newer(installer: Installer) -> Installer:
    """Another bundle with the same images: that of a smaller profile."""
    image: Image = made("minimal")
    image.load(installer.engine)
    return Installer(installer.engine, image.reference, installer.kube)


def in_node(engine: Engine, *words: str) -> str:
    return engine.out("exec", NODE, *words)


def image_id(engine: Engine, image: str) -> str:
    """Return what a node knows an image by: the digest of its configuration."""
    status = json.loads(in_node(engine, "crictl", "inspecti", image))["status"]
    return str(status["id"])


def test_a_second_image_that_shares_layers_sends_none(
    installer: Installer, newer: Installer
) -> None:
    engine = installer.engine
    installer.install("minimal")
    (first,) = registries(engine)
    assert newer.install("minimal")["changes"] == []
    (second,) = {*registries(engine)} - {first}

    hosts = in_node(engine, "ls", CERTS).split()
    listed = installer.kubectl(
        "get", "pods", "--all-namespaces", "-o", "jsonpath={.items[*].spec.containers[*].image}"
    )
    images = {one: image_id(engine, one) for one in listed.split() if one.split("/")[0] in hosts}
    assert images
    before = sent(engine, first)
    for image in images:
        asked = in_node(engine, "cat", f"{CERTS}/{image.split('/')[0]}/hosts.toml")
        assert asked.index(second) < asked.index(first)
        # Its layers stay: a container runs on them.
        in_node(engine, "crictl", "rmi", image)
        in_node(engine, "crictl", "pull", image)
    # What came again is what images are made of beside layers: their configurations.
    assert {blob.digest for blob in sent(engine, second)} == {*images.values()}
    assert sent(engine, first) == before

    newer.uninstall("--cluster")
    assert registries(engine) == []
