"""Logs and traces: structured lines on standard error, spans to a collector where one is set."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

TALKATIVE = ("httpx2", "httpcore2", "uvicorn.access", "slack_sdk", "botocore", "django.template")
"""Libraries of which only warnings are heard: at INFO httpx logs whole addresses, whose query may hold a secret;
at DEBUG botocore logs what it signs, and Django all that a page was given, a new token included.
"""


_KEYS = re.compile(r"(/hooks/v1/[^/\s]+/|/link/)[A-Za-z0-9_-]{20,}")
"""Addresses that are secrets themselves: whoever has one sends alerts, or signs in. Django names those it refuses."""


class StrangersFault(logging.Filter):
    """A request that Django refused is a line, not a traceback at level error: anybody may send many."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass."""
        refused = record.name == "django.request" and 400 <= getattr(record, "status_code", 500) < 500
        if refused or record.name.startswith("django.security."):
            record.exc_info = record.exc_text = None
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


def hide_keys(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Leave the secret out of every address that holds one, wherever in the line it stands."""
    for name, value in line.items():
        if isinstance(value, str):
            line[name] = _KEYS.sub(r"\1[redacted]", value)
    return line


def configure_logs(*, log_format: str, level: str) -> None:
    """Send every log line, ours and the libraries', through one renderer: ``console`` or ``json``."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(StrangersFault())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, hide_keys, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def configure_traces(*, process: str, endpoint: str) -> None:
    """Export spans of this process (``web``, ``worker``, ``sweeper``) to ``endpoint``; nowhere when it is empty."""
    if not endpoint:
        return
    provider = TracerProvider(resource=Resource.create({"service.name": f"handrail-{process}"}))
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces"))
    )
    trace.set_tracer_provider(provider)
