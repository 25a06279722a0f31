"""The Celery application: it carries hints, never truth."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from celery import Celery
from django.apps import apps
from django.conf import settings
from kombu.transport import TRANSPORT_ALIASES

from handrail.shared.wakeups import hint_queue

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "handrail.config.settings")

TRANSPORT_ALIASES["filesystem"] = "handrail.config.embedded_broker:Transport"

# Without Celery's fixup for Django, which closes the connection and the whole pool before and after each task, also
# under the heart that beats beside it: `handrail worker` sees to the connections of its processes.
app = Celery("handrail", fixups=[])


BROKER_SECONDS = 2
"""For so long a broker may take to accept a connection; twice as long to answer on one, which is longer than consumers
ask Redis to wait for a message (1 s)."""


def broker_settings(url: str) -> dict[str, Any]:
    """Celery's broker settings for a URL; ``filesystem:///folder`` is the embedded broker."""
    if not url.startswith("filesystem:"):
        return {"broker_url": url, "broker_transport_options": _bounded(url)}
    folder = Path(unquote(urlsplit(url).path))
    return {
        "broker_url": "filesystem://localhost//",  # kombu warns about a URL without a host
        "broker_transport_options": {
            "data_folder_in": str(folder / "queues"),
            "data_folder_out": str(folder / "queues"),
            "processed_folder": str(folder / "processed"),
            "control_folder": str(folder / "control"),
            "polling_interval": 0.02,
        },
    }


def _bounded(url: str) -> dict[str, Any]:
    """No broker that accepts connections and then says nothing may hold a request, or a worker between two steps."""
    if url.startswith(("redis", "sentinel", "valkey")):
        return {"socket_connect_timeout": BROKER_SECONDS, "socket_timeout": 2 * BROKER_SECONDS}
    return {"write_timeout": BROKER_SECONDS}


app.conf.update(
    **broker_settings(settings.BROKER_URL),
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # for ever: who takes hints shall not give up after an hour's outage
    broker_connection_timeout=BROKER_SECONDS,
    task_default_queue=hint_queue(),
)
app.autodiscover_tasks(lambda: [config.name for config in apps.get_app_configs()])
