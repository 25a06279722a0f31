"""What Prometheus is told: counts and ages, to whoever has a token."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from handrail.accounts.models import Project
from handrail.config.metrics import gauges
from handrail.shared.clock import now
from tests import factories

pytestmark = pytest.mark.django_db


def scraped(project: Project) -> dict[str, float]:
    robot = factories.service_account(project, "viewer")
    headers = {
        "Authorization": f"Bearer {factories.token(robot)}",
        "Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    }
    answer = Client().get("/metrics", headers=headers)
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    told: dict[str, float] = {}
    for line in answer.content.decode().splitlines():
        if not line.startswith("#"):
            found = re.fullmatch(r'([a-z_]+(?:\{[a-z]+="[a-z]+"\})?) ([0-9.e+-]+)', line)
            assert found is not None, line
            told[found[1]] = float(found[2])
    return told


def test_dead_letters_are_counted_by_kind_with_the_age_of_the_oldest(project: Project) -> None:
    for hours in (1, 3):
        factories.dead_letter(project, died_at=now() - timedelta(hours=hours))
    factories.dead_letter(None, kind="message", owner=factories.person("ada"))
    factories.dead_letter(project, kind="message", state="discarded")
    told = scraped(project)
    assert [told[f'handrail_dead_letters{{kind="{kind}"}}'] for kind in ("delivery", "message", "step")] == [
        2,
        1,
        0,
    ]
    assert told['handrail_dead_letters_unowned{kind="delivery"}'] == 2
    assert told['handrail_dead_letters_unowned{kind="message"}'] == 0
    assert 3 * 3600 <= told['handrail_dead_letters_oldest_age_seconds{kind="delivery"}'] < 3 * 3600 + 60
    assert told['handrail_dead_letters_oldest_age_seconds{kind="step"}'] == 0
    assert (told["handrail_steps_ready"], told['handrail_workers{state="silent"}']) == (0, 0)


def test_whoever_has_no_token_is_told_nothing(project: Project) -> None:
    assert Client().get("/metrics").status_code == 401


def test_a_scrape_costs_the_same_however_much_there_is(project: Project) -> None:
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as asked:
            gauges()
        counts.append(len(asked))
        for _ in range(5):
            factories.dead_letter(project)
            factories.step(factories.run(factories.runbook(project)), ready_at=now())
    assert counts[0] == counts[1] <= 9


def test_every_metric_is_in_the_reference() -> None:
    from tests.house.test_docs import DOCS

    page = (DOCS / "reference" / "metrics.md").read_text()
    assert [gauge.name for gauge in gauges() if gauge.name not in page] == []
