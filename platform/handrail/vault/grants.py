"""Which project may read which of the installation's own secrets: nobody's project owns a variable or a file.

``env:`` and ``file:`` lead to what whoever runs the installation put there, so they say who may read it, in
``HANDRAIL_VAULT_GRANTS``; a ``local:`` secret belongs to its project already.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.conf import settings

ENV_PREFIX = "HANDRAIL_SECRET_"
"""Only these variables: a reference must never reach the database's password or another process's token."""

SETTING = "HANDRAIL_VAULT_GRANTS"

_VARIABLE = re.compile(rf"{ENV_PREFIX}[A-Za-z0-9_]+")
_FORM = "A secret reference looks like local:name, env:NAME or file:relative/path."


@dataclass(frozen=True, slots=True)
class Grant:
    """``project`` may read ``reference``, or all that begins with it."""

    project: str
    reference: str
    and_longer: bool

    def covers(self, reference: str) -> bool:
        """Whether this grant allows the reference."""
        return reference == self.reference or (self.and_longer and reference.startswith(self.reference))


def grants() -> list[Grant]:
    """Those of the setting: ``payments=env:HANDRAIL_SECRET_DNS_*``, a ``*`` at the end standing for any rest."""
    return [_read(text) for text in settings.VAULT_GRANTS]


def refusal(reference: str, project: str) -> str:
    """Why the project with this slug may not read the reference, and what to do; empty when it may.

    Says nothing of whether there is a value.
    """
    scheme, colon, name = reference.partition(":")
    if not (colon and name):
        return _FORM
    if scheme == "local":
        return ""
    if scheme == "env":
        wrong = "" if _VARIABLE.fullmatch(name) else _not_a_variable(name)
    elif scheme == "file":
        wrong = (
            ""
            if _is_plain(name)
            else "A file: reference is a relative path without `.`, `..` or empty parts."
        )
    else:
        wrong = f"The secret reference {scheme}: is not known here. Use local:, env: or file:."
    if wrong:
        return wrong
    if any(grant.project == project and grant.covers(reference) for grant in grants()):
        return ""
    return (
        f"The project {project} may not read {reference}. Whoever runs this installation allows it by adding "
        f"{project}={reference} to {SETTING}, for the web and for the workers; or an operator of the project "
        "keeps the value as a local: secret."
    )


def _read(text: str) -> Grant:
    project, _, reference = text.partition("=")
    return Grant(project.strip(), reference.strip().removesuffix("*"), reference.rstrip().endswith("*"))


def _not_a_variable(name: str) -> str:
    return f"env:{name[:100]}: only variables that begin with {ENV_PREFIX} are secrets, so that nothing else leaks."


def _is_plain(name: str) -> bool:
    """Whether the path says where it leads: a grant is compared with it as a text."""
    return "\0" not in name and all(part not in ("", ".", "..") for part in name.split("/"))
