"""Brokers that are emptied, killed, stopped or never there, under real `handrail worker` and `handrail sweeper`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from django.db import connections, transaction

from handrail.accounts.actors import actor_of_user
from handrail.accounts.models import User
from handrail.outbox.actions import enqueue
from handrail.outbox.models import OutboxMessage
from handrail.shared.actors import Channel
from handrail.shared.errors import HandrailError
from handrail.shared.wakeups import send
from runbooks import approvals, runs
from runbooks.models import Approval, Run, Runbook, Worker
from tests.prove.actions import CHANNEL, LEDGER_VARIABLE, ledger
from tests.prove.arena import Proof, furnish
from tests.prove.judge import judge
from tests.prove.ledger import DID
from tests.prove.scenarios import ASKED, BIG, CHAIN, FAN, LOOP, OUTER
from tests.prove.servers import Broker, rabbitmq, redis, until
from tests.prove.swallowing import say

DRAINED_WITHIN = 30.0
"""Seconds after the broker's recovery within which all work must have ended."""

LONGEST_START = 6.0
"""Seconds that somebody who starts a run may have to wait, whatever the broker does."""

STARTED = (CHAIN, FAN, ASKED, LOOP, OUTER, BIG)
"""What is started here, in turn: nobody dies, so every effect happens exactly once."""


RUNS_AT_ONCE = 6

NAMES = {"redis": "Redis", "rabbitmq": "RabbitMQ"}


def prove_brokers(database: str, folder: Path, *, rounds: int, seed: int, kind: str) -> Proof:
    """Work through so many rounds with a broker (``redis``, ``rabbitmq``, ``none``) that fails in each."""
    proof = Proof(database, seed)
    began = time.monotonic()
    os.environ[LEDGER_VARIABLE] = str(folder / "ledger")
    furnish()
    with ExitStack() as stack:
        broker = stack.enter_context(BROKERS[kind]()) if kind in BROKERS else None
        url = broker.url if broker is not None else "amqp://guest:guest@127.0.0.1:1//"
        _use(url)
        stack.enter_context(_processes(folder, url))
        scene = _Scene(proof, folder)
        for _ in range(rounds):
            if broker is None:
                scene.round("rounds without any broker", scene.start_some)
                continue
            if kind == "redis":
                scene.round("Redis emptied in the middle", broker.flush)
            scene.round(
                f"{NAMES[kind]} frozen in the middle: it accepts and says nothing", scene.frost_of(broker)
            )
            scene.hints_flow_again()
            scene.round(f"{NAMES[kind]} killed in the middle and started again", scene.outage_of(broker))
            scene.hints_flow_again()
    found = judge(ledger(), folder / "told", {})
    for name in ("lost", "doubled", "stuck"):
        getattr(proof.verdict, name).extend(getattr(found, name))
    proof.runs = Run.objects.count()
    proof.effects = sum(line.word == DID for line in ledger().lines())
    proof.seconds = time.monotonic() - began
    return proof


BROKERS: dict[str, Callable[[], AbstractContextManager[Broker]]] = {"redis": redis, "rabbitmq": rabbitmq}


class _Scene:
    """Somebody who starts runs as the web does, and decides what is asked."""

    def __init__(self, proof: Proof, folder: Path) -> None:
        self.proof, self.folder = proof, folder
        self.author = actor_of_user(User.objects.get(username="author"), Channel.WEB)
        self.human = actor_of_user(User.objects.get(username="human"), Channel.WEB)
        slugs = [scenario.slug for scenario in STARTED]
        self.runbooks = list(Runbook.objects.filter(slug__in=slugs).select_related("live", "project"))

    def round(self, what: str, blow: Callable[[], None]) -> None:
        """Start some runs, strike in the middle of them, start more, and see that everything ends in time."""
        self.start_some()
        blow()
        well_again = time.monotonic()
        self.start_some()
        while self._something_is_open():
            self._decide()
            if time.monotonic() - well_again > DRAINED_WITHIN:
                left = Run.objects.filter(is_open=True).count()
                self.proof.verdict.stuck.append(
                    f"{what}: {left} runs (or messages) still go on after {DRAINED_WITHIN:.0f} s"
                )
                break
            time.sleep(0.1)
        took = time.monotonic() - well_again
        self.proof.counts[what] += 1
        self.proof.slowest = max(self.proof.slowest, took)

    def _something_is_open(self) -> bool:
        """Whether a run goes on, or a message waits."""
        waiting = OutboxMessage.objects.filter(channel=CHANNEL).exclude(state=OutboxMessage.State.SENT)
        return Run.objects.filter(is_open=True).exists() or waiting.exists()

    def start_some(self) -> None:
        """Nobody who starts a run waits for a broker for long."""
        for n in range(RUNS_AT_ONCE):
            began = time.monotonic()
            run = runs.start(self.runbooks[n % len(self.runbooks)], inputs={}, actor=self.author).run
            waited = time.monotonic() - began
            if waited > LONGEST_START:
                self.proof.verdict.stuck.append(f"the start of run {run.pk} took {waited:.1f} s")
            with transaction.atomic():
                enqueue(CHANNEL, "told", f"told:{run.pk}", {"run": str(run.pk)})
            say(self.folder / "told", str(run.pk))

    def outage_of(self, broker: Broker) -> Callable[[], None]:
        """The broker dies, people start runs all the same, and it is started again."""

        def blow() -> None:
            broker.kill()
            self.start_some()
            broker.start()

        return blow

    def frost_of(self, broker: Broker) -> Callable[[], None]:
        """The broker is stopped while people start runs, and goes on."""

        def blow() -> None:
            broker.send(signal.SIGSTOP)
            self.start_some()
            broker.send(signal.SIGCONT)

        return blow

    def hints_flow_again(self) -> None:
        """The connections that died with the broker are made anew."""
        try:
            until(lambda: send("runbooks.advance", "nothing"), seconds=DRAINED_WITHIN, what="a hint")
        except TimeoutError as error:
            self.proof.verdict.stuck.append(f"after the broker's recovery: {error}")

    def _decide(self) -> None:
        for asked in Approval.objects.filter(state=Approval.State.PENDING):
            with suppress(HandrailError):
                approvals.decide(asked.pk, actor=self.human, decision="approve")


def _use(url: str) -> None:
    """This process sends its hints to the same broker."""
    from handrail.config.celery import app, broker_settings

    app.conf.update(**broker_settings(url))


@contextmanager
def _processes(folder: Path, url: str) -> Iterator[None]:
    """A worker and a sweeper of the product, as a service manager would start them."""
    environment = {**os.environ, "PROVE_BROKER_URL": url}
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name, *more in (("worker", "--concurrency", "3"), ("sweeper",)):
            argv = [sys.executable, "-m", "handrail.cli", name, *more]
            with (folder / f"{name}.log").open("ab") as log:
                running.append(subprocess.Popen(argv, env=environment, stdout=log, stderr=log))
        until(lambda: Worker.objects.filter(kind="worker").exists(), seconds=90, what="the worker's start")
        yield
    finally:
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        import shutil

        shutil.copy(folder / "worker.log", f"/tmp/b/worker-{os.getpid()}.log")
        connections.close_all()
