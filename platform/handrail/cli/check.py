"""`handrail check`: what is wrong with this installation, and how to mend it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click

from handrail.cli import set_up_django
from handrail.config.environment import is_loopback, problems, read


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``level`` is ``ok``, ``warning`` or ``error``; ``mend`` says what to do."""

    about: str
    level: str
    found: str
    mend: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a finding.")
def check(as_json: bool) -> None:
    """Look at settings, database, broker, workers and Slack. Exit status 1 when something is wrong."""
    wrong = problems()
    if wrong:
        # Nothing else can be looked at: the settings cannot even be read.
        findings = [Finding("settings", "error", words, "see docs/reference/settings.md") for words in wrong]
    else:
        set_up_django()
        findings = list(look())
    for finding in findings:
        if as_json:
            click.echo(json.dumps(asdict(finding)))
            continue
        sign = {"ok": click.style("ok     ", fg="green"), "warning": click.style("warning", fg="yellow")}.get(
            finding.level, click.style("error  ", fg="red")
        )
        click.echo(f"{sign}  {finding.about}: {finding.found}")
        if finding.mend:
            click.echo(f"         -> {finding.mend}")
    sys.exit(1 if any(finding.level == "error" for finding in findings) else 0)


def look() -> Iterator[Finding]:
    """Every finding, in the order in which a person would mend them."""
    yield from _settings()
    yield from _vault()
    yield from _home()
    yield from _artifacts()
    database = list(_database())
    yield from database
    yield from _broker()
    if all(finding.level != "error" for finding in database):
        yield from _processes()
        yield from _people()
        yield from _secrets()
    yield from _slack()
    yield from _machine()


def _settings() -> Iterator[Finding]:
    from django.conf import settings

    from handrail.config.environment import unknown_settings
    from handrail.config.settings import INSECURE_KEY

    for name in unknown_settings():
        yield Finding(
            "settings",
            "warning",
            f"{name} is set, but no setting bears that name",
            "see docs/reference/settings.md; it may be misspelt",
        )
    if settings.SECRET_KEY == INSECURE_KEY:
        yield Finding(
            "session key",
            "error",
            "there is none: sessions could be forged",
            "set HANDRAIL_SESSION_KEY to 50 random characters, or run `handrail up` once, which makes one",
        )
    elif len(settings.SECRET_KEY) < 32:
        yield Finding(
            "session key",
            "error",
            f"it has only {len(settings.SECRET_KEY)} characters",
            "set HANDRAIL_SESSION_KEY to at least 50 random characters",
        )
    else:
        yield Finding("session key", "ok", "is set")
    yield from _reach()


def _vault() -> Iterator[Finding]:
    """Keys that are none, and a folder that is not there: else the first run that needs a secret finds out."""
    from django.conf import settings

    from handrail.vault.keys import refusal

    wrong = refusal()
    if wrong:
        yield Finding(
            "vault keys",
            "error",
            wrong,
            "see docs/reference/secrets.md: without them no local: secret is read",
        )
    if settings.VAULT_FILES and not Path(settings.VAULT_FILES).is_dir():
        yield Finding(
            "vault files",
            "error",
            f"the folder {settings.VAULT_FILES} is not there, or not to be read",
            "mount it, or unset HANDRAIL_VAULT_FILES if no secret is named file:",
        )


def _reach() -> Iterator[Finding]:
    """What is wrong with where people, and strangers, reach the web."""
    from django.conf import settings

    bound, told = read("HANDRAIL_BIND").rpartition(":")[0].strip("[]"), read("HANDRAIL_BASE_URL")
    host = urlsplit(settings.BASE_URL).hostname or ""
    if settings.DEBUG and not (is_loopback(host) and is_loopback(bound)):
        yield Finding(
            "debug",
            "error",
            f"HANDRAIL_DEBUG is on while people come from {bound if is_loopback(host) else host}",
            "unset HANDRAIL_DEBUG: tracebacks show what nobody should see",
        )
    if not is_loopback(host) and urlsplit(settings.BASE_URL).scheme != "https":
        yield Finding(
            "base address",
            "error",
            f"{settings.BASE_URL} is not https",
            "put TLS in front and set HANDRAIL_BASE_URL to the https address",
        )
    elif not is_loopback(bound) and not told:
        yield Finding(
            "base address",
            "warning",
            f"the web listens on {bound}, but links in Slack and e-mail lead to {settings.BASE_URL}",
            "set HANDRAIL_BASE_URL to the https address that people use",
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield Finding(
            "host names",
            "warning",
            "HANDRAIL_ALLOWED_HOSTS is *: a page can be asked for under any name",
            "list the names that people use",
        )


def _database() -> Iterator[Finding]:
    from django.db import DatabaseError, connection
    from django.db.migrations.executor import MigrationExecutor

    if _is_to_be_made():
        # Opening it would create it, and this command only looks.
        yield Finding("database", "error", "there is none yet", "run `handrail manage migrate`")
        return
    silent = _no_answer()
    if silent is None:
        try:
            executor = MigrationExecutor(connection)
            missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        except DatabaseError as error:
            silent = str(error)
    if silent is not None:
        yield Finding(
            "database",
            "error",
            f"it does not answer: {silent.strip().splitlines()[0]}",
            "check HANDRAIL_DATABASE_URL, and that the server runs and lets this machine in",
        )
        return
    if missing:
        yield Finding(
            "database", "error", f"{len(missing)} migrations are missing", "run `handrail manage migrate`"
        )
    else:
        yield Finding("database", "ok", f"{connection.vendor} answers and is up to date")
    yield from _durability()


def _is_to_be_made() -> bool:
    """Whether the database is a file that nobody has made."""
    from django.conf import settings

    database = settings.DATABASES["default"]
    return database["ENGINE"].endswith("sqlite3") and not Path(database["NAME"]).is_file()


def _no_answer() -> str | None:
    """Why PostgreSQL does not let us in, in its own words; its pool would only say that it waited in vain."""
    import psycopg

    url = read("HANDRAIL_DATABASE_URL")
    if not url.startswith("postgres"):
        return None
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.Error as error:
        return str(error)
    return None


def _durability() -> Iterator[Finding]:
    from django.db import connection

    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SHOW synchronous_commit")
            value = cursor.fetchone()[0]
            if value == "off":
                yield Finding(
                    "durability",
                    "error",
                    "synchronous_commit is off: a crash could forget finished steps",
                    "set synchronous_commit = on for this database or role",
                )
            cursor.execute("SHOW server_version_num")
            if int(cursor.fetchone()[0]) < 140_000:
                yield Finding("database", "error", "PostgreSQL is older than 14", "upgrade the server")
        else:
            cursor.execute("PRAGMA journal_mode")
            if cursor.fetchone()[0] != "wal":
                yield Finding(
                    "durability",
                    "error",
                    "SQLite is not in WAL mode",
                    "put HANDRAIL_HOME on a local disk: network folders cannot do it",
                )


def _broker() -> Iterator[Finding]:
    from django.conf import settings
    from kombu.exceptions import OperationalError

    from handrail.config.celery import app

    kind, _, folder, *_ = urlsplit(settings.BROKER_URL)
    if kind == "filesystem" and not Path(unquote(folder)).is_dir():
        yield Finding("broker", "ok", "its folder is made by the first process that starts")
        return
    try:
        with app.connection_for_write() as link:
            link.ensure_connection(max_retries=1, timeout=3)
    except (OperationalError, OSError, ValueError) as error:
        yield Finding(
            "broker",
            "error",
            f"{kind} does not answer: {error}",
            "check HANDRAIL_BROKER_URL; until it is back, workers poll the database and nothing is lost",
        )
        return
    yield Finding("broker", "ok", f"{kind} answers")


def _processes() -> Iterator[Finding]:
    from handrail.shared.clock import database_now
    from runbooks.models import Worker

    spoke_lately = database_now() - timedelta(seconds=60)
    alive = list(Worker.objects.filter(heartbeat_at__gt=spoke_lately, stopped_at=None))
    for kind, command in (("worker", "handrail worker"), ("sweeper", "handrail sweeper")):
        count = sum(1 for worker in alive if worker.kind == kind)
        if count:
            yield Finding(f"{kind}s", "ok", f"{count} alive")
        else:
            yield Finding(f"{kind}s", "warning", "none has spoken for a minute", f"start `{command}`")
    yield from _pools()


def _pools() -> Iterator[Finding]:
    """Pools that somebody added, or for which steps wait, and that no worker serves; versions side by side."""
    from runbooks.queries.workers import living, pool_views

    for pool in pool_views():
        if pool.words and (pool.ready or pool.name != "default"):
            yield Finding(f"pool {pool.name}", "warning", *_split(pool.words))
    found = sorted({str(row.versions.get("handrail", "an older one")) for row in living()})
    if len(found) > 1:
        yield Finding(
            "versions",
            "warning",
            f"workers of several versions of Handrail are alive: {', '.join(found)}",
            "fine during an upgrade; end it as docs/how-to/upgrade.md says",
        )


def _split(words: str) -> tuple[str, str]:
    """What is found, and what to do about it."""
    found, _, mend = words.rpartition(". ")
    return found, mend


def _people() -> Iterator[Finding]:
    from handrail.accounts.models import User

    owners = User.objects.filter(is_owner=True, is_active=True).count()
    if owners:
        yield Finding("owners", "ok", f"{owners}")
    else:
        yield Finding(
            "owners", "error", "nobody owns this installation", "run `handrail owner`, which prints a link"
        )


def _secrets() -> Iterator[Finding]:
    """What names a secret of the installation that its project may not read, and grants that no project has."""
    from handrail.accounts.models import Project
    from handrail.vault.grants import SETTING, grants

    slugs = set(Project.objects.values_list("slug", flat=True))
    for slug in sorted({grant.project for grant in grants()} - slugs):
        yield Finding(
            "secrets",
            "warning",
            f"{SETTING} names the project {slug}, which does not exist",
            "it may be misspelt: a grant names the project's slug",
        )
    for who, wrong in _refused_secrets():
        found, _, mend = wrong.partition(". ")
        yield Finding("secrets", "error", f"{who}: {found}", mend)


def _refused_secrets() -> Iterator[tuple[str, str]]:
    from handrail.alerts.models import Source
    from handrail.catalog.models import Connection
    from handrail.shared.errors import HandrailError
    from handrail.vault.grants import refusal
    from runbooks import secret_names
    from runbooks.models import Runbook
    from runbooks.versions import definition_of

    for model in (Connection, Source):
        for row in model.objects.exclude(secret_reference="").select_related("project"):
            wrong = refusal(row.secret_reference, row.project.slug)
            if wrong:
                yield f"{model._meta.verbose_name} {row.name}", wrong
    live = Runbook.objects.filter(live__isnull=False, archived_at=None).select_related("live", "project")
    for runbook in live:
        # What this machine cannot read, another one runs.
        with suppress(HandrailError):
            definition = definition_of(runbook.live) if runbook.live is not None else None
            for name, wrong in secret_names.refusals(definition, runbook.project) if definition else ():
                yield f"runbook {runbook.slug}, secrets.{name}", wrong


def _slack() -> Iterator[Finding]:
    from django.conf import settings

    if not settings.SLACK_BOT_TOKEN:
        yield Finding("Slack", "ok", "not set up (everything works without it)")
    elif not settings.SLACK_SIGNING_SECRET:
        yield Finding(
            "Slack",
            "error",
            "there is a bot token but no signing secret: buttons would be refused",
            "set HANDRAIL_SLACK_SIGNING_SECRET to the app's signing secret",
        )
    else:
        yield Finding("Slack", "ok", "is set up", "`handrail slack check` asks Slack itself")


def _machine() -> Iterator[Finding]:
    if os.geteuid() == 0:
        yield Finding(
            "user",
            "warning",
            "this runs as root",
            "give Handrail a user of its own, as deploy/README.md shows: a shell step may do what that user may",
        )


def _home() -> Iterator[Finding]:
    from django.conf import settings

    home = Path(settings.HOME)
    if not home.is_dir():
        yield Finding(
            "home folder",
            "error",
            f"{home} is not there",
            f"mkdir -m 700 {home}, owned by the user that runs Handrail, or set HANDRAIL_HOME to another folder",
        )
    elif not os.access(home, os.W_OK | os.X_OK):
        yield Finding(
            "home folder",
            "error",
            f"this user may not write to {home}",
            "chown it to the user that runs Handrail, or set HANDRAIL_HOME to another folder",
        )
    elif home.stat().st_mode & 0o007:
        yield Finding(
            "home folder", "warning", f"others on this machine can read {home}", f"chmod 700 {home}"
        )


def _artifacts() -> Iterator[Finding]:
    """Whether what is too large for a row can be kept and read back."""
    from django.conf import settings

    from handrail.shared.artifacts import ArtifactMissing, probe

    folder = Path(settings.ARTIFACT_STORAGE)
    if not settings.ARTIFACT_STORAGE.startswith("s3://") and not folder.is_dir():
        if Path(settings.HOME) not in folder.parents:  # there, the first large value makes it
            yield Finding(
                "artifacts",
                "error",
                f"the folder {folder} is not there",
                f"mount it, or mkdir -m 700 {folder}, owned by the user that runs Handrail",
            )
        return
    try:
        yield Finding("artifacts", "ok", f"{probe()} keeps what it is given")
    except (ArtifactMissing, OSError) as error:
        yield Finding(
            "artifacts",
            "error",
            f"large values cannot be kept: {error}",
            "see docs/how-to/keep-artifacts-in-a-bucket.md, or unset HANDRAIL_ARTIFACT_STORAGE on every machine",
        )
