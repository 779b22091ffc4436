"""The labels by which the installer knows its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cto import digests
from cto.objects import Manifest

MANAGED_BY = "app.kubernetes.io/managed-by"
OWNER = "cto"
# Helm sets app.kubernetes.io/managed-by itself, so its records and objects need another mark.
MANAGED = "cto.dev/managed"
COMPONENT = "cto.dev/component"
DIGEST = "cto.dev/digest"
CHART = "cto.dev/chart"
CRD_COUNT = "cto.dev/crds"
"""How many CRDs the chart has: all of them carry it, so a missing one is noticed."""
MOMENT = "cto.dev/moment"
"""`before` or `after`: when an object is applied, relative to its component's release."""


def is_ours(found: Mapping[str, str] | None) -> bool:
    """Tell from the labels of what is there, if it is."""
    return found is not None and found.get(MANAGED_BY) == OWNER


def marked(manifest: Manifest, component: str, moment: str) -> Manifest:
    """Return the manifest with our labels, its own digest among them."""
    ours = {
        MANAGED_BY: OWNER,
        COMPONENT: component,
        MOMENT: moment,
        DIGEST: digests.for_label(digests.of_data(manifest)),
    }
    return labelled(manifest, ours)


def labelled(manifest: Manifest, labels: dict[str, str]) -> Manifest:
    metadata: dict[str, Any] = manifest.get("metadata", {})
    merged = {**(metadata.get("labels") or {}), **labels}
    return {**manifest, "metadata": {**metadata, "labels": merged}}
