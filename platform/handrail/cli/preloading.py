"""Loads, before a process says that it is ready, what its first request or step would otherwise wait for."""

from __future__ import annotations

import gc

_RUNBOOK = """\
apiVersion: handrail/v1
kind: Runbook
metadata: {id: nothing, title: Nothing}
inputs: {word: {type: string, default: well}}
steps: [{id: look, uses: noop, when: inputs.word == "well", with: {outputs: {said: "${{ inputs.word }}"}}}]
"""


def preload(*, pages: bool = False) -> None:
    """Read a small runbook and evaluate it: actions, parsers and the evaluator are loaded by the first that does.

    The same for whoever sends the first hint; no broker is asked.
    ``pages``: also import every view. After Django is set up; touches no database. A worker does it before it forks,
    so that its children share what was loaded.
    """
    from celery import current_app
    from django.urls import reverse

    from runbooks.language import reread
    from runbooks.language.expressions import condition
    from runbooks.steps.registry import specs

    reread(_RUNBOOK, actions=specs())
    condition('inputs.word == "well"', {"inputs": {"word": "well"}}, path="preload")
    # Celery imports each of these when the first message is sent.
    transport = current_app.connection_for_write().get_transport_cls()
    _ = (transport, current_app.amqp, current_app.backend, current_app.events.Dispatcher)
    if pages:
        reverse("healthz")
    _leave_to_the_collector_what_comes()


YOUNG = 10_000
"""Objects that are made before Python looks for garbage among them: some steps' worth, in place of a tenth of one."""


def _leave_to_the_collector_what_comes() -> None:
    """Take what was loaded out of Python's garbage collection: it is never garbage, and to look at it takes time, and
    would copy the pages that a worker's children share with it.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
