"""A small production to protect: a service that fails, its Prometheus, load balancer, deploy list and database.

Speaks the real wire formats over a real socket, so that the sample runbook drives it like anything else. Every
effect is written to a ledger with its Idempotency-Key; a repeated key changes nothing and gets the first answer.
"""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from handrail.demo.serving import PatientServer

HEALTHY_RATIO = 0.001
FAILING_RATIO = 0.084

_SERVICE_LABEL = re.compile(r"""service\s*=\s*["']([a-z0-9-]+)["']""")


@dataclass(slots=True)
class Production:
    """The state of the sample production. Safe for use by several threads."""

    failing: set[str] = field(default_factory=set)
    weights: dict[tuple[str, str], int] = field(default_factory=dict)
    ledger: list[dict[str, object]] = field(default_factory=list)
    answers: dict[str, dict[str, object]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def error_ratio(self, service: str) -> float:
        """The share of the service's requests that fail now."""
        with self.lock:
            return FAILING_RATIO if service in self.failing else HEALTHY_RATIO

    def effect(self, name: str, key: str, change: dict[str, object]) -> dict[str, object]:
        """Apply ``change`` (``weight`` of a service and region, or a ``failover``) once per Idempotency-Key."""
        with self.lock:
            if key and key in self.answers:
                return self.answers[key]
            answer = self._apply(change)
            self.ledger.append({"effect": name, "key": key, "at": time.time(), **change})
            if key:
                self.answers[key] = answer
            return answer

    def _apply(self, change: dict[str, object]) -> dict[str, object]:
        service, region = str(change["service"]), str(change["region"])
        if "weight" in change:
            previous = self.weights.get((service, region), 100)
            self.weights[(service, region)] = int(str(change["weight"]))
            return {"service": service, "region": region, "weight": change["weight"], "previous": previous}
        self.failing.discard(service)
        return {"formation": service, "region": region, "primary": f"{service}-db-2", "seconds": 1.4}


class ProductionHandler(BaseHTTPRequestHandler):
    """The HTTP face of one :class:`Production`."""

    production: Production
    server_version = "SampleProduction/1"
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Reads: Prometheus queries, weights, deploys, the ledger."""
        url = urlsplit(self.path)
        parameters = {name: values[0] for name, values in parse_qs(url.query).items()}
        parts = url.path.strip("/").split("/")
        if url.path == "/prometheus/api/v1/query":
            self._answer(200, self._query(parameters.get("query", "")))
        elif parts[:2] == ["traffic", "weights"] and len(parts) == 4:
            weight = self.production.weights.get((parts[2], parts[3]), 100)
            self._answer(200, {"service": parts[2], "region": parts[3], "weight": weight})
        elif url.path == "/deploys/deploys":
            service = parameters.get("service", "")
            self._answer(
                200,
                {"deploys": [{"service": service, "version": "2026.11.3", "by": "lin", "minutes_ago": 94}]},
            )
        elif url.path == "/control/state":
            with self.production.lock:
                state = {"failing": sorted(self.production.failing), "ledger": list(self.production.ledger)}
            self._answer(200, state)
        else:
            self._answer(404, {"error": f"nothing is served at {url.path}"})

    def do_PUT(self) -> None:
        """Weights of the load balancer."""
        parts = urlsplit(self.path).path.strip("/").split("/")
        body = self._body()
        weight = body.get("weight")
        if parts[:2] != ["traffic", "weights"] or len(parts) != 4:
            self._answer(404, {"error": "weights are at /traffic/weights/<service>/<region>"})
        elif not isinstance(weight, int) or not 0 <= weight <= 100:
            self._answer(422, {"error": "weight must be a whole number from 0 to 100"})
        else:
            change: dict[str, object] = {"service": parts[2], "region": parts[3], "weight": weight}
            self._answer(200, self.production.effect("traffic.weight", self._key(), change))

    def do_POST(self) -> None:
        """The database's failover, and the switch that breaks the sample service."""
        path = urlsplit(self.path).path
        body = self._body()
        if path == "/database/failover":
            change: dict[str, object] = {
                "service": body.get("formation", ""),
                "region": body.get("region", ""),
            }
            self._answer(200, self.production.effect("database.failover", self._key(), change))
        elif path == "/control/break":
            with self.production.lock:
                self.production.failing.add(str(body.get("service", "checkout")))
            self._answer(200, {"failing": sorted(self.production.failing)})
        else:
            self._answer(404, {"error": f"nothing is served at {path}"})

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Silence: Handrail's own log tells what was called."""

    def _query(self, query: str) -> dict[str, object]:
        found = _SERVICE_LABEL.search(query)
        service = found.group(1) if found else "checkout"
        ratio = self.production.error_ratio(service)
        sample = {"metric": {"service": service}, "value": [time.time(), f"{ratio:g}"]}
        return {"status": "success", "data": {"resultType": "vector", "result": [sample]}}

    def _key(self) -> str:
        return self.headers.get("Idempotency-Key", "")

    def _body(self) -> dict[str, object]:
        length = min(int(self.headers.get("Content-Length") or 0), 65_536)
        try:
            body = json.loads(self.rfile.read(length) or b"{}")
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    def _answer(self, status: int, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def make_server(host: str, port: int, production: Production | None = None) -> ThreadingHTTPServer:
    """A server of a production; port 0 takes a free one. Call ``serve_forever`` on it."""
    handler = type("Handler", (ProductionHandler,), {"production": production or Production()})
    return PatientServer((host, port), handler)
