"""Brings the ledger's actions into the processes that are killed."""

from __future__ import annotations

from datetime import timedelta

from django.apps import AppConfig


class ProveConfig(AppConfig):
    name = "tests.prove"
    label = "prove"

    def ready(self) -> None:
        from handrail.outbox import sending
        from runbooks.steps import registry
        from tests.prove.actions import CHANNEL, EffectOnce, Look, send

        registry.register(EffectOnce)
        registry.register(Look)
        sending.register_sender(CHANNEL, send)
        # As of the steps: whoever waits for the messages of the dead shall not wait long.
        sending.LEASE = timedelta(seconds=5)
