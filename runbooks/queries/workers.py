"""Who works: the registry of worker processes, and the runner pools with what waits in them, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count, Min, QuerySet

from handrail.catalog.queries import pools as known_pools
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from runbooks.models import StepRun, Worker
from runbooks.queries.scope import runs_visible_to

LEASES_UNTIL_DEAD = 2
"""A process that was silent for this many leases is dead: its steps are taken from it by then."""

REMEMBERED = timedelta(hours=1)
"""For how long a process that ended, or fell silent, stays in the list."""

MOST_IN_HAND = 200
"""Steps in hand on one page, of all workers together."""

ALIVE, DRAINING, SILENT, STOPPED = "alive", "draining", "silent", "stopped"


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One process. ``in_hand`` counts all that it executes; ``steps`` are those of runs that the reader sees."""

    row: Worker
    state: str
    in_hand: int = 0
    steps: Sequence[StepRun] = field(default_factory=tuple)

    @property
    def version(self) -> str:
        """Which Handrail; empty for one from before this was noted."""
        return str(self.row.versions.get("handrail", ""))

    @property
    def python(self) -> str:
        """Which Python."""
        return str(self.row.versions.get("python", ""))

    @property
    def schemas(self) -> list[int]:
        """The engine schemas that it understands; one that does not say is of the first."""
        return schemas_of(self.row)


@dataclass(frozen=True, slots=True)
class PoolView:
    """One pool. ``workers`` take steps of it now. ``words`` say what to do; empty when all is well."""

    name: str
    workers: int = 0
    draining: int = 0
    ready: int = 0
    oldest_ready_at: datetime | None = None
    oldest_seconds: float = 0.0
    allow_shell: bool = False
    words: str = ""

    @property
    def is_well(self) -> bool:
        """Whether nothing needs an operator."""
        return not self.words


def schemas_of(row: Worker) -> list[int]:
    """The engine schemas that a process understands."""
    found = row.versions.get("schemas")
    return [int(schema) for schema in found] if isinstance(found, list) else [1]


def silent_since(moment: datetime) -> datetime:
    """Whoever has not been heard of since then counts as dead."""
    return moment - LEASES_UNTIL_DEAD * timedelta(seconds=float(settings.LEASE_SECONDS))


def state_of(row: Worker, moment: datetime) -> str:
    """``alive``, ``draining`` (takes nothing new), ``silent`` (nobody knows), ``stopped`` (in order)."""
    if row.stopped_at is not None:
        return STOPPED
    if row.heartbeat_at < silent_since(moment):
        return SILENT
    return DRAINING if row.draining_at is not None else ALIVE


def listed_workers() -> QuerySet[Worker]:
    """The processes that live, and those that were heard of within the last hour."""
    return Worker.objects.filter(heartbeat_at__gt=database_now() - REMEMBERED).order_by("pk")


def worker_views(rows: Iterable[Worker], actor: Actor) -> list[WorkerView]:
    """The processes with what each has in hand, in two queries however many there are."""
    listed, moment = list(rows), database_now()
    names = [row.pk for row in listed]
    busy = StepRun.objects.filter(owner__in=names, state__in=[StepRun.State.CLAIMED, StepRun.State.EXECUTING])
    counted = dict(busy.order_by().values_list("owner").annotate(n=Count("pk")))
    steps: dict[str, list[StepRun]] = defaultdict(list)
    seen = busy.filter(run__in=runs_visible_to(actor).order_by().values("pk"))
    for step in (
        seen.select_related("run__runbook").defer("inputs", "outputs").order_by("started_at")[:MOST_IN_HAND]
    ):
        steps[step.owner].append(step)
    return [
        WorkerView(row, state_of(row, moment), counted.get(row.pk, 0), tuple(steps[row.pk])) for row in listed
    ]


def living() -> list[Worker]:
    """The workers (not sweepers) that take new steps."""
    moment = database_now()
    return list(
        Worker.objects.filter(
            kind="worker", stopped_at=None, draining_at=None, heartbeat_at__gt=silent_since(moment)
        )
    )


def pool_views() -> list[PoolView]:
    """Every pool that somebody has added, that a worker serves or for which a step waits, by name. Four queries."""
    moment = database_now()
    allowed = dict(known_pools().values_list("name", "allow_shell"))
    alive: dict[str, int] = defaultdict(int)
    draining: dict[str, int] = defaultdict(int)
    heard = Worker.objects.filter(kind="worker", stopped_at=None, heartbeat_at__gt=silent_since(moment))
    for pools, since in heard.values_list("pools", "draining_at"):
        for name in pools:
            (alive if since is None else draining)[name] += 1
    ready = StepRun.objects.filter(state=StepRun.State.READY, run__is_open=True, ready_at__lte=moment)
    waiting = {
        name: (count, oldest)
        for name, count, oldest in ready.order_by()
        .values_list("pool")
        .annotate(n=Count("pk"), at=Min("ready_at"))
    }
    found = []
    for name in sorted({"default", *allowed, *alive, *draining, *waiting}):
        count, oldest = waiting.get(name, (0, None))
        found.append(
            PoolView(
                name=name,
                workers=alive[name],
                draining=draining[name],
                ready=count,
                oldest_ready_at=oldest,
                oldest_seconds=max(0.0, (moment - oldest).total_seconds()) if oldest is not None else 0.0,
                allow_shell=allowed.get(name, False),
                words=_words(name, alive[name], draining[name], count),
            )
        )
    return found


def _words(name: str, alive: int, draining: int, ready: int) -> str:
    if alive:
        return ""
    waits = f"{ready} step{'s wait' if ready > 1 else ' waits'}" if ready else "steps of it would wait"
    last = f" {draining} of its workers still finish what they have." if draining else ""
    return f"No worker takes steps of {name}: {waits}.{last} {how_to_serve(name)}"


def how_to_serve(pool: str) -> str:
    """What an operator does about a pool that nobody serves."""
    return f"Start one where the pool's targets can be reached: handrail worker --pool {pool}"


def why_nobody_takes(step: StepRun, schema: int, alive: Sequence[Worker]) -> str:
    """Why no living worker can take a ready step, in words with what to do; empty when one can."""
    serving = [row for row in alive if step.pool in row.pools]
    if not serving:
        return f"no worker of the pool {step.pool} is alive. {how_to_serve(step.pool)}"
    if not any(schema in schemas_of(row) for row in serving):
        return (
            f"none of the workers of the pool {step.pool} knows engine schema {schema}: the run was started by "
            "another version of Handrail. Keep a worker of that version until such runs are over"
        )
    return ""


def unserved(pools: Iterable[str]) -> list[str]:
    """Which of these pools no living worker serves."""
    served = {name for row in living() for name in row.pools}
    return sorted(set(pools) - served)


def versions_alive(rows: Iterable[WorkerView]) -> Mapping[str, int]:
    """How many living processes there are of each version of Handrail."""
    found: dict[str, int] = defaultdict(int)
    for view in rows:
        if view.state in (ALIVE, DRAINING):
            found[view.version or "unknown"] += 1
    return dict(sorted(found.items()))
