"""The cluster around us: in a pod without a kubeconfig, by the pod's own service account.

A kubeconfig is written that names the pod's files, so that helm and we read the same. The token
stays where it is: Kubernetes replaces it now and then, and who reads the kubeconfig reads it anew.
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from pathlib import Path

from cto.adapters.kubernetes.kubeconfig.entries import made_document
from cto.adapters.scratch import private
from cto.objects import dump_yaml
from cto.ports import Access

# Where Kubernetes mounts it: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONTEXT = "in-cluster"


class Pod:
    """What Kubernetes gives to a pod.

    Args:
        environ: The environment of the process.
        folder: Where the service account's token, certificate and namespace are.
    """

    def __init__(self, environ: Mapping[str, str], folder: Path = SERVICE_ACCOUNT) -> None:
        self._host = environ.get("KUBERNETES_SERVICE_HOST", "")
        self._port = environ.get("KUBERNETES_SERVICE_PORT", "")
        self._folder = folder
        self._access: Access | None = None

    @property
    def is_one(self) -> bool:
        """Whether we are in a pod that may log in: `automountServiceAccountToken: false` exists."""
        token = self._folder / "token"
        return bool(self._host and self._port) and token.exists()

    def access(self) -> Access:
        """Return the way to the cluster; the file goes with the process.

        Raises:
            PreflightError: CTO-1485, no temporary file can be written.
        """
        if self._access is None:
            lent = private()
            file = lent.__enter__() / "kubeconfig"
            # Not with this object: the file is read as long as there are connections.
            atexit.register(lent.__exit__, None, None, None)
            file.write_text(self._kubeconfig(), encoding="utf-8")
            self._access = Access(file, CONTEXT)
        return self._access

    def _kubeconfig(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        cluster = {
            "server": f"https://{host}:{self._port}",
            "certificate-authority": str(self._folder / "ca.crt"),
        }
        user = {"tokenFile": str(self._folder / "token")}
        entries = {
            "clusters": {"name": CONTEXT, "cluster": cluster},
            "users": {"name": CONTEXT, "user": user},
            "contexts": {"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT}},
        }
        return dump_yaml(made_document(entries, CONTEXT))
