"""A cluster small enough to read: the API's real JSON for the few resources that the actions touch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from werkzeug import Request, Response

Json = dict[str, Any]
TOKEN = "token-of-the-service-account"


def status(code: int, reason: str, message: str, **more: Any) -> Response:
    """A ``Status``, as the API server answers with every refusal."""
    body = {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code, **more,
    }  # fmt: skip
    return Response(json.dumps(body), code, {"Content-Type": "application/json"})


def merged(into: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(into) if isinstance(into, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


@dataclass
class FakeCluster:
    """Objects by their path; a change that is not a dry run is kept and counted."""

    objects: dict[str, Json] = field(default_factory=dict)
    changes: list[tuple[str, str, Json]] = field(default_factory=list)
    seen: list[Request] = field(default_factory=list)
    blocked: set[str] = field(default_factory=set)
    fault: Callable[[Request], Response | None] = lambda request: None
    token: str = TOKEN

    def answer(self, request: Request) -> Response:
        self.seen.append(request)
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return status(401, "Unauthorized", "Unauthorized")
        if (fault := self.fault(request)) is not None:
            return fault
        reply = getattr(self, f"_{request.method.lower()}")(request.path, request)
        if isinstance(reply, Response):
            return reply
        return Response(
            json.dumps(reply), 201 if request.method == "POST" else 200, content_type="application/json"
        )

    def _get(self, path: str, request: Request) -> Json | Response:
        if path == "/api/v1/pods":
            return self._page(request)
        if path.endswith("/scale"):
            found = self.objects.get(path.removesuffix("/scale"))
            return self._scale(found) if found else self._missing(path)
        return self.objects.get(path) or self._missing(path)

    def _patch(self, path: str, request: Request) -> Json | Response:
        place = path.removesuffix("/scale")
        if place not in self.objects:
            return self._missing(place)
        patch = json.loads(request.data)
        changed = self.objects[place] if isinstance(patch, list) else merged(self.objects[place], patch)
        if changed.get("spec") != self.objects[place].get("spec"):
            generation = changed["metadata"].get("generation", 1) + 1
            changed = merged(changed, {"metadata": {"generation": generation}})
        self._keep(request, place, changed, patch)
        return self._scale(changed) if path.endswith("/scale") else changed

    def _post(self, path: str, request: Request) -> Json | Response:
        body = json.loads(request.data)
        if path.endswith("/eviction"):
            return self._evict(path.removesuffix("/eviction"), body)
        place = f"{path}/{body['metadata']['name']}"
        if place in self.objects:
            return status(409, "AlreadyExists", f'jobs.batch "{body["metadata"]["name"]}" already exists')
        created = merged(body, {"metadata": {"uid": f"uid-{len(self.objects)}"}})
        self._keep(request, place, created, body)
        return created

    def _evict(self, place: str, body: Json) -> Json | Response:
        pod = self.objects.get(place)
        if pod is None:
            return self._missing(place)
        if pod["metadata"]["uid"] != body["deleteOptions"]["preconditions"]["uid"]:
            return status(409, "Conflict", "the UID in the precondition does not match")
        if pod["metadata"]["name"] in self.blocked:
            cause = {
                "reason": "DisruptionBudget",
                "message": "The disruption budget web needs 2 healthy pods",
            }
            words = "Cannot evict pod as it would violate the pod's disruption budget."
            return status(429, "TooManyRequests", words, details={"causes": [cause], "retryAfterSeconds": 10})
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        self.changes.append(("POST", f"{place}/eviction", body))
        return {"kind": "Status", "apiVersion": "v1", "status": "Success"}

    def _keep(self, request: Request, place: str, changed: Json, body: Json) -> None:
        if request.args.get("dryRun") != "All":
            self.objects[place] = changed
            self.changes.append((request.method, request.path, body))

    def _page(self, request: Request) -> Json:
        """The pods of a node, one a page."""
        node = request.args["fieldSelector"].removeprefix("spec.nodeName=")
        pods = [found for place, found in sorted(self.objects.items()) if re.search("/pods/[^/]+$", place)]
        here = [pod for pod in pods if pod["spec"]["nodeName"] == node]
        at = int(request.args.get("continue") or 0)
        more = {"continue": str(at + 1)} if at + 1 < len(here) else {}
        return {"kind": "PodList", "apiVersion": "v1", "metadata": more, "items": here[at : at + 1]}

    def _scale(self, found: Json) -> Json:
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {"name": found["metadata"]["name"]},
            "spec": {"replicas": found["spec"]["replicas"]} if found["spec"]["replicas"] else {},
        }

    def _missing(self, path: str) -> Response:
        return status(404, "NotFound", f'"{path.rpartition("/")[2]}" not found')


def deployment(name: str = "checkout", *, generation: int = 2, replicas: int = 3, **state: Any) -> Json:
    done = {
        "observedGeneration": generation, "replicas": replicas, "updatedReplicas": replicas,
        "readyReplicas": replicas, "availableReplicas": replicas,
    }  # fmt: skip
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": name, "generation": generation, "resourceVersion": "7", "managedFields": [{}]},
        "spec": {"replicas": replicas, "template": {"metadata": {}}},
        "status": merged(done, state),
    }


def pod(name: str, *, owner: str = "ReplicaSet", phase: str = "Running", **more: Any) -> Json:
    owners = [{"kind": owner, "name": "x"}] if owner else []
    found = {
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "ownerReferences": owners},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": phase},
    }
    return merged(found, more)
