"""Which cluster a command works on: what was named, else what there is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from cto.adapters.kubernetes.kubeconfig import NoContextError
from cto.cli.settings import CommandSettings
from cto.engine.lock import ClusterLock
from cto.errors import ApiError, CtoError, LockedError, PreflightError, UsageError
from cto.ports import Access, Cluster, Provider, ProviderState
from cto.providers import CREATING, EXISTING, ProviderKind, choices

_BOTH_LINES = (
    "Make a cluster: docker run --rm -v ~/.kube:/root/.kube "
    "-v /var/run/docker.sock:/var/run/docker.sock {image} install\n"
    "or use yours: docker run --rm -v ~/.kube:/root/.kube {image} install\n"
    "(if its API server is at 127.0.0.1, as with kind: --network host before {image})\n"
    "(without a container: start Docker, name a kubeconfig with --kubeconfig FILE, or try it with "
    "simulated nodes: --provider kwok)"
)


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """Finds the provider of the cluster that a command works on.

    Attributes:
        named: Returns a provider by its name.
        connect: Opens the API.
        image_name: Returns what our own image is called.
    """

    settings: CommandSettings
    named: Callable[[str], Provider]
    connect: Callable[[Access], Cluster]
    image_name: Callable[[], str]

    def chosen(self) -> Provider:
        """Return where the cluster of an installation comes from.

        What was named; else kind, where there is a Docker; else the kubeconfig's only context.

        Raises:
            UsageError: CTO-1201 (several contexts), CTO-1202 (nothing to choose from), CTO-1203.
            PreflightError: CTO-1403, it is a simulated cluster of ours that is stopped.
        """
        provider = self._resolved(lambda _: self.settings.has_docker)
        if provider.name == EXISTING and (told := self._stopped(provider)):
            raise PreflightError("CTO-1403", told[0], hint=told[1])
        return provider

    def there(self) -> Provider:
        """Return the cluster that is there, for verbs that need no configuration.

        A Docker without a cluster of ours is no reason not to look into the kubeconfig.

        Raises:
            UsageError: As above; also CTO-1202, no simulated cluster was made.
            ApiError: CTO-1601, it is stopped.
        """
        provider = self._resolved(self._is_made)
        if told := self._stopped(provider):
            raise ApiError("CTO-1601", told[0], hint=told[1])
        return provider

    def made(self) -> Provider:
        """Return the provider whose cluster is to be deleted.

        Raises:
            UsageError: CTO-1200, somebody else's was named; CTO-1206, there are several and none
                is named.
        """
        cluster = self.settings.cluster
        ours = {kind.context(cluster.name): kind.name for kind in CREATING}
        provider: str = cluster.provider or ""
        if cluster.context and not provider:
            provider = ours.get(cluster.context, EXISTING)
        if provider == EXISTING:
            raise _not_ours(cluster.context)
        return self.named(provider or self._only_one())

    def _only_one(self) -> str:
        made = [kind for kind in CREATING if self._is_made(kind)]
        if len(made) > 1:
            count = "two" if len(made) == 2 else str(len(made))
            raise UsageError("CTO-1206", f"cto has made {count} clusters, and none is named")
        # Without a cluster there may be what a killed run made before one.
        usable = [kind for kind in CREATING if self.settings.has_docker or not kind.in_docker]
        return (made or usable)[0].name

    def _is_made(self, kind: ProviderKind) -> bool:
        """Whether there is a cluster of ours; in Docker no, where no Docker answers."""
        if kind.in_docker and not self.settings.has_docker:
            return False
        try:
            return self.named(kind.name).state() is not ProviderState.ABSENT
        except CtoError:
            if kind.in_docker:
                return False
            raise

    def _resolved(self, suits: Callable[[ProviderKind], bool]) -> Provider:
        """Return what was named; else what is in Docker, if it suits; else the kubeconfig's."""
        cluster = self.settings.cluster
        name: str = cluster.provider or ""
        if not (name or self.settings.named_kubeconfig or cluster.context):
            name = next((kind.name for kind in CREATING if kind.in_docker and suits(kind)), "")
        try:
            return self.named(name or EXISTING)
        except NoContextError as error:
            hint = _BOTH_LINES.format(image=self.image_name())
            raise UsageError(error.code, error.message, hint=hint) from error

    def _stopped(self, provider: Provider) -> tuple[str, str] | None:
        """Say that a simulated cluster of ours does not run, by whatever way it was named.

        Returns:
            What is the matter, and what to do.

        Raises:
            UsageError: CTO-1202, it was named, and there is none.
        """
        context = provider.access().context if provider.name == EXISTING else ""
        for kind in CREATING:
            ours = kind.context(self.settings.cluster.name)
            if kind.simulated and (context == ours or provider.name == kind.name):
                return self._silent(kind, provider, ours, by_context=bool(context))
        return None

    def _silent(
        self, kind: ProviderKind, provider: Provider, name: str, *, by_context: bool
    ) -> tuple[str, str] | None:
        install = f"`cto install --provider {kind.name}`"
        starts = f"{install} starts it again, and goes on; its data is kept."
        match self.named(kind.name).state():
            case ProviderState.ABSENT if not by_context:
                hint = f"{install} makes one. Another state folder: CTO_STATE_DIR."
                raise UsageError("CTO-1202", "there is no simulated cluster of cto", hint=hint)
            case ProviderState.STOPPED if not self._answers(provider):
                told = (
                    f"the simulated cluster {name} is stopped: its programs do not run, as after "
                    "a restart of the machine"
                )
                return told, starts
            case ProviderState.PARTIAL:
                return f"the simulated cluster {name} was not made to its end", starts
            case _:
                return None

    def _answers(self, provider: Provider) -> bool:
        """Tell whether its API server runs: what else is away is told by whoever misses it."""
        with closing(self.connect(provider.access())) as cluster:
            try:
                cluster.server_version()
            except ApiError:
                return False
        return True


def _not_ours(context: str | None) -> UsageError:
    which = f"context {context!r} was named" if context else f"the provider is {EXISTING}"
    ours = choices(creating=True, form="--provider {}", link="` or `")
    hint = (
        "`cto uninstall` without --cluster takes the platform away and leaves the cluster. A "
        f"cluster that cto made goes with `--cluster {ours}`."
    )
    text = f"cto deletes no cluster that it did not make, as --cluster would: {which}"
    return UsageError("CTO-1200", text, hint=hint)


def refuse_busy(
    provider: Provider,
    connect: Callable[[Access], Cluster],
    lock_of: Callable[[Cluster], ClusterLock],
) -> None:
    """Refuse to delete a cluster that an installer works on.

    A cluster whose API does not answer has no lock to look at, and must be removable.

    Raises:
        LockedError: CTO-2000, naming the installer that is alive.
    """
    try:
        if provider.state() is not ProviderState.READY:
            return
        with closing(connect(provider.access())) as cluster:
            lock_of(cluster).refuse_living()
    except LockedError:
        raise
    except CtoError:
        return
