"""A project with many rows of every kind, which all bear its word: a page betrays whose rows it shows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.db.models import F

from handrail.accounts.models import ApiToken, Project, User
from handrail.accounts.secrets import digest_of
from handrail.audit.actions import record
from handrail.incidents import postmortems
from handrail.incidents.models import Incident, IncidentAlert, TimelineEvent
from handrail.shared.clock import now
from handrail.vault.models import Secret
from runbooks import runs, stopping, versions
from runbooks.models import KillSwitch, LogLine, RefusedStart, Run, Runbook, RunbookVersion, Vote, Worker
from tests import factories

SIGN = """\
apiVersion: handrail/v1
kind: Runbook
metadata: {id: sign, title: Sign}
steps:
  - {id: sign, kind: manual, prompt: Sign., timeout: 1h, assignees: {teams: [signers]}}
"""

MORE = {"event": 210, "alert": 30, "incident": 60, "audit": 60}
"""How many rows there are in the end, where a page may show more than thirty of them."""


class Plenty:
    """``word`` stands in every name, as ``word-kind-number``; ``reader`` sees the project."""

    def __init__(self, word: str, reader: User) -> None:
        self.word = word
        self.reader = reader
        self.count = 0
        self.project = self._project(f"{word}-home", "admin")
        self.robot = factories.service_account(self.project, "responder", username=f"{word}-robot")
        self.author = factories.person(f"{word}-author", {self.project: "admin"})
        self.source = factories.source(self.project, name=f"{word} source", run_as=self.robot)
        actor = factories.actor(self.author)
        self.runbook = versions.create(self.project, factories.RUNBOOK, actor=actor)
        versions.publish(self.runbook, actor=actor, message="")
        self.runbook.refresh_from_db()
        self.incident = factories.incident(self.project, title=f"{word} first", severity="SEV1")
        self.run = factories.run(self.runbook, incident=self.incident)
        self.step = factories.step(self.run)
        self.alert = factories.alert(self.project, self.source, fingerprint="again", title=f"{word} alert")
        self.approval = factories.approval(self.run, step=self.step, prompt=f"{word} asks")
        self.ended = factories.incident(
            self.project, title=f"{word} over", status="resolved", is_open=False, resolved_at=now()
        )
        postmortems.generate(self.ended, actor)
        self.handed = self.run
        self.asking = factories.run(factories.runbook(self.project, f"{word}-asking", text=SIGN))
        self.letter = factories.dead_letter(self.project, what=f"{word} first")

    def grow(self, count: int) -> None:
        """Until there are ``count`` rows of each kind, or what MORE says where that is more than three."""
        for kind, make in self._makers().items():
            first, last = (MORE.get(kind, size) if size > 3 else size for size in (self.count, count))
            for number in range(first, last):
                make(f"{self.word}-{kind}-{number}", number)
        self.handed = self._handed_over(count)
        self.count = count

    def _handed_over(self, count: int) -> Run:
        """A run with ``count`` items on its checklist."""
        slug = f"{self.word}-handed-{count}"
        steps = "".join(
            f"\n  - {{id: s{n}, kind: manual, timeout: 1h, prompt: {self.word}-item-{n}}}"
            for n in range(count)
        )
        text = (
            f"apiVersion: handrail/v1\nkind: Runbook\nmetadata: {{id: {slug}, title: Many}}\nsteps:{steps}\n"
        )
        actor, made = factories.actor(self.author), factories.runbook(self.project, slug, text=text)
        started = runs.start(made, inputs={}, actor=actor)
        Runbook.objects.filter(pk=made.pk).update(archived_at=now())
        return stopping.stop(started.run.pk, actor=actor, how=stopping.HAND_OVER, reason="by hand")

    def _makers(self) -> dict[str, Callable[[str, int], object]]:
        return {
            "project": lambda name, n: self._project(name, "viewer"),
            "person": lambda name, n: factories.person(name, {self.project: "viewer"}),
            "robot": lambda name, n: factories.service_account(self.project, username=name),
            "team": lambda name, n: factories.team(self.project, slug=name),
            "token": self._token,
            "service": lambda name, n: factories.service(self.project, name),
            "environment": lambda name, n: factories.environment(self.project, name),
            "connection": lambda name, n: factories.connection(self.project, name),
            "circuit": lambda name, n: factories.circuit(self.project, name),
            "secret": lambda name, n: Secret.objects.create(project=self.project, name=name, ciphertext=b"x"),
            "source": lambda name, n: factories.source(self.project, name=name, run_as=self.robot),
            "delivery": lambda name, n: factories.delivery(self.source, name.encode(), error=name),
            "letter": lambda name, n: factories.dead_letter(self.project, what=name),
            "alert": self._alert,
            "episode": self._episode,
            "incident": self._incident,
            "event": self._event,
            "runbook": self._runbook,
            "version": self._version,
            "run": self._run,
            "step": lambda name, n: factories.step(self.run, name, title=name),
            "manual": lambda name, n: factories.step(
                self.asking,
                "sign",
                iteration=str(n),
                kind="manual",
                state="awaiting_human",
                inputs={"prompt": name},
            ),
            "line": lambda name, n: LogLine.objects.create(
                step=self.step, n=n + 1, attempt=1, at=now(), text=name
            ),
            "file": lambda name, n: factories.artifact(self.step, name=name),
            "worker": self._worker,
            "approval": self._approval,
            "switch": self._switch,
            "refused": self._refused,
            "audit": lambda name, n: record(factories.CONSOLE, name, self.project),
        }

    def _project(self, name: str, role: str) -> Project:
        made = factories.project(name)
        factories.give_role(made, self.reader, role)
        return made

    def _token(self, name: str, number: int) -> None:
        ApiToken.objects.create(user=self.reader, name=name, digest=digest_of(name))

    def _alert(self, name: str, number: int) -> None:
        made = factories.alert(
            self.project,
            self.source,
            title=name,
            service=factories.service(self.project, f"{self.word}-service-{number}"),
            environment=factories.environment(self.project, f"{self.word}-environment-{number}"),
        )
        IncidentAlert.objects.create(
            incident=self.incident, alert=made, joined_at=now(), reason="same service"
        )

    def _episode(self, name: str, number: int) -> None:
        at = now() - timedelta(hours=number + 1)
        factories.alert(
            self.project,
            self.source,
            fingerprint="again",
            title=name,
            at=at,
            is_open=False,
            status="resolved",
            ended_at=at,
        )

    def _incident(self, name: str, number: int) -> None:
        service = factories.service(self.project, f"{self.word}-service-{number % 30}")
        IncidentAlert.objects.create(
            incident=factories.incident(self.project, title=name, service=service, commander=self.author),
            alert=self.alert,
            joined_at=now(),
            reason="same service",
        )

    def _event(self, name: str, number: int) -> None:
        TimelineEvent.objects.create(
            incident=self.incident, n=number + 1, kind="note", at=now(), text=name,
            actor_kind="system", actor_name="test", channel="automation",
        )  # fmt: skip
        Incident.objects.filter(pk=self.incident.pk).update(timeline_n=F("timeline_n") + 1)

    def _runbook(self, name: str, number: int) -> None:
        made = factories.runbook(self.project, name)
        made.title = name
        made.save(update_fields=["title"])
        factories.run(made)

    def _switch(self, name: str, number: int) -> None:
        """Every other one is on."""
        over = {"off_at": now(), "off_by": "x"} if number % 2 else {}
        KillSwitch.objects.create(
            level="action",
            project=self.project,
            subject=name,
            place=name,
            reason=name,
            on_at=now(),
            on_by="x",
            **over,
        )

    def _refused(self, name: str, number: int) -> None:
        RefusedStart.objects.create(
            project=self.project, runbook=self.runbook, code="loop_guard", key=name, reason=name, first_at=now(),
            last_at=now(),
        )  # fmt: skip

    def _version(self, name: str, number: int) -> None:
        RunbookVersion.objects.create(
            runbook=self.runbook, source=factories.RUNBOOK, number=number + 2, message=name, author=self.author,
            state=RunbookVersion.State.PUBLISHED, digest=digest_of(name), published_at=now(), publisher=self.reader,
        )  # fmt: skip

    def _run(self, name: str, number: int) -> None:
        failed = {"state": "failed", "is_open": False, "ended_at": now()}
        going = {"incident": self.incident if number % 2 else None}
        factories.run(self.runbook, starter_name=name, **(going if number % 3 else failed))

    def _worker(self, name: str, number: int) -> None:
        # Processes belong to no project: only ours have the word in their name.
        if self.word == "ours":
            Worker.objects.create(
                id=f"{name}:{number}:abc",
                host=name,
                pid=number,
                pools=["default"],
                started_at=now(),
                heartbeat_at=now(),
            )

    def _approval(self, name: str, number: int) -> None:
        asked = factories.approval(self.run, prompt=name)
        voter = factories.person(f"{self.word}-voter-{number}")
        Vote.objects.create(
            approval=asked, user=voter, user_name=voter.username, decision="approve", channel="web", at=now()
        )
