"""Secret references: ``env:``, ``file:`` and ``local:`` names resolved to values, at the moment of use."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from handrail.accounts.models import Project
from handrail.shared.errors import HandrailError
from handrail.vault import keys
from handrail.vault.grants import refusal
from handrail.vault.models import Secret
from handrail.vault.redaction import MINIMUM_LENGTH

LARGEST_FILE = 64 * 1024


class SecretNotFound(HandrailError):
    """The reference leads to no value that can be used."""

    code = "secret_not_found"
    status = 422


class SecretRefused(SecretNotFound):
    """The project may not read what the reference leads to."""

    code = "secret_refused"


def resolve(reference: str, project: Project) -> str:
    """The value behind ``env:NAME``, ``file:relative/path`` or ``local:name``, or :class:`SecretNotFound`.

    Asks the grants again, whoever asked them before: they are what they are at the moment of use. A trailing line
    break of a file is not part of the value. Values that the redactor could not hide (shorter than four characters)
    are refused.
    """
    wrong = refusal(reference, project.slug)
    if wrong:
        raise SecretRefused(wrong)
    scheme, _, name = reference.partition(":")
    if scheme == "env":
        value = _from_environment(name)
    elif scheme == "file":
        value = _from_file(name)
    else:
        value = _from_database(name, project)
    if len(value.strip()) < MINIMUM_LENGTH:
        raise SecretNotFound(
            f"The secret {reference} is shorter than {MINIMUM_LENGTH} characters: it could not be kept out of logs."
        )
    return value


def resolvable(references: Iterable[str], project: Project) -> Iterator[str]:
    """The values of those that can be read now; nobody is told of the others."""
    for reference in references:
        with suppress(SecretNotFound):
            yield resolve(reference, project)


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise SecretNotFound(f"The environment variable {name} is not set on this worker.")
    return value


def _from_file(name: str) -> str:
    """Below ``HANDRAIL_VAULT_FILES`` only; links are followed first and judged by where they lead."""
    folder: str = settings.VAULT_FILES
    if not folder:
        raise SecretNotFound("file: references need HANDRAIL_VAULT_FILES, the folder of secret files.")
    root = Path(folder).resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise SecretNotFound(f"file:{name} leads out of the folder of secret files.")
    try:
        with path.open("rb") as opened:
            raw = opened.read(LARGEST_FILE + 1)
        value = raw.decode("utf-8")
    except OSError as error:
        raise SecretNotFound(f"file:{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise SecretNotFound(f"file:{name} is not UTF-8 text.") from None
    if len(raw) > LARGEST_FILE:
        raise SecretNotFound(f"file:{name} is larger than {LARGEST_FILE} bytes.")
    return value.removesuffix("\n").removesuffix("\r")


def _from_database(name: str, project: Project) -> str:
    secret = Secret.objects.filter(project=project, name=name).first()
    if secret is None:
        raise SecretNotFound(_not_set(name, project))
    try:
        return keys.decrypt(bytes(secret.ciphertext))
    except (keys.CannotDecrypt, keys.BadKeys) as error:
        raise SecretNotFound(f"local:{name} cannot be decrypted: {error}") from None


def missing_locals(references: Iterable[str], project: Project) -> list[str]:
    """In words which ``local:`` secrets of these references the project does not have; one query at most."""
    named = {name for scheme, _, name in (text.partition(":") for text in references) if scheme == "local"}
    if not named:
        return []
    known = set(Secret.objects.filter(project=project, name__in=named).values_list("name", flat=True))
    return [_not_set(name, project) for name in sorted(named - known)]


def _not_set(name: str, project: Project) -> str:
    return (
        f"The project {project.slug} has no secret local:{name}. An operator sets it with "
        f"`handrail secret set {project.slug} {name} --as USER`."
    )
