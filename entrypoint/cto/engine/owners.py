"""Whom an object belongs to, as the tools that make objects write it down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cto.engine.planned import PlannedObject
from cto.objects import Manifest, annotations_of, labels_of
from cto.plan.labels import MANAGED_BY, is_ours
from cto.plan.observed import ReleaseRecord

_HELM = "Helm"
_RELEASE = ("meta.helm.sh/release-name", "meta.helm.sh/release-namespace")
_INSTANCE = "app.kubernetes.io/instance"
# What else says whose an object is, beside Helm: label or annotation, and how that is told.
_MARKS = (
    ("argocd.argoproj.io/tracking-id", "Argo CD application"),
    ("argocd.argoproj.io/instance", "Argo CD application"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux Kustomization"),
    ("helm.toolkit.fluxcd.io/name", "Flux HelmRelease"),
    ("olm.owner", "Operator Lifecycle Manager's"),
    (MANAGED_BY, "managed by"),
    ("app.kubernetes.io/part-of", "part of"),
)


@dataclass(frozen=True)
class Owner:
    """Whom something foreign belongs to.

    Attributes:
        text: For people; '' if nothing tells.
        lives: Whether that owner is there: it would change the object back.
        removal: Command that takes the owner away, and the object with it.
    """

    text: str = ""
    lives: bool = False
    removal: str = ""

    def __str__(self) -> str:
        return f", {self.text}" if self.text else ""


def may_write(item: PlannedObject, live: Manifest) -> bool:
    """Tell whether an object is of whoever would write it now.

    Of Helm's objects by what Helm itself looks at.
    https://github.com/helm/helm/blob/v4.1.4/pkg/action/validate.go
    """
    labels, annotations = labels_of(live), annotations_of(live)
    if item.release is None:
        # A Secret may be the release's, into which the installer writes the user's values.
        return is_ours(labels) or _is_ours_by_release(item, live)
    if item.hook:
        return _is_an_earlier_hook(item, live)
    found = tuple(annotations.get(key, "") for key in _RELEASE)
    return labels.get(MANAGED_BY) == _HELM and found == item.release


def _is_ours_by_release(item: PlannedObject, live: Manifest) -> bool:
    """Tell whether a Secret that the installer only fills in is of a release in its namespace."""
    release = tuple(annotations_of(live).get(key, "") for key in _RELEASE)
    return item.ref.kind == "Secret" and release[1] == item.ref.namespace


def _is_an_earlier_hook(item: PlannedObject, live: Manifest) -> bool:
    """Tell whether a hook of the same release left it: Helm writes no owner on what hooks make.

    https://github.com/helm/helm/issues/5156
    """
    labels = labels_of(live)
    theirs = annotations_of(live).get(_RELEASE[0])
    ours = labels_of(item.manifest).get(_INSTANCE)
    return (
        theirs is None
        and "helm.sh/hook" in annotations_of(live)
        and (labels.get(_INSTANCE) == ours)
    )


def owner_of(live: Manifest, records: Mapping[str, ReleaseRecord]) -> Owner:
    """Return whom an object belongs to, by what its metadata tells."""
    annotations = annotations_of(live)
    name, namespace = (annotations.get(key, "") for key in _RELEASE)
    if name:
        if f"{namespace}/{name}" in records:
            removal = f"helm uninstall {name} -n {namespace}"
            return Owner(f"of Helm release {name} in {namespace}", lives=True, removal=removal)
        return Owner(f"left by Helm release {name} in {namespace}, which is gone")
    marks = {**labels_of(live), **annotations}
    for key, word in _MARKS:
        if value := marks.get(key):
            # Of Argo CD's tracking id only the application: NAME:GROUP/KIND:NAMESPACE/NAME
            return Owner(f"{word} {value.partition(':')[0]}")
    for reference in live["metadata"].get("ownerReferences") or ():
        return Owner(f"owned by {reference['kind']} {reference['name']}", lives=True)
    return Owner()
