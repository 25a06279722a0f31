"""Who works: a process with a name, its pools, and a row that says that it lives."""

from __future__ import annotations

import os
import platform
import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import metadata

from django.conf import settings
from django.db.models import F, Q

from handrail.shared.clock import database_now
from runbooks.engine import events as e
from runbooks.language.definition import Json
from runbooks.models import StepRun, Worker

SUPERVISOR_VARIABLE = "_HANDRAIL_SUPERVISOR"
"""Set by `handrail worker` for its children: which process looks after them."""

LEASES_UNTIL_DEAD = 2
"""A process that was silent for this many leases is dead: it has killed its own steps by then."""


def lease() -> timedelta:
    """How long a worker may be silent before its step is taken from it."""
    return timedelta(seconds=float(settings.LEASE_SECONDS))


def _new_name() -> str:
    return f"{socket.gethostname()[:80]}:{os.getpid()}:{secrets.token_hex(3)}"


def versions() -> dict[str, Json]:
    """What this process is made of: for whoever upgrades, and for runs that wait for a worker that knows them."""
    return {
        "handrail": metadata.version("handrail"),
        "python": platform.python_version(),
        "schemas": list(e.SUPPORTED_SCHEMAS),
    }


def _supervisor() -> int | None:
    told = os.environ.get(SUPERVISOR_VARIABLE, "")
    return int(told) if told.isascii() and told.isdigit() else None


def hand_back(owners: Collection[str]) -> int:
    """Make ready again, at once, what these processes have claimed and not begun; how many steps.

    For owners that are known to do nothing any more. What they had begun stays with its lease.
    """
    return StepRun.objects.filter(owner__in=owners, state=StepRun.State.CLAIMED).update(
        state=StepRun.State.READY, owner="", lease_until=None, fence=F("fence") + 1, hinted_at=None
    )


def bury_children(supervisor: int) -> int:
    """Say of the children of a process on this host that they have stopped: it has killed them. How many."""
    children = Worker.objects.filter(host=socket.gethostname()[:200], supervisor=supervisor, stopped_at=None)
    dead = list(children.values_list("pk", flat=True))
    hand_back(dead)
    return Worker.objects.filter(pk__in=dead).update(stopped_at=database_now())


@dataclass(frozen=True, slots=True)
class Me:
    """This process as the owner of leases. ``pools``: from which it takes steps."""

    id: str
    pools: tuple[str, ...] = ("default",)
    started_pid: int = field(default_factory=os.getpid)

    @classmethod
    def in_pools(cls, *pools: str) -> Me:
        """A fresh identity; a process that was forked needs its own."""
        return cls(_new_name(), pools or ("default",))

    def say_alive(self, *, kind: str = "worker", draining: bool = False) -> None:
        """Write or renew the row of this process. ``draining``: it takes nothing new any more."""
        moment = database_now()
        row, _ = Worker.objects.update_or_create(
            id=self.id,
            defaults={"heartbeat_at": moment, "stopped_at": None},
            create_defaults={
                "host": socket.gethostname()[:200],
                "pid": os.getpid(),
                "kind": kind,
                "pools": list(self.pools),
                "versions": versions(),
                "supervisor": _supervisor(),
                "started_at": moment,
                "heartbeat_at": moment,
            },
        )
        if draining and row.draining_at is None:
            Worker.objects.filter(pk=self.id).update(draining_at=moment)

    def say_stopped(self) -> None:
        """The process ends in order: nothing of its work goes on, and what it had only claimed is there for others."""
        hand_back([self.id])
        Worker.objects.filter(pk=self.id).update(stopped_at=database_now())


def known_dead(worker_id: str) -> bool:
    """Whether the process is known to do nothing any more: it said so, or it has been silent for too long.

    One that never wrote a row counts by the lease alone, which has ended when anybody asks.
    """
    return worker_id in which_are_dead([worker_id])


def which_are_dead(worker_ids: Collection[str]) -> frozenset[str]:
    """Those of these processes that are known to do nothing any more, in one query."""
    if not worker_ids:
        return frozenset()
    silent_since = database_now() - LEASES_UNTIL_DEAD * lease()
    alive = Worker.objects.filter(pk__in=worker_ids, stopped_at=None, heartbeat_at__gte=silent_since)
    return frozenset(worker_ids) - set(alive.values_list("pk", flat=True))


def forget_old(days: int = 7) -> int:
    """Remove the rows of processes that ended days ago."""
    limit = database_now() - timedelta(days=days)
    gone, _ = Worker.objects.filter(Q(stopped_at__lt=limit) | Q(heartbeat_at__lt=limit)).delete()
    return gone
