"""What a connection to a Kubernetes cluster says."""

from __future__ import annotations

import re

from handrail.catalog.kinds import CERTIFICATE_AUTHORITY, ConnectionKind, Option, texts
from handrail.catalog.models import Connection

NAME = "kubernetes"
EVERY = "*"
GET = "get"
VERBS = ("scale", "restart", "patch", "cronjob", "job", "cordon", "drain")
"""What a connection may allow beside reading."""

_NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")

KIND = ConnectionKind(
    name=NAME,
    title="A Kubernetes cluster",
    schemes=("https",),
    authentications=(Connection.Authentication.BEARER,),
    credential="a service account's token",
    options={
        "namespaces": Option(
            texts(f"a namespace, or {EVERY!r}", lambda name: name == EVERY or _NAMESPACE.match(name)),
            "The namespaces that may be read and acted in; `*` allows all.",
            required=True,
        ),
        "verbs": Option(
            texts(f"one of {', '.join(VERBS)}", lambda verb: verb in VERBS),
            "What may be done beside reading. `cordon` and `drain` concern whole nodes, in all namespaces.",
        ),
        "certificate_authority": CERTIFICATE_AUTHORITY,
    },
)
