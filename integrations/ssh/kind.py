"""What a connection to an SSH host says."""

from __future__ import annotations

import base64
import binascii
import re

from handrail.catalog.kinds import ConnectionKind, Option, text, texts
from handrail.catalog.models import Connection

NAME = "ssh"
EVERY = "*"
KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
)
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\Z")


def _is_host_key(line: str) -> bool:
    """Whether it is a public key in OpenSSH's form: the type, and its blob, which names the type again."""
    kind, _, rest = line.partition(" ")
    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
    except (binascii.Error, ValueError):
        return False
    return kind in KEY_TYPES and blob[4 : 4 + len(kind)] == kind.encode() and "\n" not in line


KIND = ConnectionKind(
    name=NAME,
    title="An SSH host",
    schemes=("ssh",),
    authentications=(Connection.Authentication.KEY,),
    credential="a private key in OpenSSH's or PEM form, without a passphrase",
    options={
        "user": Option(
            text("the name of an account, such as handrail", _USER.match), "Who logs in.", required=True
        ),
        "host_keys": Option(
            texts(
                "a line such as `ssh-ed25519 AAAA...`, as `ssh-keyscan` prints it without the host",
                _is_host_key,
            ),
            "The host's public keys: no other host is talked to.",
            required=True,
        ),
        "programs": Option(
            texts(f"a program as runbooks name it, or {EVERY!r}"),
            "The programs that may be run, exactly as `argv[0]` is written; `*` allows all. "
            "Scripts need `/bin/sh`, which can run anything.",
            required=True,
        ),
    },
)
