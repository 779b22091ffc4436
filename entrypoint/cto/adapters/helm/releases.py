"""Helm 4 as a process. Waiting for readiness is not its job here: it never says why it waits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event as Flag

from cto import goyaml
from cto.adapters import postrender
from cto.adapters.helm import errors as helm_errors
from cto.errors import ToolError, WaitError
from cto.objects import Manifest, annotations_of, load_documents
from cto.ports import Access, Completed, ReleaseSpec, Runner

# Objects are applied by the server, and fields that somebody else changed are taken back.
_SERVER_SIDE = ("--server-side=true", "--force-conflicts", "--wait=hookOnly")
# Helm ends itself at its timeout and marks the release as failed; being killed marks nothing.
_MARGIN_S = 15.0
_TEMPLATE_S = 120.0
_READ_S = 60.0
_NOT_FOUND = "release: not found"
# What it is called with, whatever it is about.
WORDS = (
    *("get", "install", "rollback", "template", "uninstall", "upgrade"),
    *("hooks", "manifest", "metadata", "json"),
    *("--api-versions", "--ignore-not-found", "--include-crds", "--install", "--labels"),
    *("--kube-context", "--kube-version", "--kubeconfig", "--namespace", "--output"),
    *("--post-renderer", "--revision", "--skip-crds", "--skip-tests", "--timeout", "--values"),
    *_SERVER_SIDE,
    "--wait=watcher",
    *("cache", "config", "data", "plugins", "discovery"),
)
# `helm env` names them all. What the user set for his own work must not redirect ours.
_IGNORED = (
    "HELM_BURST_LIMIT",
    "HELM_CONTENT_CACHE",
    "HELM_DEBUG",
    "HELM_DRIVER",
    "HELM_DRIVER_SQL_CONNECTION_STRING",
    "HELM_KUBEAPISERVER",
    "HELM_KUBEASGROUPS",
    "HELM_KUBEASUSER",
    "HELM_KUBECAFILE",
    "HELM_KUBECONTEXT",
    "HELM_KUBEINSECURE_SKIP_TLS_VERIFY",
    "HELM_KUBETLS_SERVER_NAME",
    "HELM_KUBETOKEN",
    "HELM_MAX_HISTORY",
    "HELM_NAMESPACE",
    "HELM_QPS",
    "HELM_REGISTRY_CONFIG",
    "HELM_REPOSITORY_CACHE",
    "HELM_REPOSITORY_CONFIG",
    "KUBECONFIG",
)


class HelmReleases:
    """Implements `ports.Releases`.

    Args:
        runner: Starts helm.
        helm: Returns the program; asked only when it is run.
        access: The cluster.
        home: Helm's own files; nothing of the user's Helm is read or written.
    """

    def __init__(
        self, runner: Runner, helm: Callable[[], Path], access: Access, *, home: Path
    ) -> None:
        self._runner = runner
        self._helm = helm
        self._cluster = ("--kubeconfig", str(access.kubeconfig), "--kube-context", access.context)
        self._env: Mapping[str, str | None] = {
            **dict.fromkeys(_IGNORED),
            "HELM_CACHE_HOME": str(home / "cache"),
            "HELM_CONFIG_HOME": str(home / "config"),
            "HELM_DATA_HOME": str(home / "data"),
            "HELM_PLUGINS": str(home / "plugins"),
            # Else it is ~/.kube/cache, and keyed by address: the next cluster at the same port
            # would be taken for the last one for hours.
            "KUBECACHEDIR": str(home / "discovery"),
        }

    def template(
        self,
        spec: ReleaseSpec,
        *,
        kube_version: str,
        api_versions: Sequence[str] = (),
        crds: bool = False,
    ) -> Sequence[Manifest]:
        done = self._run(
            "template",
            *self._release(spec),
            "--kube-version",
            kube_version,
            *(word for version in api_versions for word in ("--api-versions", version)),
            "--include-crds" if crds else "--skip-crds",
            "--skip-tests",
            timeout_s=_TEMPLATE_S,
            stdin=_values(spec),
            spec=spec,
        )
        return tuple(load_documents(done.stdout))

    def upgrade(
        self, spec: ReleaseSpec, *, timeout_s: float, cancel: Flag | None = None
    ) -> Sequence[Manifest]:
        labels = ",".join(f"{key}={value}" for key, value in sorted(spec.labels.items()))
        done = self._run(
            "upgrade",
            *self._release(spec),
            *self._cluster,
            "--install",
            *_SERVER_SIDE,
            "--timeout",
            _duration(timeout_s),
            *(("--labels", labels) if labels else ()),
            *(("--skip-crds",) if spec.skip_crds else ()),
            "--output",
            "json",
            timeout_s=timeout_s + _MARGIN_S,
            stdin=_values(spec),
            spec=spec,
            cancel=cancel,
        )
        return _all_of(done)

    def manifest(self, name: str, namespace: str, *, revision: int = 0) -> Sequence[Manifest]:
        of = ("--revision", str(revision)) if revision else ()
        return _objects(self._get("manifest", name, namespace, *of))

    def hooks(self, name: str, namespace: str) -> Sequence[Manifest]:
        return tuple(load_documents(self._get("hooks", name, namespace)))

    def status(self, name: str, namespace: str) -> str:
        return self._metadata(name, namespace, "status")[0]

    def chart(self, name: str, namespace: str) -> tuple[str, str, str]:
        chart, version, app = self._metadata(name, namespace, "chart", "version", "appVersion")
        return chart, version, app

    def _metadata(self, name: str, namespace: str, *keys: str) -> list[str]:
        text = self._get("metadata", name, namespace, "--output", "json")
        try:
            told = goyaml.load_json(text) if text else dict.fromkeys(keys, "")
            return [str(told[key]) for key in keys]
        except (ValueError, KeyError, TypeError):
            message = f"helm get metadata {name} did not answer with {', '.join(keys)}"
            hint = (
                "It is no helm that cto knows: leave `--tools` out, or name a folder with Helm 4."
            )
            raise ToolError("CTO-1500", message, hint=hint) from None

    def rollback(self, name: str, namespace: str, revision: int, *, timeout_s: float) -> None:
        self._run(
            "rollback",
            name,
            str(revision),
            "--namespace",
            namespace,
            *self._cluster,
            *_SERVER_SIDE,
            "--timeout",
            _duration(timeout_s),
            timeout_s=timeout_s + _MARGIN_S,
        )

    def uninstall(self, name: str, namespace: str, *, timeout_s: float, wait: bool) -> None:
        self._run(
            "uninstall",
            name,
            "--namespace",
            namespace,
            *self._cluster,
            "--ignore-not-found",
            "--wait=watcher" if wait else "--wait=hookOnly",
            "--timeout",
            _duration(timeout_s),
            timeout_s=timeout_s + _MARGIN_S,
        )

    def _get(self, what: str, name: str, namespace: str, *options: str) -> str:
        place = ("--namespace", namespace, *options, *self._cluster)
        try:
            return self._run("get", what, name, *place, timeout_s=_READ_S).stdout
        except ToolError as error:
            if _NOT_FOUND in error.details:
                return ""
            raise

    def _release(self, spec: ReleaseSpec) -> tuple[str, ...]:
        chart = str(spec.chart.path)
        rewriting = ("--post-renderer", postrender.NAME) if spec.relocation else ()
        return (spec.name, chart, "--namespace", spec.namespace, "--values", "-", *rewriting)

    def _run(
        self,
        *words: str,
        timeout_s: float,
        stdin: str | None = None,
        spec: ReleaseSpec | None = None,
        cancel: Flag | None = None,
    ) -> Completed:
        relocation = spec.relocation if spec else None
        try:
            return self._runner.run(
                (str(self._helm()), *words),
                timeout_s=timeout_s,
                env={**self._env, **(postrender.environment(relocation) if relocation else {})},
                stdin=stdin,
                cancel=cancel,
            )
        except (ToolError, WaitError) as error:
            if spec is None:
                raise
            raise helm_errors.explained(error, spec) from error


def _values(spec: ReleaseSpec) -> str:
    """Return the values for helm's input. They are never part of a command line."""
    return goyaml.dump_json(spec.values)


def _duration(seconds: float) -> str:
    return f"{max(int(seconds), 1)}s"


def _all_of(done: Completed) -> Sequence[Manifest]:
    try:
        told = goyaml.load_json(done.stdout)
        texts = [told["manifest"], *(hook["manifest"] for hook in told.get("hooks") or ())]
        return tuple(item for text in texts for item in load_documents(str(text)))
    except (ValueError, KeyError, TypeError, AttributeError):
        # Not the output itself: it holds the values.
        text = "helm upgrade did not answer with a release"
        raise ToolError("CTO-1500", text) from None


def _objects(text: str) -> Sequence[Manifest]:
    found = load_documents(text)
    return tuple(item for item in found if "helm.sh/hook" not in annotations_of(item))
