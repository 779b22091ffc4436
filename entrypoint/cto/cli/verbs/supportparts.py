"""What is gathered, part by part, and what each of them needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from cto import __version__
from cto.cli import containers, toolbox
from cto.cli.installers import uid_of
from cto.cli.plain import Plain
from cto.cli.progress import Screen
from cto.cli.verbs import status, upgrade
from cto.cli.verbs.outside import Outside
from cto.cli.wiring import Wiring
from cto.engine.installer import Installer
from cto.errors import ApiError, ConfigError, CtoError, UsageError
from cto.objects import load_yaml
from cto.plan.observed import State
from cto.ports import Access, Cluster, Provider
from cto.providers import is_in_docker
from cto.support import facts, machine, troubles
from cto.support.facts import Facts
from cto.support.gathering import Gathering, Part, told
from cto.support.platform import PlatformReader

_LOG_SHARES = 4
_SECRETS = "secrets (what only they tell was not taken out of the rest)"
_SECRETS_S = 15.0
_NO_CLUSTER = "CTO-1202"


class _Inside(Outside):
    """Asks nobody: neither GitHub, nor the receiver of webhooks, which an event would start."""

    def github(self, installer: Installer, state: State | None) -> None:
        del installer, state

    def delivery(self, installer: Installer, state: State | None) -> None:
        del installer, state


def _silence(limit_s: float) -> dict[str, Any]:
    """Return what is known of an API server that was still waited for at the end."""
    error = ApiError("CTO-1601", f"the API server did not answer within {limit_s:g} s")
    return {"answers": False, "error": told(error)}


class Gatherer:
    """Gathers everything about one cluster and this machine.

    Args:
        wiring: The command's adapters.
        planning: Others, that may read the configuration of what is installed.
        limit_s: How long that may take.
    """

    def __init__(self, wiring: Wiring, planning: Wiring, *, limit_s: float) -> None:
        # What is broken must not be waited for twice, nor anything be changed by looking.
        wiring.fetches = planning.fetches = False
        self._wiring = wiring
        self._planning = planning
        self._began_s = wiring.clock.monotonic()
        self._gathering = Gathering(wiring.clock, limit_s)
        self._limit_s = limit_s
        self._provider: Provider | None = None
        self._access: Access | None = None
        self._cluster: Cluster | None = None
        self._refusal: CtoError | None = None
        self._simulated = False

    def gathered(self) -> Facts:
        """Gather, until all is there or the time is over.

        Raises:
            UsageError: Nobody knows which cluster.
            ConfigError: What should say so cannot be read.
        """
        wiring, gathering = self._wiring, self._gathering
        settings = wiring.settings
        folders = {"cache": settings.cache, "state": settings.state}
        versions = partial(self._versions)
        gathering.begin("machine", partial(machine.host, wiring.host, folders, versions))
        gathering.begin("docker", self._docker)
        gathering.begin("cluster", self._api)
        gathering.wait("cluster")
        if self._refusal:
            raise self._refusal
        api = gathering.get(facts.API) or _silence(self._limit_s)
        if api["answers"]:
            self._begin_parts()
        else:
            error = api["error"]
            gathering.miss("the rest of the cluster", f"{error['code']}: {error['message']}")
        gathering.wait()
        found = gathering.facts()
        return Facts({**found.files, **self._concluded(found)}, found.missing)

    def close(self) -> None:
        """End what still runs."""
        if self._cluster:
            self._cluster.close()
        for one in (self._wiring, self._planning):
            one.runner.stop(at_once=True)

    def _concluded(self, found: Facts) -> dict[str, Any]:
        """Return what follows from several parts."""
        api = found.files.get(facts.API) or _silence(self._limit_s)
        docker = found.files.get(facts.DOCKER)
        about = {
            "schema": facts.SCHEMA,
            "cto": __version__,
            "made": f"{self._wiring.clock.now():%Y-%m-%dT%H:%M:%SZ}",
            "context": self._access.context if self._access else "",
            "provider": self._provider.name if self._provider else "",
            "simulated": self._simulated,
            "seconds": round(self._wiring.clock.monotonic() - self._began_s, 1),
        }
        # A Docker that is away explains nothing where the cluster answers.
        missed = not api.get("answers") and self._is_in_docker()
        return {
            facts.ABOUT: about,
            facts.API: api,
            **({facts.DOCKER: {**docker, "expected": missed}} if docker else {}),
        }

    def _is_in_docker(self) -> bool:
        """Tell whether the cluster, as far as that is known, runs in Docker."""
        if self._access is None:
            return self._wiring.settings.has_docker
        name = self._provider.name if self._provider else ""
        return is_in_docker(name) or self._access.context.startswith("kind-")

    def _begin_parts(self) -> None:
        wiring, cluster = self._wiring, self._cluster
        if cluster is None or self._provider is None:  # pragma: no cover - it answered
            return
        platform = PlatformReader(
            cluster=cluster,
            clock=wiring.clock,
            version=__version__,
            machine=wiring.host,
            containers=wiring.containers,
            secrets=wiring.secrets,
            lacking=wiring.bundles.lacking(self._provider.name),
        )
        # What they hold is taken out of everything else as it comes.
        self._gathering.begin(_SECRETS, platform.named_secrets)
        self._gathering.wait(_SECRETS, most_s=_SECRETS_S)
        parts: dict[str, Part] = {
            "state": platform.kept,
            "history": platform.runs,
            "nodes": platform.nodes,
            "events": platform.events,
            "quotas": platform.quotas,
            "webhooks": platform.webhooks,
            "apiservices": platform.api_services,
            "namespaces": partial(troubles.namespaces, platform),
            "unready": partial(troubles.unready, platform),
            "pods": partial(troubles.pods, platform),
            **{
                f"logs ({share + 1} of {_LOG_SHARES})": partial(
                    troubles.logs, platform, share=share, shares=_LOG_SHARES
                )
                for share in range(_LOG_SHARES)
            },
            "health": self._health,
            "plan": self._plan,
        }
        for name, part in parts.items():
            self._gathering.begin(name, part)

    # parts

    def _versions(self) -> dict[str, Any]:
        settings = self._wiring.settings
        text = (settings.bundle / "tools.yaml").read_text(encoding="utf-8")
        pinned = {name: str(one["version"]) for name, one in load_yaml(text)["tools"].items()}
        # Nobody's own programs are run for it.
        tools = toolbox.versions(settings.options.tools, pinned, lambda _: "")
        return dict(machine.tool_versions(__version__, tools))

    def _docker(self) -> Iterator[tuple[str, Any]]:
        wiring = self._wiring
        engine = containers.at_hand(wiring.settings, wiring.tools, lambda: wiring.docker)
        yield from machine.docker(engine, wiring.host)

    def _api(self) -> Iterator[tuple[str, Any]]:
        """Find the cluster, and see whether it answers."""
        try:
            provider = self._provider = self._wiring.clusters.there()
            access = self._access = provider.access()
            cluster = self._cluster = self._wiring.connect(access)
            version = cluster.server_version()
            # Anybody may ask for the version.
            uid = uid_of(cluster)
        except (UsageError, ConfigError) as error:
            if error.code != _NO_CLUSTER:
                self._refusal = error
                return
            yield facts.API, {"answers": False, "error": told(error)}
        except CtoError as error:
            yield facts.API, {"answers": False, "error": told(error)}
        else:
            with suppress(CtoError):
                self._simulated = provider.simulated
            local, server = self._wiring.clock.now(), cluster.now()
            yield (
                facts.API,
                {
                    "answers": True,
                    "version": version,
                    "uid": uid,
                    "server_time": f"{server:%Y-%m-%dT%H:%M:%SZ}",
                    "local_time": f"{local:%Y-%m-%dT%H:%M:%SZ}",
                    "skew_s": abs((server - local).total_seconds()),
                },
            )

    def _health(self) -> Iterator[tuple[str, Any]]:
        wiring, provider, access = self._wiring, self._provider, self._access
        if provider is None or access is None:  # pragma: no cover - it answered
            return
        with (
            ExitStack() as stack,
            wiring.installer(provider, access, self._screen(), configured=False) as installer,
        ):
            ways = status.Ways(provider.reach(), wiring.is_free, _Inside(wiring, stack))
            yield facts.HEALTH, status.look(installer, ways).data

    def _plan(self) -> Iterator[tuple[str, Any]]:
        if self._provider is None:  # pragma: no cover - it answered
            return
        yield facts.PLAN, upgrade.preview(self._planning, self._provider, self._screen()).data

    def _screen(self) -> Screen:
        """Return a screen that shows nothing: what is told is in the files."""
        return Plain(lambda _: None, self._wiring.clock, quiet=True)
