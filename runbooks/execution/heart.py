"""The heart of a worker process: renews the leases of what executes, and kills what is no longer ours.

One thread for the whole process. A step that ends within a third of its lease never hears of it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from django.db import Error, connection, transaction

from handrail.shared.clock import database_now, steady
from handrail.shared.failpoints import reach
from runbooks.execution.logs import StepLog
from runbooks.execution.worker import Me, lease
from runbooks.models import StepRun

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at whether somebody wants a step to stop, and between two parts of a live log."""

GRACE_UNTIL_GIVEN_UP = 30.0
"""Seconds after its end, told or timed out, for which a call that does not return is still waited for."""

GRACE_AFTER_DEADLINE = 5.0
"""Seconds that a call may exceed its timeout before its process group is killed for it."""


@dataclass(slots=True)
class Held:
    """One lease that this process holds. ``lost``: the fence has moved, nothing that we do counts any more.

    ``heartbeat``: seconds for which the call may be silent; ``silent``: it was silent for longer, and was stopped.
    ``stopped_at``: since when, on the monotonic clock, the call should have ended.
    """

    step_id: uuid.UUID
    fence: int
    deadline: float
    log: StepLog
    cancelled: threading.Event = field(default_factory=threading.Event)
    lost: threading.Event = field(default_factory=threading.Event)
    silent: threading.Event = field(default_factory=threading.Event)
    heartbeat: float | None = None
    group: int | None = None
    renewed: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    stopped_at: float | None = None

    def hear(self) -> None:
        """The call shows that it goes on: it told of progress, or said something."""
        self.heard = time.monotonic()

    def say(self, stream: str, text: str) -> None:
        """Take what the call says into its log."""
        self.hear()
        self.log.say(stream, text)

    def is_overdue(self, now: float) -> bool:
        """Whether the call should have ended a while ago: it hangs, and its lease shall run out."""
        ends = self.deadline if self.stopped_at is None else min(self.deadline, self.stopped_at)
        return now >= ends + GRACE_UNTIL_GIVEN_UP

    def register_group(self, group: int | None) -> None:
        """Remember the process group of a child, or that it is gone."""
        self.group = group

    def stop(self) -> None:
        """Tell the call to end, and end its processes."""
        self.cancelled.set()
        if self.group is not None:
            kill_group(self.group)


def kill_group(group: int) -> None:
    """Kill a process group of ours; one that is gone already is fine."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


class Heart:
    """Beats while anything is held. ``also`` is called with each lease beat: the worker's own row.

    ``ending``: whether the process shall end; when it begins to, its row says so with the next look.
    """

    def __init__(
        self,
        me: Me,
        *,
        also: Callable[[], None] | None = None,
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        """The thread is started with the first lease."""
        self.me = me
        self._also = also
        self._ending = ending
        self._said_ending = False
        self._held: dict[uuid.UUID, Held] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._said_alive = 0.0

    def hold(self, held: Held) -> None:
        """Renew this lease from now on."""
        with self._lock:
            self._held[held.step_id] = held
        self.start()

    def start(self) -> None:
        """Begin to beat; with the first lease at the latest."""
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._ended.clear()
                self._thread = threading.Thread(target=self._beat, name="heart", daemon=True)
                self._thread.start()

    def release(self, held: Held) -> None:
        """The call has ended."""
        with self._lock:
            self._held.pop(held.step_id, None)

    def stop(self) -> None:
        """End the thread; for the end of the process."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _beat(self) -> None:
        while not self._ended.wait(min(LOOK_EVERY, lease().total_seconds() / 3)):
            with self._lock:
                holding = list(self._held.values())
            for held in holding:
                _end_silent(held)
            try:
                self._look_at(holding)
            except (Error, OSError) as error:
                log.warning("heartbeat_failed", error=str(error))
            finally:
                connection.close()
            for held in holding:
                self._kill_late(held)

    def _look_at(self, holding: list[Held]) -> None:
        now = time.monotonic()
        third = lease().total_seconds() / 3
        ends = self._ending() and not self._said_ending
        if self._also is not None and (ends or now - self._said_alive >= third):
            self._also()
            self._said_alive, self._said_ending = now, self._ending()
        for held in holding:
            if now - held.renewed >= third:
                if not held.is_overdue(now):
                    _renew(held)
            elif not held.cancelled.is_set():
                wanted = StepRun.objects.filter(pk=held.step_id, cancel_requested=True).exists()
                if wanted:
                    held.stop()
        # Last: what cannot be written of a log must cost nobody their lease.
        for held in holding:
            held.log.flush()

    def _kill_late(self, held: Held) -> None:
        """The process's own monotonic clock decides this: it works without a database."""
        now = time.monotonic()
        if now - held.renewed >= lease().total_seconds() * 0.9 and not held.lost.is_set():
            log.error("lease_not_renewed", step=str(held.step_id))
            held.lost.set()
            held.stop()
        elif now >= held.deadline + GRACE_AFTER_DEADLINE and held.group is not None:
            kill_group(held.group)


def _end_silent(held: Held) -> None:
    """Stop a call that has shown nothing for longer than its heartbeat; this works without a database, too."""
    if held.heartbeat is None or held.stopped_at is not None or held.silent.is_set():
        return
    now = time.monotonic()
    if now - held.heard > held.heartbeat:
        log.warning("step_silent", step=str(held.step_id), seconds=round(now - held.heard, 1))
        held.stopped_at = now
        held.silent.set()
        held.stop()


def still_ours(held: Held, since: float) -> bool:
    """Whether a call may be made now: the last look before it. ``since``, steady: from when its lease was counted.

    A process that was stopped, or had to wait for its commit, asks the database whether somebody has taken its step.
    """
    if steady() - since < lease().total_seconds() / 2:
        return True
    try:
        _renew(held)
    except (Error, OSError) as error:
        log.warning("lease_in_doubt", step=str(held.step_id), error=str(error))
        connection.close()
        return False
    return not held.lost.is_set()


def _renew(held: Held) -> None:
    """Prolong the lease under its fence; refused means that the step is no longer ours."""
    began = time.monotonic()
    with transaction.atomic():
        mine = StepRun.objects.filter(pk=held.step_id, fence=held.fence, state=StepRun.State.EXECUTING)
        renewed = mine.update(lease_until=database_now() + lease())
        wanted = renewed and mine.filter(cancel_requested=True).exists()
        reach("heartbeat.before_commit")
    reach("heartbeat.after_commit")
    if not renewed:
        log.warning("heartbeat_refused", step=str(held.step_id), fence=held.fence)
        held.lost.set()
        held.stop()
        return
    held.renewed = began
    if wanted:
        held.stop()
