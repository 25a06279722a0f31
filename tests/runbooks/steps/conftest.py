"""A context as the worker makes it, which remembers what the action told it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from handrail.accounts.models import Project
from handrail.vault.redaction import Redactor
from runbooks.steps.base import ActionContext


@dataclass
class Heard:
    """What the worker heard, and what it answers."""

    log: list[tuple[str, str]] = field(default_factory=list)
    groups: list[int | None] = field(default_factory=list)
    cancelled: bool = False

    def text(self, stream: str = "stdout") -> str:
        return "".join(text for name, text in self.log if name == stream)


MakeContext = Callable[..., ActionContext]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def make_context(heard: Heard) -> MakeContext:
    def make(
        project: Project | None = None,
        seconds: float = 20,
        secrets: tuple[str, ...] = (),
        incident_id: str | None = None,
    ) -> ActionContext:
        return ActionContext(
            project=project or Project(slug="shop", name="Shop"),
            run_id="run-1",
            node="shift",
            idempotency_key="run-1:shift:",
            deadline_monotonic=time.monotonic() + seconds,
            redactor=Redactor(secrets),
            log=lambda stream, text: heard.log.append((stream, text)),
            cancelled=lambda: heard.cancelled,
            register_process_group=heard.groups.append,
            incident_id=incident_id,
        )

    return make
