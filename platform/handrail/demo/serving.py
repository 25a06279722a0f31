"""The server under the fakes: a thread a request, and no word about a reader who went away."""

from __future__ import annotations

import sys
from http.server import ThreadingHTTPServer
from typing import Any


class PatientServer(ThreadingHTTPServer):
    """Closing a page in the middle of an answer is what people do: it is nothing to print a traceback for."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong, unless the other side just left."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)
