"""What a connection to an SMTP server says."""

from __future__ import annotations

import re

from handrail.catalog.kinds import CERTIFICATE_AUTHORITY, ConnectionKind, Option, flag, text, texts
from handrail.catalog.models import Connection

NAME = "smtp"
_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?\Z"
)


def is_address(words: str) -> bool:
    """Whether it is a plain address: no name, no comment, nothing that another program reads otherwise."""
    return bool(_ADDRESS.match(words)) and ".." not in words


KIND = ConnectionKind(
    name=NAME,
    title="An SMTP server",
    schemes=("smtp", "smtps"),
    authentications=(Connection.Authentication.NONE, Connection.Authentication.BASIC),
    credential="`user:password`",
    options={
        "from": Option(text("an address", is_address), "Who the mail is from.", required=True),
        "recipients": Option(
            texts(
                "an address, or a domain such as @example.com",
                lambda one: is_address(one) or (one.startswith("@") and is_address("x" + one)),
            ),
            "Who may be written to: addresses, and domains such as `@example.com`.",
            required=True,
        ),
        "plain": Option(
            flag,
            "`true` speaks to an `smtp://` server without TLS and without a password: for a relay nearby.",
        ),
        "certificate_authority": CERTIFICATE_AUTHORITY,
    },
)


def may_receive(connection: Connection, address: str) -> bool:
    """Whether the connection allows this recipient."""
    domain = "@" + address.rpartition("@")[2]
    allowed = {str(one).lower() for one in connection.options["recipients"]}
    return address.lower() in allowed or domain.lower() in allowed
