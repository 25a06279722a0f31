"""How many requests one token (or signed-in person) may send, told in every answer's headers."""

from __future__ import annotations

import math

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView


class PerCaller(SimpleRateThrottle):
    """A sliding window for each token, person or address; counted by each web process for itself."""

    scope = "api"
    num_requests: int | None
    duration: int | None

    def get_rate(self) -> str:
        """Such as ``1200/min``."""
        rate: str = settings.API_RATE
        return rate

    def get_cache_key(self, request: Request, view: APIView) -> str:
        """Whose window it is."""
        for kind, row in (("token", request.auth), ("user", request.user)):
            identifier = getattr(row, "pk", None)
            if identifier is not None:
                return f"api-rate:{kind}:{identifier}"
        return f"api-rate:address:{self.get_ident(request)}"

    def headers(self) -> dict[str, str]:
        """``RateLimit-Policy`` and ``RateLimit`` (IETF draft); empty before the question was asked."""
        history = getattr(self, "history", None)
        if history is None or self.duration is None or self.num_requests is None:
            return {}
        left = max(0, self.num_requests - len(history))
        reset = math.ceil(self.duration - (self.now - history[-1])) if history else self.duration
        return {
            "RateLimit-Policy": f'"default";q={self.num_requests};w={self.duration}',
            "RateLimit": f'"default";r={left};t={max(0, int(reset))}',
        }
