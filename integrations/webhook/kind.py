"""What a connection to a receiver of webhooks says."""

from __future__ import annotations

from handrail.catalog.kinds import CERTIFICATE_AUTHORITY, ConnectionKind
from handrail.catalog.models import Connection

NAME = "webhook"

KIND = ConnectionKind(
    name=NAME,
    title="A receiver of signed webhooks",
    schemes=("https", "http"),
    authentications=(Connection.Authentication.SIGNATURE,),
    credential="the key that both sides know: `whsec_` and base64, or any text of 16 characters or more",
    options={"certificate_authority": CERTIFICATE_AUTHORITY},
)
