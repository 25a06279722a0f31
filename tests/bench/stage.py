"""An installation to measure: a project, an actor who may do everything in it, runbooks of any length."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from handrail.accounts import actions as accounts
from handrail.accounts.actors import CONSOLE, actor_of_user
from handrail.accounts.models import Project, User
from handrail.shared.actors import Actor, Channel
from runbooks import runs, versions
from runbooks.models import Run, Runbook


@dataclass(frozen=True, slots=True)
class Stage:
    project: Project
    user: User
    actor: Actor

    @classmethod
    def build(cls) -> Stage:
        project = accounts.create_project("bench", "Benchmarks", actor=CONSOLE)
        user = accounts.create_user("bench", name="Bench", actor=CONSOLE)
        for role in ("admin", "responder"):
            accounts.assign_role(project, user, role, actor=CONSOLE)
        return cls(project, user, actor_of_user(user, Channel.CLI))

    def publish(self, slug: str, steps: str, rest: str = "") -> Runbook:
        """``steps`` is YAML, flush left."""
        indented = "\n".join(f"  {line}" for line in steps.strip().splitlines())
        head = f"apiVersion: handrail/v1\nkind: Runbook\nmetadata: {{id: {slug}, title: A benchmark}}"
        source = f"{head}\n{rest}\nsteps:\n{indented}\n"
        runbook = versions.create(self.project, source, actor=self.actor)
        versions.publish(runbook, actor=self.actor, message="to measure")
        runbook.refresh_from_db()
        return runbook

    def chain(self, length: int) -> Runbook:
        """A runbook of so many steps, one after the other."""
        steps = "\n".join(f"- {{id: s{number}, uses: noop}}" for number in range(length))
        return self.publish(f"chain-{length}-{uuid.uuid4().hex[:6]}", steps)

    def fan(self, width: int) -> Runbook:
        """A runbook of so many steps side by side, and one that joins them."""
        branches = "\n".join(f"    - {{id: s{number}, uses: noop}}" for number in range(width))
        steps = f"- id: all\n  kind: parallel\n  steps:\n{branches}\n- {{id: join, uses: noop}}"
        return self.publish(f"fan-{width}-{uuid.uuid4().hex[:6]}", steps)

    def start(self, runbook: Runbook, **inputs: str) -> Run:
        return runs.start(runbook, inputs=dict(inputs), actor=self.actor).run
