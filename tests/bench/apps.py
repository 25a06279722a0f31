"""Brings the action ``bench.mark`` into the processes that are measured."""

from __future__ import annotations

from django.apps import AppConfig


class BenchConfig(AppConfig):
    name = "tests.bench"
    label = "bench"

    def ready(self) -> None:
        from runbooks.steps import registry
        from tests.bench.actions import Mark

        registry.register(Mark)
