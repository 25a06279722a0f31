"""Django's ``changepassword`` with an entry in the audit trail: a password that another sets opens an account."""

from __future__ import annotations

import getpass
from typing import Any

from django.contrib.auth.management.commands import changepassword
from django.db import transaction

from handrail.accounts.actors import CONSOLE
from handrail.accounts.models import User
from handrail.audit.actions import record


class Command(changepassword.Command):
    """Set a person's password from the terminal."""

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> str | None:
        """Ask for it twice, set it, record it; CommandError for an account that there is not."""
        said = super().handle(*args, **options)
        username = options["username"] or getpass.getuser()
        record(CONSOLE, "password.changed", User.objects.get(username=username))
        return said
