"""The floor's Celery application: bare tasks that commit one small row, or tell the benchmark that they run.

Where they decide about speed its settings are those of Handrail's own application: early acknowledgement,
prefetch 1, JSON, no results, no events. Of Django it uses the database driver alone, and keeps its connection.
"""

from __future__ import annotations

import importlib
import os

from celery import Celery
from django.conf import settings

from tests.bench.bare_settings import configure

NAME = f"{os.environ.get('HANDRAIL_QUEUE_PREFIX', 'bench')}-floor"
"""Of the application and of its queue."""

if not settings.configured:
    # In the floor's worker: the product's database and broker without any of its apps.
    configure()

broker_settings = importlib.import_module("handrail.config.celery").broker_settings
floors = importlib.import_module("tests.bench.floors")
marks = importlib.import_module("tests.bench.marks")

# Without Celery's Django fixup, which closes the database's connection after each task.
app = Celery(NAME, set_as_current=False, fixups=set())
app.conf.update(
    **broker_settings(settings.BROKER_URL),
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    task_acks_late=False,
    task_default_queue=NAME,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="bench.commit")
def commit(note: str) -> None:
    """An empty task, and one durable commit."""
    floors.commit_row(note)


@app.task(name="bench.tell")
def tell(mark: str) -> None:
    """An empty task that says that it executes."""
    marks.tell(mark)
