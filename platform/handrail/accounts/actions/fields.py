"""What names, slugs and passwords must look like, said so that the person who typed them can mend it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from handrail.accounts.models import User
from handrail.shared.errors import Conflict, Invalid


def check(row: models.Model, *fields: str) -> None:
    """Raise Invalid with the first problem of these fields of a row that is about to be written."""
    others = {field.name for field in row._meta.fields} - set(fields)
    try:
        row.clean_fields(exclude=others)
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        problems = [{"field": name, "messages": texts} for name, texts in error.message_dict.items()]
        raise Invalid(f"{field}: {' '.join(messages)}", problems=problems) from error


def check_password(password: str, user: User) -> None:
    """Raise Invalid when a new password is too easy to guess."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(
            " ".join(error.messages), problems=[{"field": "password", "messages": error.messages}]
        ) from error


@contextmanager
def unless_taken(message: str) -> Iterator[None]:
    """Insert within this: who found the name free, and comes second all the same, gets Conflict with ``message``."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise Conflict(message) from error
