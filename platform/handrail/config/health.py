"""Is it alive, is it ready: for load balancers and probes."""

from __future__ import annotations

import shutil

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_safe

LEAST_FREE_BYTES = 100 * 1024 * 1024
"""Below this much free disk the machine is not ready: a full disk loses the next commit."""


@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as this process answers."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers, no migration is missing and the disk has room; else 503 and the reasons."""
    problems = [problem for problem in (_database(), _disk()) if problem]
    return JsonResponse(
        {"status": "ready" if not problems else "not ready", "problems": problems},
        status=503 if problems else 200,
    )


def _database() -> str | None:
    try:
        executor = MigrationExecutor(connection)
        missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return "the database does not answer"
    return f"{len(missing)} migrations are missing: run `handrail manage migrate`" if missing else None


def _disk() -> str | None:
    if not settings.HOME.is_dir():
        return None
    free = shutil.disk_usage(settings.HOME).free
    return f"only {free // 1024**2} MiB of disk are free" if free < LEAST_FREE_BYTES else None
