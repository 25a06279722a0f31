"""`/metrics`: the figures of the installation for Prometheus, read from the database at every scrape.

What is counted is in the database and not in a process, so that any web process answers for all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from rest_framework.request import Request

from handrail.letters.queries import figures_by_kind
from handrail.outbox.queries import backlog
from handrail.shared.rest.views import Endpoint
from runbooks.queries.machine import machine


class Metrics(Endpoint):
    """The figures, for whoever has an account or a token: counts and ages alone, as everybody's Now shows them."""

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """The text format of Prometheus."""
        registry = CollectorRegistry()
        registry.register(Figures())
        return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)


class Figures(Collector):
    """What a scrape reads, see :func:`gauges`."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Every figure as Prometheus's library has it."""
        for gauge in gauges():
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=[gauge.label] if gauge.label else [])
            for value, figure in gauge.values.items():
                family.add_metric([value] if gauge.label else [], figure)
            yield family

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: whoever registers this shall not read the database for it."""
        return []


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure that goes up and down. ``values``: label value -> figure; the label ``""`` for one without labels."""

    name: str
    help: str
    values: Mapping[str, float]
    label: str = ""


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
