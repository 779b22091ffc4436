"""What was seen of the cluster just now, for those who would ask for the same again."""

from __future__ import annotations

from collections.abc import Iterable

from cto.engine.evidence import ClaimLookup
from cto.engine.readiness import has_status, status_of
from cto.engine.snapshot import Snapshot
from cto.objects import ObjectRef
from cto.ports import Clock

# What is older has to be asked for again. Pods of a node that is gone are called ready for as long,
# until its --node-monitor-grace-period is over: younger lists say no less than new ones would.
# https://kubernetes.io/docs/reference/command-line-tools-reference/kube-controller-manager/
_FRESH_S = 40.0


class Sight:
    """Keeps the lists of the last observation as long as they tell how things are.

    A run that finds nothing to do looks at every object once, not three times: whether it exists,
    whether it is ready, and whether the platform is healthy.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._view: Snapshot | None = None
        self._at_s = 0.0

    def keep(self, view: Snapshot) -> None:
        """Remember lists that are made from now on."""
        self._view, self._at_s = view, self._clock.monotonic()

    def drop(self) -> None:
        """Forget them: something changes."""
        self._view = None

    def view(self) -> Snapshot | None:
        """Return the lists; None if there are none, or they are old."""
        age_s = self._clock.monotonic() - self._at_s
        return self._view if age_s < _FRESH_S else None

    def shows_ready(self, refs: Iterable[ObjectRef]) -> bool:
        """Whether all these objects were there, and ready; False if that was not seen."""
        view = self.view()
        return view is not None and all(_is_ready(view, ref) for ref in refs)


def _is_ready(view: Snapshot, ref: ObjectRef) -> bool:
    manifest = view.objects(ref.api_version, ref.kind, ref.namespace).get(ref.name)
    if manifest is None:
        return False
    judged = has_status(ref.api_version, ref.kind)
    return not judged or status_of(manifest, ClaimLookup(view)).ready
