"""The API of a cluster: who asks, how, and what its answers mean."""

from cto.adapters.kubernetes.cluster import KubeCluster
from cto.adapters.kubernetes.incluster import SERVICE_ACCOUNT, Pod
from cto.adapters.kubernetes.login import LoginPrograms

__all__ = [
    "SERVICE_ACCOUNT",
    "KubeCluster",
    "LoginPrograms",
    "Pod",
]
