"""Which votes count: those whose voters may still approve and are still among those who were asked."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from handrail.accounts.models import User
from handrail.accounts.permissions import Permission, holdings
from handrail.shared.statements.compiled import Compiled, prefetched
from runbooks.models import Approval, Vote

MAY_NOT = "may no longer approve in this project"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a vote is worth now. ``lost``: why it counts no more, or empty. ``teams``: those for which it counts."""

    lost: str
    teams: list[str]


def missing_votes(approval: Approval) -> int:
    """How many approvals are still needed; at least one while a team's own number is not reached."""
    return max([0, approval.quorum - approval.given, *_short_of(approval).values()])


def needs(approval: Approval) -> str:
    """What is still missing, in words: ``Needs 1 more of: dba-oncall``; empty when nothing is."""
    if approval.state != Approval.State.PENDING:
        return ""
    short_of = _short_of(approval)
    teams = " and ".join(f"{count} of {team}" for team, count in short_of.items())
    if approval.given >= approval.quorum:
        return f"Needs {teams}" if teams else ""
    among = f", among them {teams}" if teams else ""
    return f"Needs {missing_votes(approval)} more of: {asked_in_words(approval)}{among}"


def asked_in_words(approval: Approval) -> str:
    """Who is asked."""
    asked = [*approval.policy.get("teams", []), *approval.policy.get("users", [])]
    return ", ".join(asked) or "the project's approvers"


def read_votes(approval: Approval) -> list[Vote]:
    """All its votes as they are now, void ones, too, the first one first; they are kept with it."""
    votes = _VOTES.all(approval.pk)
    keep_votes(approval, votes)
    return votes


def keep_votes(approval: Approval, votes: list[Vote]) -> None:
    """Say which votes it has, without asking the database."""
    prefetched(approval, "votes", votes)


def recheck(approval: Approval, *, sure_of: Vote | None = None) -> list[Vote]:
    """Take what has lost its standing out of the count; under the lock of the approval. The votes that count no more.

    A voter who left one of several teams still counts, but not for that team. The votes are those that were read
    before. ``sure_of``: a vote that was cast in this transaction, whose voter's standing was looked at for it.
    """
    lost: list[Vote] = []
    now = standings([approval], but=sure_of)
    for vote in approval.votes.all():
        found = now.get(vote.pk)
        if found is None or (not found.lost and found.teams == vote.teams):
            continue
        vote.void_reason, vote.teams = found.lost[:200], found.teams
        vote.save(update_fields=["void_reason", "teams"])
        if vote.void_reason:
            lost.append(vote)
    return lost


def standings(approvals: Sequence[Approval], *, but: Vote | None = None) -> dict[uuid.UUID, Standing]:
    """The standing of every vote that counts so far, ``but`` one, by its id; three queries at most for all of them."""
    counted = [
        (approval, vote)
        for approval in approvals
        for vote in approval.votes.all()
        if vote.counts and vote != but
    ]
    voters = {vote.user_id for _, vote in counted}
    if not voters:
        return {}
    able = holdings(voters, Permission.APPROVE)
    teams = _memberships(counted)
    named = any(approval.policy.get("users") for approval, _ in counted)
    names = dict(_names(len(voters)).all(*voters)) if named else {}
    found: dict[uuid.UUID, Standing] = {}
    for approval, vote in counted:
        mine = {
            slug for user, project, slug in teams if (user, project) == (vote.user_id, approval.project_id)
        }
        lost = ""
        if (vote.user_id, approval.project_id) not in able:
            lost = MAY_NOT
        elif not is_asked(approval, names.get(vote.user_id, ""), mine):
            lost = f"is no longer among those who are asked ({asked_in_words(approval)})"
        found[vote.pk] = Standing(lost, [team for team in vote.teams if team in mine])
    return found


def is_asked(approval: Approval, username: str, teams: Iterable[str]) -> bool:
    """Whether somebody of this name, and in these teams of the project, is among those who are asked."""
    asked_users, asked_teams = approval.policy.get("users", []), approval.policy.get("teams", [])
    if not asked_users and not asked_teams:
        return True
    return username in asked_users or not set(asked_teams).isdisjoint(teams)


def _short_of(approval: Approval) -> dict[str, int]:
    """Team -> how many of it are missing. One person counts once for the quorum, and for each of their teams."""
    votes = [vote for vote in approval.votes.all() if vote.counts]
    return {
        team: count - have
        for team, count in approval.policy.get("min_per_team", {}).items()
        if (have := sum(team in vote.teams for vote in votes)) < count
    }


def _memberships(counted: Iterable[tuple[Approval, Vote]]) -> set[tuple[uuid.UUID, uuid.UUID, str]]:
    """Voter, project and slug of every team that matters to these votes."""
    mattering = [(approval, vote) for approval, vote in counted if vote.teams or approval.policy.get("teams")]
    if not mattering:
        return set()
    voters = {vote.user_id for _, vote in mattering}
    projects = {approval.project_id for approval, _ in mattering}
    return set(_teams(len(voters), len(projects)).all(*voters, *projects))


_VOTES = Compiled(lambda approval: Vote.objects.filter(approval=approval).order_by("at"))


@lru_cache(maxsize=16)
def _names(voters: int) -> Compiled[tuple[uuid.UUID, str]]:
    """The user names of so many accounts."""
    return Compiled(
        lambda *users: User.objects.order_by().filter(pk__in=users[:voters]).values_list("pk", "username")
    )


@lru_cache(maxsize=16)
def _teams(voters: int, projects: int) -> Compiled[tuple[uuid.UUID, uuid.UUID, str]]:
    """The teams of so many accounts in so many projects."""
    return Compiled(
        lambda *ids: (
            User.objects.order_by()
            .filter(pk__in=ids[:voters], teams__project__in=ids[voters : voters + projects])
            .values_list("pk", "teams__project", "teams__slug")
        )
    )
