"""Docker: the port to it, the client that is its command line, and what its configuration says."""

from cto.adapters.docker.client import Docker, own_ids
from cto.adapters.docker.config import (
    HelperRunner,
    as_docker_reads,
    folder_of,
    has_docker,
    proxies,
)
from cto.adapters.docker.container import (
    LOOPBACK,
    ContainerSpec,
    Daemon,
    DockerContainer,
    Engine,
    Image,
    KnownContainers,
    Publish,
)
from cto.adapters.docker.host import DockerHost, DockerLocation, port_is_free, sweep, tries

__all__ = [
    "LOOPBACK",
    "ContainerSpec",
    "Daemon",
    "Docker",
    "DockerContainer",
    "DockerHost",
    "DockerLocation",
    "Engine",
    "HelperRunner",
    "Image",
    "KnownContainers",
    "Publish",
    "as_docker_reads",
    "folder_of",
    "has_docker",
    "own_ids",
    "port_is_free",
    "proxies",
    "sweep",
    "tries",
]
