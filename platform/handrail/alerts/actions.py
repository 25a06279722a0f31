"""What operators do to sources and deliveries; each authorises (``operate``) and audits in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict, Unpack

from django.db import transaction

from handrail.accounts.actions.fields import unless_taken
from handrail.accounts.models import Project, User
from handrail.accounts.permissions import Permission, authorize, holders
from handrail.accounts.secrets import digest_of
from handrail.alerts import kinds
from handrail.alerts.bodies import JsonValue
from handrail.alerts.errors import UnknownSource
from handrail.alerts.intake import PROCESS_TASK
from handrail.alerts.keys import OVERLAP, hook_url, new_key
from handrail.alerts.models import Delivery, Source
from handrail.alerts.settings import check_settings
from handrail.audit.actions import record
from handrail.letters import actions as letters
from handrail.letters.models import DeadLetter
from handrail.shared.actors import Actor
from handrail.shared.clock import database_now, now
from handrail.shared.errors import Conflict, Invalid
from handrail.shared.retention import Removed
from handrail.shared.wakeups import wake
from handrail.vault.grants import refusal

MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class SourceKey:
    """A source and its new key, which is shown this once: only its digest is kept."""

    source: Source
    key: str

    @property
    def url(self) -> str:
        """The address that the sender is given."""
        return hook_url(self.source, self.key)


class Choices(TypedDict, total=False):
    """``settings``: see :class:`handrail.alerts.settings.SourceSettings`. ``secret_reference``: of the vault."""

    settings: Mapping[str, JsonValue]
    secret_reference: str


@transaction.atomic
def create_source(
    project: Project, kind: str, name: str, *, run_as: User, actor: Actor, **choices: Unpack[Choices]
) -> SourceKey:
    """A source of alerts for the project; runs that it triggers act as the service account ``run_as``."""
    authorize(actor, Permission.OPERATE, project)
    _check_kind(kind)
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME:
        raise Invalid(f"Give the source a name of at most {MAX_NAME} characters.")
    taken = f"There is a source called {name} already: choose another name."
    if Source.objects.filter(project=project, name=name).exists():
        raise Conflict(taken)
    _check_run_as(project, run_as, actor)
    settings = dict(choices.get("settings", {}))
    check_settings(kind, settings)
    reference = _checked_reference(choices.get("secret_reference", ""), project)
    key = new_key()
    with unless_taken(taken):
        source = Source.objects.create(
            project=project,
            kind=kind,
            name=name,
            key_digest=digest_of(key),
            settings=settings,
            secret_reference=reference,
            run_as=run_as,
        )
    record(actor, "source.created", source, data={"kind": kind, "run_as": run_as.username}, after=settings)
    return SourceKey(source, key)


@transaction.atomic
def rotate_key(source: Source, *, actor: Actor) -> SourceKey:
    """A new key; the one in use stays valid for a day, the one before it ends now."""
    authorize(actor, Permission.OPERATE, source)
    row = _locked(source)
    key = new_key()
    row.previous_key_digest = row.key_digest
    row.previous_key_expires_at = now() + OVERLAP
    row.key_digest = digest_of(key)
    row.save(update_fields=["previous_key_digest", "previous_key_expires_at", "key_digest", "updated_at"])
    record(
        actor, "source.key_rotated", row, data={"old_valid_until": row.previous_key_expires_at.isoformat()}
    )
    return SourceKey(row, key)


@transaction.atomic
def end_overlap(source: Source, *, actor: Actor) -> Source:
    """Make the key before the current one invalid at once: it has leaked, or every sender has the new one."""
    authorize(actor, Permission.OPERATE, source)
    row = _locked(source)
    if not row.previous_key_digest:
        raise Conflict("Only one key of this source is valid already.")
    row.previous_key_digest, row.previous_key_expires_at = "", None
    row.save(update_fields=["previous_key_digest", "previous_key_expires_at", "updated_at"])
    record(actor, "source.old_key_ended", row)
    return row


@transaction.atomic
def update_source(source: Source, *, actor: Actor, **choices: Unpack[Choices]) -> Source:
    """Change the settings (checked with the kind's own parser) or the reference of the secret."""
    authorize(actor, Permission.OPERATE, source)
    row = _locked(source)
    before: dict[str, JsonValue] = {"settings": row.settings, "secret_reference": row.secret_reference}
    if "settings" in choices:
        settings = dict(choices["settings"])
        check_settings(row.kind, settings)
        row.settings = settings
    if "secret_reference" in choices:
        row.secret_reference = _checked_reference(choices["secret_reference"], row.project)
    row.save(update_fields=["settings", "secret_reference", "updated_at"])
    after: dict[str, JsonValue] = {"settings": row.settings, "secret_reference": row.secret_reference}
    record(actor, "source.updated", row, data={"changed": sorted(choices)}, before=before, after=after)
    return row


def disable_source(source: Source, *, actor: Actor) -> Source:
    """Refuse every delivery (HTTP 410) until it is enabled again."""
    return _switch(source, enabled=False, actor=actor)


def enable_source(source: Source, *, actor: Actor) -> Source:
    """Take deliveries again, with the same key."""
    return _switch(source, enabled=True, actor=actor)


@transaction.atomic
def retry_delivery(delivery: Delivery, *, actor: Actor) -> Delivery:
    """Read a dead letter again, for instance after its source's mapping was mended.

    Raises Conflict, and Removed when retention has taken the body of one that was discarded.
    """
    authorize(actor, Permission.OPERATE, delivery.source.project)
    dead = Delivery.objects.filter(pk=delivery.pk, verdict=Delivery.Verdict.DEAD)
    found = dead.filter(body_removed_at__isnull=False).first()
    if found is not None:
        raise Removed(f"{found.body_removed} It cannot be read again.")
    revived = dead.filter(body_removed_at__isnull=True).update(
        verdict=Delivery.Verdict.RECEIVED, attempts=0, error="", due_at=database_now()
    )
    if not revived:
        raise Conflict("This delivery is not a dead letter (any more).")
    row = Delivery.objects.select_related("source__project").get(pk=delivery.pk)
    letters.end("delivery", row.pk, DeadLetter.State.RETRIED, by=actor.name)
    wake(PROCESS_TASK, str(row.pk))
    record(actor, "delivery.retried", row, project_id=row.source.project_id)
    return row


@transaction.atomic
def _switch(source: Source, *, enabled: bool, actor: Actor) -> Source:
    authorize(actor, Permission.OPERATE, source)
    row = _locked(source)
    word = "enabled" if enabled else "disabled"
    if row.enabled is enabled:
        raise Conflict(f"{row.name} is {word} already.")
    row.enabled = enabled
    row.save(update_fields=["enabled", "updated_at"])
    record(actor, f"source.{word}", row)
    return row


def _locked(source: Source) -> Source:
    return (
        Source.objects.select_for_update(no_key=True, of=("self",))
        .select_related("project")
        .get(pk=source.pk)
    )


def _check_kind(kind: str) -> None:
    try:
        kinds.get(kind)
    except UnknownSource as error:
        raise Invalid(f"{error}.") from None


def _check_run_as(project: Project, run_as: User, actor: Actor) -> None:
    """A source must not lend its operator more than an admin would: only a responder's service account."""
    if run_as.kind != User.Kind.SERVICE or not run_as.is_active:
        raise Invalid("Runs of a source act as a service account: choose an active one of this project.")
    if not holders(project, Permission.RESPOND).filter(pk=run_as.pk).exists():
        raise Invalid(f"{run_as.username} may not start runs here: give it the role responder first.")
    for permission in (Permission.PUBLISH, Permission.ADMINISTER, Permission.APPROVE):
        if holders(project, permission).filter(pk=run_as.pk).exists():
            authorize(actor, Permission.ADMINISTER, project)


def _checked_reference(text: str, project: Project) -> str:
    """The reference of a source's secret, empty for none; Invalid when the project may not read it."""
    reference = text.strip()
    wrong = refusal(reference, project.slug) if reference else ""
    if wrong:
        raise Invalid(wrong)
    return reference
