"""The API of a cluster: who asks, how, and what its answers mean."""

from cto.adapters.kubernetes.cluster import KubeCluster
from cto.adapters.kubernetes.existing import Existing
from cto.adapters.kubernetes.incluster import CONTEXT, SERVICE_ACCOUNT, Pod
from cto.adapters.kubernetes.login import LoginPrograms

__all__ = [
    "CONTEXT",
    "SERVICE_ACCOUNT",
    "Existing",
    "KubeCluster",
    "LoginPrograms",
    "Pod",
]
