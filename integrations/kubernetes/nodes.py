"""Taking a node out of service: no new pods, and the old ones evicted as their disruption budgets allow."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from handrail.catalog.outgoing.transport import Dialer
from integrations.kubernetes.actions import ClusterAction, ClusterInputs, read_flag, schema
from integrations.kubernetes.client import MERGE, Cluster, Object, Refused, at, items, text
from integrations.kubernetes.kind import NAME
from integrations.kubernetes.resources import read_name
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import ActionContext, Failure, Outcome, Success
from runbooks.steps.inputs import Reader

PAUSE = 2.0
"""Seconds between two looks at what is left on the node."""

PAGE = "250"
MOST_LISTED = 20
_STATIC = frozenset({"connection"})
_NODE: dict[str, Json] = {"type": "string", "description": "The node's name."}


@dataclass(frozen=True, slots=True, kw_only=True)
class CordonInputs(ClusterInputs):
    """A node, and whether new pods may be placed on it."""

    node: str
    cordoned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainInputs(ClusterInputs):
    """A node, and which pods may be lost with it."""

    node: str
    force: bool
    delete_emptydir_data: bool


class Cordon(ClusterAction[CordonInputs]):
    """Marks a node as unschedulable, or takes the mark away."""

    verb = "cordon"
    spec = ActionSpec(
        name="kubernetes.cordon",
        title="Keep pods off a node",
        description="Marks a node as unschedulable; with `cordoned: false` it takes pods again.",
        inputs_schema=schema(
            ["node"],
            node=_NODE,
            cordoned={"type": "boolean", "default": True, "description": "Whether it is kept free."},
        ),
        effect=Effect.REVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=_STATIC,
        connection_kind=NAME,
        outputs={"unschedulable": "Whether the node is kept free now (boolean)."},
    )

    def read(self, rendered: Mapping[str, Json]) -> CordonInputs:
        """A node's name."""
        reader = Reader(rendered)
        cordoned = read_flag(reader, "cordoned") if reader.given("cordoned") else True
        inputs = CordonInputs(
            connection=reader.text("connection"), node=read_name(reader, "node"), cordoned=cordoned
        )
        reader.done()
        return inputs

    def summary(self, inputs: CordonInputs) -> str:
        """Which node, and which way."""
        return f"{'Cordon' if inputs.cordoned else 'Uncordon'} node/{inputs.node}"

    def perform(self, cluster: Cluster, inputs: CordonInputs, context: ActionContext) -> Outcome:
        """Set the mark."""
        changed = _mark(cluster, inputs.node, cordoned=inputs.cordoned)
        return Success({"unschedulable": at(changed, "spec", "unschedulable") is True})


class Drain(ClusterAction[DrainInputs]):
    """Empties a node, as ``kubectl drain`` does."""

    verb = "drain"
    spec = ActionSpec(
        name="kubernetes.drain",
        title="Drain a node",
        description=(
            "Cordons a node and evicts its pods until none is left but those of DaemonSets and static ones. "
            "A PodDisruptionBudget that refuses an eviction is asked again; when time is over, the failure is "
            "`disruption_budget`. Pods without a controller, and pods with `emptyDir` volumes, are reasons to refuse "
            "before anything happens, unless `force` or `delete_emptydir_data` say that they may be lost. "
            "A repeated attempt goes on with what is left."
        ),
        inputs_schema=schema(
            ["node"],
            node=_NODE,
            force={
                "type": "boolean",
                "default": False,
                "description": "Pods without a controller may be lost.",
            },
            delete_emptydir_data={
                "type": "boolean",
                "default": False,
                "description": "The data of `emptyDir` volumes may be lost.",
            },
        ),
        effect=Effect.IRREVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=_STATIC,
        connection_kind=NAME,
        outputs={
            "evicted": "How many pods this attempt has evicted (integer).",
            "left": f"What was left to evict, at most {MOST_LISTED} (list of `namespace/name`).",
        },
    )

    def __init__(self, dialer: Dialer | None = None, pause: Callable[[float], None] | None = None) -> None:
        """``pause``: another way to let time go by, in tests."""
        super().__init__(dialer)
        self._pause = pause or time.sleep

    def read(self, rendered: Mapping[str, Json]) -> DrainInputs:
        """A node's name and what may be lost."""
        reader = Reader(rendered)
        inputs = DrainInputs(
            connection=reader.text("connection"),
            node=read_name(reader, "node"),
            force=read_flag(reader, "force"),
            delete_emptydir_data=read_flag(reader, "delete_emptydir_data"),
        )
        reader.done()
        return inputs

    def summary(self, inputs: DrainInputs) -> str:
        """Which node, and what may be lost."""
        lost = [*(["unmanaged pods"] * inputs.force), *(["emptyDir data"] * inputs.delete_emptydir_data)]
        return f"Drain node/{inputs.node}" + (f" ({' and '.join(lost)} may be lost)" if lost else "")

    def perform(self, cluster: Cluster, inputs: DrainInputs, context: ActionContext) -> Outcome:
        """Look, cordon, evict, and look again until nothing is left."""
        left = _pods(cluster, inputs.node)
        if objection := _objection(left, inputs):
            return objection
        _mark(cluster, inputs.node, cordoned=True)
        evicted: set[str] = set()
        while left:
            blocked = [pod for pod in left if not _evict(cluster, pod, evicted, context)]
            outputs: dict[str, Json] = {"evicted": len(evicted), "left": _names(left)}
            if context.cancelled():
                return Failure("cancelled", "The run was stopped: the node is half drained.", outputs=outputs)
            if time.monotonic() + PAUSE >= context.deadline_monotonic:
                return _out_of_time(blocked, outputs)
            self._pause(PAUSE)
            before, left = len(left), _pods(cluster, inputs.node)
            if len(left) < before:
                context.heartbeat()
        return Success({"evicted": len(evicted), "left": []})


def _mark(cluster: Cluster, node: str, *, cordoned: bool) -> Object:
    body: Json = {"spec": {"unschedulable": cordoned}}
    return cluster.write("PATCH", f"/api/v1/nodes/{node}", body, dry_run=False, content_type=MERGE)


def _pods(cluster: Cluster, node: str) -> list[Object]:
    """The pods of the node that have to go: not those of DaemonSets, static ones, and those that have ended."""
    found: list[Object] = []
    query = {"fieldSelector": f"spec.nodeName={node}", "limit": PAGE}
    while True:
        page = cluster.get("/api/v1/pods", query)
        found += [pod for pod in items(page, "items") if _has_to_go(pod)]
        more = text(page, "metadata", "continue")
        if not more:
            return found
        query = {**query, "continue": more}


def _has_to_go(pod: Object) -> bool:
    owned_by = {text(owner, "kind") for owner in items(pod, "metadata", "ownerReferences")}
    static = at(pod, "metadata", "annotations", "kubernetes.io/config.mirror") is not None
    return not (static or "DaemonSet" in owned_by or text(pod, "status", "phase") in {"Succeeded", "Failed"})


def _objection(pods: list[Object], inputs: DrainInputs) -> Failure | None:
    alone = [pod for pod in pods if not items(pod, "metadata", "ownerReferences")]
    if alone and not inputs.force:
        words = (
            f"These pods have no controller and would not come back: {', '.join(map(str, _names(alone)))}."
        )
        return Failure("unmanaged_pods", f"{words} `force: true` lets them be lost.")
    local = [pod for pod in pods if any("emptyDir" in volume for volume in items(pod, "spec", "volumes"))]
    if local and not inputs.delete_emptydir_data:
        words = f"These pods keep data on the node: {', '.join(map(str, _names(local)))}."
        return Failure("local_data", f"{words} `delete_emptydir_data: true` lets it be lost.")
    return None


def _names(pods: list[Object]) -> list[Json]:
    first = [pod["metadata"] for pod in pods[:MOST_LISTED]]
    names: list[Json] = [f"{text(one, 'namespace')}/{text(one, 'name')}" for one in first]
    return names


def _evict(cluster: Cluster, pod: Object, evicted: set[str], context: ActionContext) -> bool:
    """Ask once for this very pod to be evicted; False when its disruption budget does not allow it now."""
    namespace, name, uid = (text(pod, "metadata", field) for field in ("namespace", "name", "uid"))
    if uid in evicted or text(pod, "metadata", "deletionTimestamp") or context.cancelled():
        return True
    eviction: Json = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        # Another pod may have got the name by now.
        "deleteOptions": {"preconditions": {"uid": uid}},
    }
    try:
        cluster.write("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/eviction", eviction, dry_run=False)
    except Refused as refusal:
        if refusal.status == 429:
            context.log("log", f"{namespace}/{name}: {refusal}")
            return False
        if refusal.status in (404, 409):
            return True
        raise
    evicted.add(uid)
    context.log("log", f"Evicted {namespace}/{name}")
    return True


def _out_of_time(blocked: list[Object], outputs: dict[str, Json]) -> Failure:
    if blocked:
        words = f"Disruption budgets do not allow evicting {', '.join(map(str, _names(blocked)))}."
        return Failure("disruption_budget", words, retryable=True, outputs=outputs)
    words = "Evicted pods had not ended when the step's time was over."
    return Failure("timeout", words, retryable=True, outputs=outputs)
