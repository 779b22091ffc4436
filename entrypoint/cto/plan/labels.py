"""The labels by which the installer knows its own."""

from __future__ import annotations

import re
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
"""`NAME-VERSION`, of a release's record and of the definitions that came with a chart."""
APP_VERSION = "cto.dev/app-version"
CHART_DIGEST = "cto.dev/chart-digest"
VALUES_DIGEST = "cto.dev/values-digest"
IMAGES_DIGEST = "cto.dev/images-digest"
KUBERNETES = "cto.dev/kubernetes"
PARTS = (CHART, APP_VERSION, CHART_DIGEST, VALUES_DIGEST, IMAGES_DIGEST, KUBERNETES)
"""What DIGEST is made of, apart: they only tell people what changed, and may be missing."""
CRD_COUNT = "cto.dev/crds"
"""How many CRDs the chart has: all of them carry it, so a missing one is noticed."""
MOMENT = "cto.dev/moment"
"""`before` or `after`: when an object is applied, relative to its component's release."""
EACH = "cto.dev/each"
"""Of what an entry of the configuration has: the mapping that it is in. It goes with its entry."""
GENERATED = "secret:"
"""What the path of a value begins with that is NAMESPACE/NAME/KEY, and the step that makes it."""
TRACE = "cto.dev/trace"
"""Of what programs leave for people to see, and what nobody misses: it goes with its namespace."""


def is_ours(found: Mapping[str, str] | None) -> bool:
    """Tell from the labels of what is there, if it is."""
    return found is not None and found.get(MANAGED_BY) == OWNER


def is_of_entry(found: Mapping[str, str], component: str) -> bool:
    return is_ours(found) and bool(found.get(EACH)) and found.get(COMPONENT) == component


def value_of(text: str) -> str:
    """Return a label's value that is the text as far as labels can hold it."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)[:63].strip("._-")


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
