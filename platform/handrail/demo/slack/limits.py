"""Rate limits as Slack has them, and refusals on demand, for those who must live with them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Pace:
    """So many calls a second on average, so many at once."""

    per_second: float
    burst: int


CHAT_PACE = Pace(per_second=1.0, burst=3)
"""chat.postMessage: one a second to a channel, "with allowance for short bursts"."""

METHOD_PACE = Pace(per_second=50 / 60, burst=50)
"""Tier 3, of most other methods: 50 a minute."""


@dataclass(slots=True)
class Fault:
    """What to answer instead, so many times: an HTTP status, or an error code with status 200."""

    status: int = 200
    error: str = ""
    retry_after: int = 0
    times: int = 1


@dataclass(slots=True)
class Limits:
    """Counts calls. ``clock`` is in seconds. Safe for several threads."""

    clock: Callable[[], float]
    chat: Pace = CHAT_PACE
    method: Pace = METHOD_PACE
    faults: dict[str, Fault] = field(default_factory=dict)
    _tokens: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def refuse(self, method: str, channel: str) -> int:
        """Seconds to wait before this call may be made; 0 lets it pass and counts it."""
        posts = method == "chat.postMessage"
        pace = self.chat if posts else self.method
        key = (method, channel if posts else "")
        with self._lock:
            now = self.clock()
            tokens, at = self._tokens.get(key, (float(pace.burst), now))
            tokens = min(float(pace.burst), tokens + (now - at) * pace.per_second)
            if tokens < 1.0:
                self._tokens[key] = (tokens, now)
                return max(1, round((1.0 - tokens) / pace.per_second))
            self._tokens[key] = (tokens - 1.0, now)
            return 0

    def fault(self, method: str) -> Fault | None:
        """What to answer instead of this call, if anything was ordered."""
        with self._lock:
            ordered = self.faults.get(method)
            if ordered is None or ordered.times < 1:
                return None
            ordered.times -= 1
            return ordered
