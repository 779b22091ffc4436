"""What was found in a cluster, as plans need it. `cto.engine.observe` fills it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cto.objects import Manifest, ObjectRef
from cto.plan import labels

DEPLOYED = "deployed"
"""The status of a release that Helm brought to its end."""

# Raised when an older installer could misread the state.
STATE_SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class ReleaseRecord:
    """The newest record that Helm keeps of a release; from its labels, never from its payload."""

    name: str
    namespace: str
    revision: int
    status: str
    labels: Mapping[str, str] = field(default_factory=dict)
    deployed_revision: int = 0
    """The highest revision with status `deployed`, 0 if there is none."""
    deployed_labels: Mapping[str, str] = field(default_factory=dict)
    """Of that revision."""

    @property
    def ours(self) -> bool:
        return self.labels.get(labels.MANAGED) == "true"

    @property
    def deployed(self) -> bool:
        return self.status == DEPLOYED


@dataclass(frozen=True, kw_only=True)
class ReleaseState:
    """What a run left of one component."""

    component: str
    release: str
    namespace: str
    digest: str
    chart: str
    objects: tuple[ObjectRef, ...] = ()
    """The release's objects, without hooks."""
    hooks: tuple[ObjectRef, ...] = ()
    """What hooks of any of its revisions made: Helm leaves it, and forgets it with the revision."""
    glue: tuple[ObjectRef, ...] = ()
    """The component's own objects, applied by the installer."""


@dataclass(frozen=True, kw_only=True)
class State:
    """The installer's memory in the cluster: a hint, without a secret in it."""

    schema: int = STATE_SCHEMA
    writer: str
    provider: str
    profile: str
    simulated: bool = False
    config: Mapping[str, Any] = field(default_factory=dict)
    given: tuple[str, ...] | None = None
    """Dotted paths of what somebody said in it; None if an older cto wrote it, which kept no note
    of that. All else came from the profile, or from the defaults."""
    releases: Mapping[str, ReleaseState] = field(default_factory=dict)
    namespaces: tuple[str, ...] = ()
    ports: Mapping[int, int] = field(default_factory=dict)
    """Port of every node -> port of localhost, where the cluster was made with such."""
    unfinished: Mapping[str, str] = field(default_factory=dict)
    """What a run that began has to change, until it ends well: component -> digest of the release
    that it is to have, '' where it is something else that changes."""
    components: Mapping[str, Any] = field(default_factory=dict)
    """What a user's own components are: their folders need not be there when they are removed."""
    apps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Agent -> what is known of its GitHub App: id, slug, name, owner, url, whether we `made` it,
    which installation its user has chosen (`installation_id`), where its webhook was pointed to
    (`hook`), which Secret has its key (`kept_in`). `asked` says when its key was asked for: it
    never came to be kept."""
    webhooks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Organization, or OWNER/NAME of a repository -> the webhook that we made there: id, url."""
    steps: Mapping[str, Any] = field(default_factory=dict)
    """The journal: how long each step of the last run took, and how it ended."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A PersistentVolumeClaim and the release that it belongs to, if that can be told."""

    ref: ObjectRef
    release: str = ""


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A cluster, or the absence of one (`exists` is False and everything is empty)."""

    exists: bool = True
    context: str = ""
    kube_version: str
    nodes: int = 0
    machines: tuple[Manifest, ...] = ()
    """The nodes with what decides which pods they take. Not looked at before an uninstall."""
    simulated: bool = False
    """Whether all nodes are kwok's: no program of ours runs."""
    simulated_nodes: tuple[str, ...] = ()
    """Those that are, beside real ones or not."""
    records: Mapping[str, ReleaseRecord] = field(default_factory=dict)
    """Key: `NAMESPACE/RELEASE`."""
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels of every namespace that is not being deleted."""
    ingress_classes: Mapping[str, bool] = field(default_factory=dict)
    """Those of others, and whether they are the default."""
    crds: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Labels of every custom resource definition."""
    present: Mapping[ObjectRef, Mapping[str, str]] = field(default_factory=dict)
    """Labels of those of the state's objects, and of the installer's Secrets, that exist."""
    instances: Mapping[str, tuple[ObjectRef, ...]] = field(default_factory=dict)
    """Objects of our CRDs, by the CRD's name. Only looked for before an uninstall."""
    ended: frozenset[ObjectRef] = frozenset()
    """Those of them that are records of something that is over. Looked for with them."""
    unlisted: Mapping[str, str] = field(default_factory=dict)
    """Those of our CRDs whose objects nobody can list, and why. Looked for with these."""
    claims: tuple[Claim, ...] = ()
    """PersistentVolumeClaims in the platform's namespaces. Only looked for before an uninstall."""
    state: State | None = None
