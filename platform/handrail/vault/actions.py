"""Setting, deleting and re-encrypting local secrets: recorded by name, never by value."""

from __future__ import annotations

import re

from django.db import transaction

from handrail.accounts.models import Project
from handrail.accounts.permissions import Permission, authorize
from handrail.audit.actions import AuditObject, record
from handrail.shared.actors import Actor
from handrail.shared.errors import Invalid, NotFound
from handrail.vault import keys
from handrail.vault.models import Secret
from handrail.vault.redaction import MINIMUM_LENGTH

LONGEST = 64 * 1024
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._/-]{0,98}[a-z0-9])?\Z")


@transaction.atomic
def set_secret(project: Project, name: str, value: str, *, actor: Actor) -> Secret:
    """Create or replace ``local:name``. Needs operate. Invalid when it could not be kept out of logs."""
    authorize(actor, Permission.OPERATE, project)
    if not _NAME.match(name):
        raise Invalid("A secret's name is lower-case letters, digits, `.`, `_`, `/` and `-`, at most 100.")
    if len(value.strip()) < MINIMUM_LENGTH:
        raise Invalid(
            f"A secret has at least {MINIMUM_LENGTH} characters: a shorter one could not be kept out of logs."
        )
    if len(value) > LONGEST:
        raise Invalid(f"A secret has at most {LONGEST} characters.")
    secret, created = Secret.objects.update_or_create(
        project=project, name=name, defaults={"ciphertext": keys.encrypt(value)}
    )
    record(actor, "secret.created" if created else "secret.replaced", secret)
    return secret


@transaction.atomic
def delete_secret(project: Project, name: str, *, actor: Actor) -> None:
    """Delete ``local:name``. Needs operate; NotFound when there is none."""
    authorize(actor, Permission.OPERATE, project)
    secret = Secret.objects.select_for_update().filter(project=project, name=name).first()
    if secret is None:
        raise NotFound(f"The project {project.slug} has no secret local:{name}.")
    record(actor, "secret.deleted", secret)
    secret.delete()


@transaction.atomic
def rotate_keys(*, actor: Actor) -> int:
    """Encrypt every secret again with the newest key; how many. Needs the installation's owner.

    Afterwards the older keys can be taken out of ``HANDRAIL_VAULT_KEYS``.
    """
    authorize(actor, Permission.OWN, None)
    rotated = 0
    for secret in Secret.objects.select_for_update().order_by("pk"):
        try:
            secret.ciphertext = keys.rotate(bytes(secret.ciphertext))
        except keys.CannotDecrypt as error:
            raise Invalid(f"The secret {secret.name} was not rotated, nothing was: {error}") from None
        secret.save(update_fields=["ciphertext", "updated_at"])
        rotated += 1
    record(actor, "vault.rotated", AuditObject("vault", "vault"), data={"secrets": rotated})
    return rotated
