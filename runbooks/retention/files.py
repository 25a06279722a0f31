"""Files of the artifact store that no row names: left by retention, or by a process that died before its commit.

A file is never removed within a day of being written. Whoever keeps the same bytes again writes them again when they
are older than half of that, see :func:`handrail.shared.artifacts.put_file`, and commits long before they may go.
"""

from __future__ import annotations

from datetime import datetime
from itertools import islice

import structlog
from django.conf import settings
from django.db import transaction

from handrail.shared.artifacts import GRACE, Found, earliest_now, old_files, remove_old
from runbooks.retention.references import named
from runbooks.retention.telling import tell

log = structlog.get_logger(__name__)

FILES = 100


def remove_unnamed() -> int:
    """The duty: how many files it removed. Its cost grows with the store, which it lists: a few times a day will do.

    Nothing is touched where logs and artifacts are kept for ever: a copy of a database that is started beside the
    original knows less than the store holds. Raises :class:`handrail.shared.artifacts.ArtifactStoreDown`.
    """
    if not (settings.KEEP_LOGS_DAYS or settings.KEEP_ARTIFACTS_DAYS):
        return 0
    before = earliest_now() - GRACE
    waiting, removed = old_files(before), 0
    while files := list(islice(waiting, FILES)):
        removed += _batch(files, before)
    return removed


def _batch(files: list[Found], before: datetime) -> int:
    needed = named([file.digest for file in files if file.digest])
    chosen = [file for file in files if file.digest not in needed]
    if not chosen:
        return 0
    # Intent before effect: the trail says what goes before it goes.
    with transaction.atomic():
        told = {"grace_hours": GRACE.total_seconds() / 3600, "bytes": sum(file.size for file in chosen)}
        tell("files", {**told, "files": [file.name for file in chosen]})
    removed = sum(remove_old(file, before, lambda digest: bool(named([digest]))) for file in chosen)
    log.info("unnamed_files_removed", chosen=len(chosen), removed=removed)
    return removed
