"""Whether a runbook could run now: what is there, and what is missing and who can mend it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from handrail.accounts.models import Team, User
from handrail.accounts.permissions import Permission, holders
from handrail.catalog.models import Connection
from handrail.shared.errors import Invalid
from runbooks import secret_names
from runbooks.language.definition import ActionStep, ApprovalStep, Call, WaitUntilStep
from runbooks.language.definition import Runbook as Definition
from runbooks.models import Runbook
from runbooks.queries.workers import unserved
from runbooks.steps.registry import specs
from runbooks.versions import definition_of


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a run needs. ``missing`` says what is not there and what to do; empty when all is well."""

    title: str
    missing: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


def readiness_of(runbook: Runbook) -> list[Check]:
    """The checks of a runbook's live version, in the order in which one would mend them."""
    if runbook.live is None:
        return [Check("A live version", "Publish the draft: nothing can start before.")]
    try:
        definition = definition_of(runbook.live)
    except Invalid as error:
        return [Check("A live version that can be read", error.message)]
    return [
        Check(f"A live version: {runbook.live}"),
        *_secrets(runbook, definition),
        *_libraries(definition),
        *_connections(runbook, definition),
        *_approvers(runbook, definition),
        *_workers(definition),
    ]


def _secrets(runbook: Runbook, definition: Definition) -> Iterator[Check]:
    if definition.secrets:
        yield Check(
            f"Secrets: {', '.join(sorted(definition.secrets))}",
            " ".join(secret_names.missing(definition, runbook.project)),
        )


def _calls(definition: Definition) -> Iterator[Call]:
    for step in definition.walk():
        if isinstance(step, ActionStep | WaitUntilStep):
            yield step.call
        if isinstance(step, ActionStep):
            if step.compensate is not None:
                yield step.compensate
            if step.probe is not None:
                yield step.probe.call


def _libraries(definition: Definition) -> Iterator[Check]:
    known = specs()
    for name in sorted({call.uses for call in _calls(definition)} & set(known)):
        if known[name].unavailable:
            yield Check(f"The library of {name}", known[name].unavailable)


def _connections(runbook: Runbook, definition: Definition) -> Iterator[Check]:
    uses = {
        (value, call.uses)
        for call in _calls(definition)
        if isinstance(value := call.with_.get("connection"), str) and "${{" not in value
    }
    named = sorted({name for name, _ in uses})
    if not named:
        return
    found = Connection.objects.filter(project=runbook.project, name__in=named).values_list("name", "kind")
    kinds = dict(found)
    problems = []
    if missing := [name for name in named if name not in kinds]:
        problems.append(f"Missing: {', '.join(missing)}. An operator of the project can create them.")
    known = specs()
    for name, action in sorted(uses):
        needed = known[action].connection_kind if action in known else ""
        if needed and kinds.get(name, needed) != needed:
            problems.append(
                f"{action} needs a connection of the kind {needed}; {name} is of the kind {kinds[name]}."
            )
    yield Check(f"Connections: {', '.join(named)}", " ".join(problems))


def _approvers(runbook: Runbook, definition: Definition) -> Iterator[Check]:
    for step in definition.walk():
        if not isinstance(step, ApprovalStep):
            continue
        approvers = step.approvers
        able = holders(runbook.project, Permission.APPROVE).filter(kind=User.Kind.PERSON)
        asked = [*approvers.teams, *approvers.users]
        title = (
            f"Approvers of “{step.title or step.id}”: {', '.join(asked) or 'the approvers of the project'}"
        )
        if asked:
            by_team = able.filter(teams__project=runbook.project, teams__slug__in=approvers.teams)
            found = set(by_team.values_list("pk", flat=True))
            found |= set(able.filter(username__in=approvers.users).values_list("pk", flat=True))
        else:
            found = set(able.values_list("pk", flat=True))
        teams = set(
            Team.objects.filter(project=runbook.project, slug__in=approvers.teams).values_list(
                "slug", flat=True
            )
        )
        if unknown := sorted(set(approvers.teams) - teams):
            yield Check(title, f"The project has no team {', '.join(unknown)}. An admin can create it.")
        elif len(found) < approvers.min:
            people = "person" if approvers.min == 1 else "people"
            yield Check(
                title,
                f"{approvers.min} {people} must approve; {len(found)} could. Give more of them the approver role.",
            )
        else:
            yield Check(title)


def _workers(definition: Definition) -> Iterator[Check]:
    pools = {definition.pool} | {step.pool for step in definition.walk() if step.pool}
    missing = unserved(pools)
    title = "A worker" if pools == {"default"} else f"Workers of the pools {', '.join(sorted(pools))}"
    if missing:
        starts = "; ".join(f"handrail worker --pool {pool}" for pool in missing)
        yield Check(
            title,
            f"No worker serves {', '.join(missing)}: its steps wait until one is started with: {starts}",
        )
    else:
        yield Check(title)
