"""How the machine does: workers that live, steps that wait for one, and steps that wait for a person."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, Min, Q, QuerySet

from handrail.accounts.permissions import Permission, visible_projects
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now
from runbooks.models import Circuit, StepRun, Worker
from runbooks.queries.workers import REMEMBERED, silent_since


@dataclass(frozen=True, slots=True)
class Machine:
    """``workers_alive`` of ``workers`` (those that did not stop in order), steps ready, the oldest's age.

    ``circuits_open``: targets that are let alone now, because they failed or a human says so.
    """

    workers_alive: int
    workers: int
    ready: int
    oldest_ready_seconds: float
    circuits_open: int = 0

    @property
    def is_well(self) -> bool:
        """Whether somebody works, and nobody waits long for it."""
        return (
            self.workers_alive > 0 and self.workers_alive == self.workers and self.oldest_ready_seconds < 60
        )


def machine() -> Machine:
    """The figures of the whole installation: counts alone, nothing of what is run."""
    moment = database_now()
    silent = silent_since(moment)
    workers = Worker.objects.filter(kind="worker", stopped_at=None, heartbeat_at__gt=moment - REMEMBERED)
    counted = workers.aggregate(all=Count("pk"), alive=Count("pk", filter=Q(heartbeat_at__gt=silent)))
    ready = StepRun.objects.filter(state=StepRun.State.READY, run__is_open=True).exclude(ready_at__gt=moment)
    waiting = ready.aggregate(n=Count("pk"), oldest=Min("ready_at"))
    age = (moment - waiting["oldest"]).total_seconds() if waiting["oldest"] is not None else 0.0
    open_ = Circuit.objects.exclude(state=Circuit.State.CLOSED).count()
    return Machine(counted["alive"], counted["all"], waiting["n"], max(0.0, age), open_)


def steps_to_decide(actor: Actor) -> QuerySet[StepRun]:
    """The steps whose outcome nobody knows, of runs that the actor may decide about; the oldest first."""
    projects = visible_projects(actor, Permission.RESPOND)
    unknown = (StepRun.State.UNCERTAIN, StepRun.State.AWAITING_HUMAN)
    return (
        StepRun.objects.filter(run__project__in=projects, run__is_open=True, state__in=unknown)
        .select_related("run__runbook", "run__version", "run__incident")
        .defer("inputs", "outputs")
        .order_by("created_at")
    )
