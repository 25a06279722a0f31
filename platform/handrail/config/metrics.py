"""`/metrics`: the figures of the installation for Prometheus, read from the database at every scrape.

What is counted is in the database and not in a process, so that any web process answers for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from handrail.letters.queries import figures_by_kind
from handrail.outbox.queries import backlog
from handrail.shared.rest.views import Endpoint
from runbooks.queries.machine import machine

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that every Prometheus reads."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure that goes up and down. ``values``: label value -> figure; the label ``""`` for one without labels."""

    name: str
    help: str
    values: Mapping[str, float]
    label: str = ""

    def lines(self) -> Iterator[str]:
        """As Prometheus reads it. Names, labels and words are ours: nothing in them has to be escaped."""
        yield f"# HELP {self.name} {self.help}"
        yield f"# TYPE {self.name} gauge"
        for value, figure in self.values.items():
            labels = f'{{{self.label}="{value}"}}' if self.label else ""
            yield f"{self.name}{labels} {figure:.15g}"


class Metrics(Endpoint):
    """The figures, for whoever has an account or a token: counts and ages alone, as everybody's Now shows them."""

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """The text format of Prometheus."""
        text = "\n".join(line for gauge in gauges() for line in gauge.lines())
        return HttpResponse(f"{text}\n", content_type=CONTENT_TYPE)


def gauges() -> Sequence[Gauge]:
    """Every figure, in a constant number of queries. Ages are in seconds, 0 where there is nothing."""
    letters, now, outbox = figures_by_kind(), machine(), backlog()
    silent = now.workers - now.workers_alive
    return (
        Gauge(
            "handrail_dead_letters",
            "Dead letters that wait for somebody.",
            {kind: found.open for kind, found in letters.items()},
            "kind",
        ),
        Gauge(
            "handrail_dead_letters_unowned",
            "Those of them that nobody looks after.",
            {kind: found.unowned for kind, found in letters.items()},
            "kind",
        ),
        Gauge(
            "handrail_dead_letters_oldest_age_seconds",
            "For how long the oldest of them has waited.",
            {kind: found.oldest_seconds for kind, found in letters.items()},
            "kind",
        ),
        Gauge(
            "handrail_workers",
            "Worker processes that were not stopped in order, by whether they were heard of lately.",
            {"alive": now.workers_alive, "silent": silent},
            "state",
        ),
        Gauge("handrail_steps_ready", "Steps that wait for a worker.", {"": now.ready}),
        Gauge(
            "handrail_steps_ready_oldest_age_seconds",
            "For how long the oldest of them has waited.",
            {"": now.oldest_ready_seconds},
        ),
        Gauge("handrail_circuits_open", "Targets that are let alone now.", {"": now.circuits_open}),
        Gauge("handrail_outbox_waiting", "Messages that are to be sent.", {"": outbox.waiting}),
        Gauge(
            "handrail_outbox_oldest_age_seconds",
            "For how long the oldest of them has been due.",
            {"": outbox.oldest_seconds},
        ),
    )
