"""A newer image on the cluster of an older one: its bundle is asked first, and sends nothing."""

from __future__ import annotations

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
    images = sorted({one for one in listed.split() if one.split("/")[0] in hosts})
    assert images
    before = sent(engine, first)
    for image in images:
        asked = in_node(engine, "cat", f"{CERTS}/{image.split('/')[0]}/hosts.toml")
        assert asked.index(second) < asked.index(first)
        in_node(engine, "crictl", "pull", image)
    assert sent(engine, second) == []
    assert sent(engine, first) == before
    # It was the second that was asked.
    assert "/manifests/" in engine.run("logs", second).stdout + engine.run("logs", second).stderr

    newer.uninstall("--cluster")
    assert registries(engine) == []
