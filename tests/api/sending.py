"""Sends JSON as a script would."""

from __future__ import annotations

import json
from typing import Any

from django.test import Client


def send(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Any:
    """The answer to JSON sent to an address below /api/v1/; ``If_Match`` is sent as If-Match."""
    text = body if isinstance(body, str) else json.dumps({} if body is None else body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.generic(method, f"/api/v1/{path}", text, content_type="application/json", headers=named)
