"""Races: a crowd starts with one key, and three people on three channels decide about the same question at once."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

from django.db import connections

from handrail.accounts import actions as accounts
from handrail.accounts.actors import CONSOLE, actor_of_user
from handrail.accounts.models import User
from handrail.audit.models import AuditEntry
from handrail.shared.actors import Actor, Channel
from handrail.shared.errors import Conflict
from runbooks import approvals, runs, versions
from runbooks.execution.process import keep_connection
from runbooks.models import Approval, Run, Runbook, RunEvent, StepRun, Vote
from tests.prove.arena import Proof
from tests.prove.swallowing import say

STARTERS = 100
"""So many start at once with one key."""

CALLERS = (Channel.WEB, Channel.SLACK, Channel.API)
"""Each decides in a process of its own, as a person of its own, through the one function that all channels call."""

QUESTIONS = 10
"""Questions of one run, so that a race is not mostly the start of runs."""


def race(database: str, folder: Path, *, races: int, seed: int) -> Proof:
    """Both races; what was found stands in ``counts`` and in the verdict."""
    proof = Proof(database, seed)
    began = time.monotonic()
    project = accounts.create_project("races", "Races", actor=CONSOLE)
    author = accounts.create_user("author", name="Author", actor=CONSOLE)
    for role in ("admin", "responder"):
        accounts.assign_role(project, author, role, actor=CONSOLE)
    for n in range(len(CALLERS)):
        human = accounts.create_user(f"human-{n}", name=f"Human {n}", actor=CONSOLE)
        accounts.assign_role(project, human, "approver", actor=CONSOLE)
    actor = actor_of_user(author, Channel.CLI)
    once = _published(project, "once", "- {id: only, uses: noop}", actor)
    asking = "\n".join(
        f"    - {{id: ask{n}, kind: approval, prompt: Go?, for: [go], on_reject: continue, timeout: 1h,"
        f" approvers: {{users: [{', '.join(f'human-{who}' for who in range(len(CALLERS)))}]}}}}"
        for n in range(QUESTIONS)
    )
    asked = _published(
        project, "asked", f"- id: all\n  kind: parallel\n  steps:\n{asking}\n- {{id: go, uses: noop}}", actor
    )
    _starts(proof, folder, once, actor)
    _decisions(proof, folder, asked, actor, races)
    proof.runs = Run.objects.count()
    proof.seconds = time.monotonic() - began
    return proof


def _published(project: object, slug: str, steps: str, actor: Actor) -> Runbook:
    indented = "\n".join(f"  {line}" for line in steps.splitlines())
    source = f"apiVersion: handrail/v1\nkind: Runbook\nmetadata: {{id: {slug}, title: A race}}\nsteps:\n{indented}\n"
    runbook = versions.create(project, source, actor=actor)  # type: ignore[arg-type]
    versions.publish(runbook, actor=actor, message="to race")
    runbook.refresh_from_db()
    return runbook


def _crowd(size: int, act: Callable[[int, Barrier], None]) -> None:
    """So many processes, each with a connection of its own; RuntimeError when one of them fails."""
    barrier = multiprocessing.Barrier(size)
    connections.close_all()
    pids = []
    for n in range(size):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                keep_connection()
                act(n, barrier)
                status = 0
            finally:
                if status:
                    traceback.print_exc()  # nobody above would say it
                    barrier.abort()
                os._exit(status)
        pids.append(pid)
    failed = [pid for pid in pids if os.waitpid(pid, 0)[1]]
    if failed:
        raise RuntimeError(f"{len(failed)} of {size} racers failed")


def _starts(proof: Proof, folder: Path, runbook: Runbook, actor: Actor) -> None:
    said = folder / "starts"

    def start(_n: int, barrier: Barrier) -> None:
        barrier.wait(120)
        result = runs.start(runbook, inputs={}, actor=actor, dedupe_key="the same")
        say(said, f"{result.run.pk}\t{result.created}")

    _crowd(STARTERS, start)
    words = [line.split("\t") for line in said.read_text().splitlines()]
    created = [run for run, new in words if new == "True"]
    named = {run for run, _ in words}
    rows = Run.objects.filter(runbook=runbook).count()
    audited = AuditEntry.objects.filter(action="run.started").count()
    proof.counts["concurrent starts with one key"] = len(words)
    if not created or len(words) < STARTERS:
        proof.verdict.lost.append(
            f"of {STARTERS} starts {len(words)} were answered, {len(created)} with a new run"
        )
    if len(created) > 1 or rows != 1 or len(named) != 1 or audited != 1:
        proof.verdict.doubled.append(
            f"{STARTERS} starts with one key made {rows} runs, {audited} on the trail"
        )


def _decisions(proof: Proof, folder: Path, runbook: Runbook, actor: Actor, races: int) -> None:
    while Approval.objects.count() < races:
        runs.start(runbook, inputs={}, actor=actor)
    ids = list(Approval.objects.order_by("run", "pk").values_list("pk", flat=True)[:races])
    said = folder / "decisions"

    def decide(n: int, barrier: Barrier) -> None:
        me = actor_of_user(User.objects.get(username=f"human-{n}"), CALLERS[n])
        choice = ("approve", "deny")[n % 2]
        for number, approval in enumerate(ids):
            barrier.wait(120)
            # Nobody is always the first: each in turn begins a moment later.
            if number % len(CALLERS) == n:
                time.sleep(0.0005)
            try:
                decided = approvals.decide(approval, actor=me, decision=choice, reason="First.").decided
            except Conflict:
                decided = False
            say(said, f"{approval}\t{me.channel.value}\t{choice}\t{decided}")

    _crowd(len(CALLERS), decide)
    winners: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in said.read_text().splitlines():
        approval, channel, choice, decided = line.split("\t")
        if decided == "True":
            winners[approval].append((channel, choice))
    proof.counts["approval races"] = len(ids)
    for channel, n in Counter(channel for found in winners.values() for channel, _ in found).items():
        proof.counts[f"races won on {channel}"] = n
    _judge(proof, winners, [str(pk) for pk in ids])


def _judge(proof: Proof, winners: dict[str, list[tuple[str, str]]], ids: list[str]) -> None:
    """One decision each: one who was told so, one vote, one entry on the trail, one event, one outcome."""
    audited = Counter(
        AuditEntry.objects.filter(action="approval.decided").values_list("object_id", flat=True)
    )
    votes = Counter(str(pk) for pk in Vote.objects.values_list("approval_id", flat=True))
    steps = {str(pk): step for pk, step in Approval.objects.values_list("pk", "step_id")}
    states = {str(pk): state for pk, state in Approval.objects.values_list("pk", "state")}
    keys = {pk: (run, node) for pk, run, node in StepRun.objects.values_list("pk", "run_id", "node")}
    events = Counter(RunEvent.objects.filter(type="approval.decided").values_list("run_id", "data__key"))
    for pk in ids:
        won = winners[pk]
        told = events[keys[steps[pk]]]
        counts = {len(won), audited[pk], votes[pk], told}
        if max(counts) > 1:
            proof.verdict.doubled.append(
                f"approval {pk}: {len(won)} deciders, {votes[pk]} votes, {told} events"
            )
        elif min(counts) < 1:
            proof.verdict.lost.append(f"approval {pk}: {len(won)} deciders, {votes[pk]} votes, {told} events")
        elif states[pk] != {"approve": "approved", "deny": "rejected"}[won[0][1]]:
            proof.verdict.lost.append(f"approval {pk} is {states[pk]}, {won[0]} had decided")
