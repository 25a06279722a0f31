"""Manual steps that wait for people: what each asks for, of whom, and whether whoever reads may answer it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import QuerySet

from handrail.accounts.permissions import visible_projects
from handrail.shared.actors import Actor
from runbooks.approvals import Verdict
from runbooks.language.definition import InputSpec, ManualStep
from runbooks.manual import may_answer_each, step_or_none
from runbooks.models import StepRun

UNREADABLE = "This process cannot read the run's version: it is answered where it can be."


@dataclass(frozen=True, slots=True)
class AskedOfPeople:
    """What a manual step asks: its typed inputs, the teams and users that it is for (none: any responder)."""

    inputs: tuple[InputSpec, ...]
    teams: tuple[str, ...]
    users: tuple[str, ...]
    verdict: Verdict


def manual_steps_visible_to(actor: Actor) -> QuerySet[StepRun]:
    """The manual steps that wait for a person, of the runs that the actor sees; the oldest first."""
    return (
        StepRun.objects.filter(
            run__project__in=visible_projects(actor), run__is_open=True, kind=ManualStep.kind,
            state=StepRun.State.AWAITING_HUMAN,
        )
        .select_related("run__project", "run__runbook", "run__version")
        .order_by("pk")
    )  # fmt: skip


def asked_of_people(rows: Sequence[StepRun], actor: Actor) -> Mapping[uuid.UUID, AskedOfPeople]:
    """What each of these asks, by its id; in three queries, however many there are."""
    steps = {row.pk: step_or_none(row) for row in rows}
    readable = [(row, step) for row in rows if (step := steps[row.pk]) is not None]
    verdicts = may_answer_each(readable, actor)
    unreadable = AskedOfPeople((), (), (), Verdict(allowed=False, why=UNREADABLE))
    found = dict.fromkeys(steps, unreadable)
    for row, step in readable:
        found[row.pk] = AskedOfPeople(step.inputs, step.teams, step.users, verdicts[row.pk])
    return found
