"""One installer at a time on a cluster: a Lease that its holder renews.

No clock of another machine is ever compared with ours. A lease is over when its record did not
change for its own duration, measured with our monotonic clock from when we first saw it; or at
once when its holder is a process of this machine, or a container of our Docker, that does not live.

A holder that cannot renew its lease pauses before others may take it, and does not give up: every
renewal replaces the very record that was written last, so if one succeeds nobody had the lock in
between, however long the API server was silent or this process was stopped.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from threading import Event as Flag
from threading import Lock, Thread, current_thread
from types import TracebackType
from typing import Self

from cto.engine.gone import until_gone
from cto.engine.lease import (
    LEASE,
    MANAGED_BY,
    NAME,
    NAMESPACE,
    described,
    holder_of,
    locked,
    record,
    silent_loss,
    taken_loss,
    unknown_loss,
)
from cto.errors import ApiError, Cancelled, CtoError, WaitError
from cto.holder import Containers, Holder, Machine, NoContainers
from cto.objects import Manifest, ObjectRef, is_being_deleted
from cto.ports import Clock, Cluster

_POLL_S = 1.0
# We pause a bit before the others may begin: their clock starts with our last renewal.
_SAFE_PART = 5 / 6
# An API server that is restarted or moved is back by then.
_PATIENCE_S = 300.0
_JOIN_S = 5.0
_NO_CONTAINERS = NoContainers()


class ClusterLock:
    """Holds the lease inside a `with` block.

    Args:
        cluster: Where the lease is.
        clock: Measures, and waits.
        identity: This machine and process.
        containers: Tells whether a container lives that another installer runs in.
        namespace: Of the lease; it is made if it is missing.
        name: Of the lease.
        duration_s: For how long a lease stays valid without a change.
        patience_s: For how long it is tried to renew a lease that may have run out.
        notice: Told why it waits, from a thread of the lock as well.
        on_lost: Called once, with the reason, from a thread of the lock.
        stop: Ends a wait for the lock with Cancelled.

    Attributes:
        lost: Set when somebody else has had the lease, or nobody knows for too long.
        loss: Why, as an error that a run ends with; its details are given.
    """

    def __init__(
        self,
        cluster: Cluster,
        clock: Clock,
        identity: Machine,
        *,
        containers: Containers = _NO_CONTAINERS,
        namespace: str = NAMESPACE,
        name: str = NAME,
        duration_s: int = 30,
        patience_s: float = _PATIENCE_S,
        notice: Callable[[str], None] = lambda _: None,
        on_lost: Callable[[str], None] = lambda _: None,
        stop: Flag | None = None,
    ) -> None:
        self.lost = Flag()
        self.loss: Callable[[str], CtoError] = unknown_loss
        self._cluster = cluster
        self._clock = clock
        self._machine = identity
        self._containers = containers
        self._ref = ObjectRef(*LEASE, namespace, name)
        self._duration_s = duration_s
        self._patience_s = patience_s
        self._notice = notice
        self._on_lost = on_lost
        self._stop = stop or Flag()
        self._me = Holder.here(identity, containers, nonce=secrets.token_hex(8))
        self._lease: Manifest = {}
        self._renewed = 0.0
        self._paused_since: float | None = None
        self._refusal = ""
        self._released = Flag()
        self._losing = Lock()
        self._threads: list[Thread] = []

    def __enter__(self) -> Self:
        self.acquire()
        for work in (self._keep_renewing, self._keep_looking):
            thread = Thread(target=work, name="cto-lock", daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lease.

        Raises:
            LockedError: CTO-2000, naming the holder that is alive.
            Cancelled: `stop` was set.
        """
        self._ensure_namespace()
        self._wait_until(self._try_to_take)

    def refuse_living(self) -> None:
        """Return once nobody who lives holds the lease; nothing is written.

        Raises:
            LockedError: CTO-2000, naming the holder that is alive.
            Cancelled: `stop` was set.
        """
        self._wait_until(self._is_free)

    def _wait_until(self, done: Callable[[str, float], bool]) -> None:
        """Ask again and again, with the version of the lease that was seen first, and when."""
        seen = ""
        since = self._clock.monotonic()
        while not done(seen, since):
            if not seen and self._lease:
                seen = str(self._lease["metadata"]["resourceVersion"])
                since = self._clock.monotonic()
                self._notice(
                    f"{described(self._lease)}. Waiting up to {self._validity_s():g} s to see "
                    "whether it is alive"
                )
            if self._clock.wait(self._stop, _POLL_S):
                raise Cancelled

    def release(self) -> None:
        """Give the lease back, if it is still ours; may be called again."""
        if self._released.is_set():
            return
        self._released.set()
        for thread in self._threads:
            if thread is not current_thread():
                thread.join(_JOIN_S)
        if not self.lost.is_set():
            with suppress(ApiError):
                self._write("")

    def renew(self) -> None:
        """Renew the lease once; nothing happens once it is given back or lost."""
        for _ in range(2):
            if self._over():
                return
            begun = self._clock.monotonic()
            try:
                self._write(str(self._me))
            except ApiError as error:
                self._refusal = error.message
                if error.is_conflict and self._is_still_ours():
                    # Somebody edited a label; or it was us, and the answer was lost on its way.
                    continue
                if error.is_absence:
                    self._find_deleted(begun)
                return
            self._go_on(begun)
            return

    def look(self) -> None:
        """Notice that the lease was not renewed for too long."""
        now = self._clock.monotonic()
        if self._is_safe(now):
            return
        since = self._pause(now)
        if now - since >= self._patience_s:
            age_s = now - self._renewed
            reason = f"the API server did not let us renew the lock for {age_s:.0f} s"
            self._lose(reason, silent_loss(reason, self._refusal))

    def is_held(self) -> bool:
        """Tell whether the lease is ours now: it may have run out while this process slept."""
        self.look()
        return not self._over() and self._is_safe(self._clock.monotonic())

    def _is_safe(self, now: float) -> bool:
        """Whether nobody else can have taken the lease yet."""
        return now - self._renewed < self._duration_s * _SAFE_PART

    def _pause(self, now: float) -> float:
        """Tell once that the run pauses; return since when it does."""
        with self._losing:
            if self._over() or self._paused_since is not None:
                return now if self._paused_since is None else self._paused_since
            self._paused_since = now
        self._notice(
            f"the lock of the cluster could not be renewed for {now - self._renewed:.0f} s: "
            "nothing is changed until the API server answers"
        )
        return now

    def _go_on(self, renewed: float) -> None:
        self._renewed = renewed
        with self._losing:
            paused = self._paused_since is not None
            # An answer that took too long says how it was when it was asked for.
            if not paused or not self._is_safe(self._clock.monotonic()):
                return
            self._paused_since = None
        self._notice("the API server answers, and the lock is still ours: going on")

    # threads

    def _keep_renewing(self) -> None:
        while not self._over() and not self._clock.wait(self._released, self._renewal_pause_s()):
            self.renew()

    def _keep_looking(self) -> None:
        # A thread of its own: a request may hang for longer than the lease lasts.
        while not self._over() and not self._clock.wait(self._released, _POLL_S):
            self.look()

    def _renewal_pause_s(self) -> float:
        return self._duration_s / 3 if self._paused_since is None else _POLL_S

    def _over(self) -> bool:
        return self._released.is_set() or self.lost.is_set()

    def _lose(self, reason: str, loss: Callable[[str], CtoError]) -> None:
        with self._losing:
            if self._over():
                return
            self.loss = loss
            self.lost.set()
        self._on_lost(reason)

    # taking

    def _ensure_namespace(self) -> None:
        name = self._ref.namespace
        ref = ObjectRef("v1", "Namespace", "", name)
        manifest = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name, "labels": MANAGED_BY},
        }
        live = self._cluster.get(ref)
        if live and is_being_deleted(live):
            self._see_it_go(ref)
        elif live:
            return
        try:
            self._cluster.create(manifest)
        except ApiError as error:
            if not error.is_conflict:
                raise

    def _see_it_go(self, namespace: ObjectRef) -> None:
        """Wait until a namespace is gone that an uninstallation deletes.

        Raises:
            WaitError: What holds it does not heal, or it takes too long.
        """
        waiting = f"Waiting until namespace {namespace.name} is deleted"
        verdict = until_gone(
            namespace,
            self._cluster,
            self._clock,
            tell=lambda text: self._notice(f"{waiting}: {text}"),
            stop=self._stop,
        )
        if verdict.error:
            raise verdict.error
        if not verdict.done:
            text = f"{namespace} is being deleted, and does not go"
            raise WaitError("CTO-1709", text, details=verdict.message)

    def _try_to_take(self, seen: str, since: float) -> bool:
        """Take the lease if it is free or over; False to look again later."""
        if not self._is_free(seen, since):
            return False
        self._renewed = self._clock.monotonic()
        try:
            if self._lease:
                self._write(str(self._me))
            else:
                self._create()
        except ApiError as error:
            if not error.is_conflict:
                raise
            # Another one was faster; or it was us, and the first answer was lost on its way.
            self._lease = self._cluster.get(self._ref) or {}
            return self._holder_is_me()
        return True

    def _is_free(self, seen: str, since: float) -> bool:
        self._lease = self._cluster.get(self._ref) or {}
        return not self._lease or self._is_over(self._lease, seen, since)

    def _is_over(self, lease: Manifest, seen: str, since: float) -> bool:
        holder = holder_of(lease)
        if not holder:
            return True
        lives = Holder.parse(holder).lives(self._machine, self._containers)
        changed = seen and seen != lease["metadata"]["resourceVersion"]
        if lives or (changed and lives is None):
            raise locked(self._ref, lease)
        return lives is False or (
            bool(seen) and self._clock.monotonic() - since >= self._validity_s()
        )

    def _validity_s(self) -> float:
        return float(self._lease.get("spec", {}).get("leaseDurationSeconds") or self._duration_s)

    # keeping

    def _is_still_ours(self) -> bool:
        """Look who changed the record: another holder, or anybody who edited a label."""
        try:
            self._lease = self._cluster.get(self._ref) or self._lease
        except ApiError:
            return False
        if self._holder_is_me():
            return True
        if holder_of(self._lease):
            reason = f"another run took the lock: {described(self._lease)}"
            self._lose(reason, taken_loss(reason, locked(self._ref, self._lease).hint))
        else:
            reason = "another run took the lock meanwhile, and has given it back"
            self._lose(reason, taken_loss(reason))
        return False

    def _find_deleted(self, begun: float) -> None:
        """Make a deleted lease again; not if another run may have had it: it is gone for good."""
        if self._paused_since is not None:
            reason = (
                "the lock was deleted while it could not be renewed: another run may have had it"
            )
            self._lose(reason, taken_loss(reason))
        elif self._put_back():
            self._go_on(begun)

    def _put_back(self) -> bool:
        """Make a deleted lease again, unless the namespace goes: then nobody can take it."""
        namespace = ObjectRef("v1", "Namespace", "", self._ref.namespace)
        with suppress(ApiError):
            live = self._cluster.get(namespace)
            if live is None or is_being_deleted(live):
                return True
            self._create()
            return True
        return False

    def _holder_is_me(self) -> bool:
        return holder_of(self._lease) == str(self._me)

    def _create(self) -> None:
        self._lease = self._cluster.create(self._record({}, str(self._me)))

    def _write(self, holder: str) -> None:
        self._lease = self._cluster.update(self._record(self._lease, holder))

    def _record(self, old: Manifest, holder: str) -> Manifest:
        return record(self._ref, old, holder, now=self._clock.now(), duration_s=self._duration_s)
