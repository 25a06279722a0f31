"""Manual steps: a person does something and says so, with what later steps need to know; web and API alike."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from django.db import transaction

from handrail.accounts.models import Team, User
from handrail.accounts.permissions import Permission, allows, authorize, visible_projects
from handrail.audit.actions import record
from handrail.shared.actors import Actor, ActorKind
from handrail.shared.errors import Conflict, Forbidden, HandrailError, Invalid, NotFound
from handrail.shared.failpoints import reach
from runbooks.approvals import Verdict
from runbooks.engine import events as e
from runbooks.engine.state import key_of
from runbooks.engine.transitions import StepStatus
from runbooks.execution.advancing import advance
from runbooks.execution.transition import open_transition
from runbooks.language.definition import Json, ManualStep
from runbooks.language.inputs import check_inputs
from runbooks.models import StepRun
from runbooks.versions import definition_of

CHOICES = ("done", "cannot")
LONGEST_REASON = 400
_NO_PERSON = Verdict(allowed=False, why="Only people confirm what a person has done.")
_NO_RESPONDER = Verdict(allowed=False, why="You do not have the responder role in this project.")


@transaction.atomic
def answer(
    step_id: uuid.UUID,
    *,
    actor: Actor,
    choice: str,
    reason: str = "",
    inputs: Mapping[str, Json] | None = None,
) -> StepRun:
    """Say that a manual step is ``done``, with its typed inputs, or ``cannot`` be, with a reason; audited.

    Needs ``respond`` and to be among those whom the step is assigned to. Conflict when it was answered already,
    Invalid for inputs that do not fit.
    """
    if choice not in CHOICES:
        raise Invalid(f"An answer is done or cannot, not {choice!r}.")
    row = StepRun.objects.select_related("run__project", "run__version").filter(pk=step_id).first()
    if row is None:
        raise NotFound("There is no such step, or you may not see it.")
    authorize(actor, Permission.VIEW, row.run)
    authorize(actor, Permission.RESPOND, row.run)
    step = step_of(row)
    verdict = may_answer(row, step, actor)
    if not verdict.allowed:
        raise Forbidden(verdict.why)
    opened = open_transition(row.run_id)
    key = key_of(row.node, row.iteration)
    node = opened.state.node(key)
    if node.status != StepStatus.AWAITING_HUMAN:
        raise Conflict(f"This step is {node.status.value}: there is nothing to confirm.")
    late = node.due_at is not None and opened.now >= node.due_at
    if node.due_at is not None and late and not opened.state.paused:
        raise Conflict(f"The time of this step was over at {node.due_at:%H:%M:%S} UTC.")
    reason = reason.strip()[:LONGEST_REASON]
    values = _values(step, inputs or {}) if choice == "done" else {}
    if choice == "cannot" and not reason:
        raise Invalid("Say why it cannot be done: whoever goes on from here will want to know.")
    opened.record(
        e.ManualAnswered(
            at=opened.now, key=key, choice=choice, by=actor.name, channel=actor.channel.value, reason=reason,
            inputs=values,
        )
    )  # fmt: skip
    advance(opened)
    opened.commit()
    data: dict[str, Json] = {"step": key, "choice": choice, "reason": reason, "inputs": values}
    record(actor, "step.answered", opened.live.run, data=data)
    reach("manual.before_commit")
    transaction.on_commit(lambda: reach("manual.after_commit"))
    return StepRun.objects.get(pk=step_id)


def may_answer(row: StepRun, step: ManualStep, actor: Actor) -> Verdict:
    """Whether the actor may answer this step, and why not, in words for that very person."""
    person = _person(actor)
    if person is None:
        return _NO_PERSON
    if not allows(actor, Permission.RESPOND, row.run):
        return _NO_RESPONDER
    if not [*step.teams, *step.users] or person.username in step.users:
        return Verdict(allowed=True)
    teams = Team.objects.filter(project_id=row.run.project_id, slug__in=step.teams, members=person)
    return _among(step, person, member=teams.exists())


def may_answer_each(asked: Sequence[tuple[StepRun, ManualStep]], actor: Actor) -> Mapping[uuid.UUID, Verdict]:
    """The same for several steps, by their ids, in three queries. The rows come with their runs."""
    person = _person(actor)
    if person is None:
        return {row.pk: _NO_PERSON for row, _ in asked}
    projects = {row.run.project_id for row, _ in asked}
    responding = set(
        visible_projects(actor, Permission.RESPOND).filter(pk__in=projects).values_list("pk", flat=True)
    )
    teams = set(Team.objects.filter(project__in=projects, members=person).values_list("project_id", "slug"))
    found: dict[uuid.UUID, Verdict] = {}
    for row, step in asked:
        project = row.run.project_id
        member = any((project, team) in teams for team in step.teams)
        found[row.pk] = _among(step, person, member=member) if project in responding else _NO_RESPONDER
    return found


def _person(actor: Actor) -> User | None:
    if actor.user_id is None or actor.kind is ActorKind.SYSTEM:
        return None
    return User.objects.filter(pk=actor.user_id, kind=User.Kind.PERSON).first()


def _among(step: ManualStep, person: User, *, member: bool) -> Verdict:
    asked = [*step.teams, *step.users]
    if not asked or member or person.username in step.users:
        return Verdict(allowed=True)
    return Verdict(allowed=False, why=f"This one is for {', '.join(asked)}.")


def step_of(row: StepRun) -> ManualStep:
    """The manual step as written. Conflict when the row is of another kind."""
    try:
        step = definition_of(row.run.version).step(row.node)
    except KeyError as error:
        raise NotFound("This run has no such step.") from error
    if not isinstance(step, ManualStep):
        raise Conflict("This is not a manual step: there is nothing to confirm.")
    return step


def step_or_none(row: StepRun) -> ManualStep | None:
    """The same for a page, which is shown also where this process cannot read the version."""
    try:
        return step_of(row)
    except HandrailError:
        return None


def _values(step: ManualStep, given: Mapping[str, Json]) -> dict[str, Json]:
    values, problems = check_inputs(step.inputs, dict(given))
    if problems:
        raise Invalid(
            "Some answers are missing or do not fit.",
            problems=[{"path": problem.name, "message": problem.message} for problem in problems],
        )
    return dict(values)
