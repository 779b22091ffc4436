"""The Secrets with the keys of the agents' Apps. What somebody else made is read and left alone."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from threading import Event as Flag

from cto.errors import ApiError, ConfigError
from cto.github.found import AppKey
from cto.github.manifest import WantedApp
from cto.objects import Manifest, ObjectRef, labels_of, secret_data
from cto.plan import labels
from cto.ports import Clock, Cluster

_WRITE_AGAIN_S, _WRITES = 5.0, 24
# Of the Secret of an App that we made.
_MADE = "cto.dev/github-app-made"
_GIVEN = ("private-key", "client-secret", "webhook-secret")


class AppSecrets:
    """Reads and writes them.

    Args:
        learned: Told of secrets before they are used.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        *,
        namespace: str,
        learned: Callable[[Iterable[str]], None],
    ) -> None:
        self._cluster = cluster
        self._clock = clock
        self._namespace = namespace
        self._learned = learned

    def values(self, wish: WantedApp) -> dict[str, str]:
        """Return what is in the Secret of an App."""
        values = secret_data(self._cluster.get(self._ref(wish)))
        self._learned(self.given(values).values())
        return values

    @staticmethod
    def given(values: Mapping[str, str]) -> dict[str, str]:
        """Return what of it GitHub gave once, and nobody else may know."""
        return {name: values[name] for name in _GIVEN if name in values}

    def key(self, wish: WantedApp) -> AppKey | None:
        """Return the key in an App's Secret."""
        return AppKey.of(self.values(wish))

    def holder(self, app_id: object) -> str:
        """Return the name of the Secret of ours that has the key of an App; '' if none has."""
        ours = f"{labels.MANAGED_BY}={labels.OWNER}"
        for found in self._cluster.list("v1", "Secret", namespace=self._namespace, labels=ours):
            if secret_data(found).get("app-id") == str(app_id):
                return str(found["metadata"]["name"])
        return ""

    def writable(self, wish: WantedApp) -> None:
        """Try that the Secret of an App can be written.

        Raises:
            ApiError: It cannot.
            ConfigError: CTO-1370, it is somebody else's.
        """
        self.refuse_foreign(wish)
        self._cluster.apply(self._secret(wish, {}), dry_run=True)

    def is_foreign(self, wish: WantedApp) -> bool:
        """Tell whether somebody else made the Secret."""
        found = self._cluster.get(self._ref(wish))
        return found is not None and labels_of(found).get(labels.MANAGED_BY) != labels.OWNER

    def refuse_foreign(self, wish: WantedApp) -> None:
        """See that nothing of somebody else's is overwritten.

        Raises:
            ConfigError: CTO-1370, it would be.
        """
        if self.is_foreign(wish):
            text = f"{self._ref(wish)} is not of this installer: it stays as it is"
            hint = (
                "Change its key where it comes from; or delete it (`kubectl -n "
                f"{self._namespace} delete secret {wish.secret}`), and repeat the command."
            )
            raise ConfigError("CTO-1370", text, hint=hint)

    def is_made(self, wish: WantedApp) -> bool:
        """Tell whether the Secret says that we made its App: it may outlive the state."""
        return labels_of(self._cluster.get(self._ref(wish)) or {}).get(_MADE) == "true"

    def keep(self, wish: WantedApp, data: Mapping[str, str], *, made: bool = False) -> None:
        """Write the Secret. This process is the only one that has the key: it does not give up."""
        marks = {_MADE: "true"} if made or self.is_made(wish) else {}
        manifest = labels.labelled(self._secret(wish, data), marks)
        for left in reversed(range(_WRITES)):
            try:
                self._cluster.apply(manifest)
            except ApiError:
                if not left:
                    raise
                self._clock.wait(Flag(), _WRITE_AGAIN_S)
            else:
                return

    def delete(self, wish: WantedApp) -> None:
        self._cluster.delete(self._ref(wish))

    def _ref(self, wish: WantedApp) -> ObjectRef:
        return ObjectRef("v1", "Secret", self._namespace, wish.secret)

    def _secret(self, wish: WantedApp, data: Mapping[str, str]) -> Manifest:
        encoded = {name: base64.b64encode(one.encode()).decode() for name, one in data.items()}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": wish.secret,
                "namespace": self._namespace,
                "labels": {labels.MANAGED_BY: labels.OWNER},
            },
            "type": "Opaque",
            "data": encoded,
        }
