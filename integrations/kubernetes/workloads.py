"""Reading objects, and changing workloads: scale, restart, patch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from integrations.kubernetes.actions import (
    DRY_RUN,
    NAMESPACE,
    OBJECT_NAME,
    ClusterAction,
    ClusterInputs,
    kind_of,
    read_flag,
    schema,
    unless_dry,
)
from integrations.kubernetes.client import JSON_PATCH, MERGE, STRATEGIC, Cluster, count
from integrations.kubernetes.kind import NAME
from integrations.kubernetes.resources import KINDS, ROLLING, SCALABLE, Resource, read_resource
from integrations.kubernetes.rollouts import rollout_of
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import ActionContext, Failure, InvalidInputs, Outcome, Success
from runbooks.steps.inputs import Reader

LARGEST_OBJECT = 256 * 1024
MOST_REPLICAS = 10_000
RESTARTED_BY = "handrail/restarted-by"
"""An annotation of the pods: another value starts a rollout, the same value starts none."""

_PATCHES = {"merge": MERGE, "strategic": STRATEGIC, "json": JSON_PATCH}
_STATIC = frozenset({"connection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInputs(ClusterInputs):
    """One object."""

    resource: Resource


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleInputs(ObjectInputs):
    """One workload and its size."""

    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchInputs(ObjectInputs):
    """One object and its change."""

    patch: Json
    content_type: str


def _object_inputs(reader: Reader, kinds: tuple[str, ...], default: str | None = None) -> ObjectInputs:
    resource = read_resource(reader, kinds, default)
    return ObjectInputs(
        connection=reader.text("connection"),
        namespace=resource.namespace,
        dry_run=read_flag(reader, "dry_run"),
        resource=resource,
    )


class Get(ClusterAction[ObjectInputs]):
    """Reads one object: for conditions, probes, and what a later step puts back."""

    spec = ActionSpec(
        name="kubernetes.get",
        title="Read a Kubernetes object",
        description="Reads one object as the API has it, without `managedFields`. Secrets cannot be read.",
        inputs_schema=schema(
            ["kind", "name", "namespace"], kind=kind_of(KINDS), name=OBJECT_NAME, namespace=NAMESPACE
        ),
        effect=Effect.READ,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=_STATIC,
        connection_kind=NAME,
        outputs={"object": "The object (mapping)."},
    )

    def read(self, rendered: Mapping[str, Json]) -> ObjectInputs:
        """An object of a kind that can be named."""
        reader = Reader(rendered)
        inputs = _object_inputs(reader, KINDS)
        reader.done()
        return inputs

    def summary(self, inputs: ObjectInputs) -> str:
        """What is read."""
        return f"Read {inputs.resource}"

    def perform(self, cluster: Cluster, inputs: ObjectInputs, context: ActionContext) -> Outcome:
        """Read it; what is too large for an output is refused."""
        found = cluster.get(inputs.resource.path)
        metadata = found.get("metadata")
        if isinstance(metadata, dict):
            metadata.pop("managedFields", None)
        if len(json.dumps(found)) > LARGEST_OBJECT:
            return Failure("response_too_large", f"The object is larger than {LARGEST_OBJECT} bytes.")
        return Success({"object": found})


class RolloutStatus(ClusterAction[ObjectInputs]):
    """One look at a rollout; a step that waits looks again."""

    spec = ActionSpec(
        name="kubernetes.rollout_status",
        title="Look at a rollout",
        description=(
            "Looks once at a rollout, as `kubectl rollout status` does. In a `wait_until` step it is asked again until "
            "`result.complete`. A Deployment that exceeded its progress deadline is a failure, `rollout_failed`, and "
            "so is the update strategy `OnDelete`, with which nothing rolls out."
        ),
        inputs_schema=schema(
            ["name", "namespace"], kind=kind_of(ROLLING, "deployment"), name=OBJECT_NAME, namespace=NAMESPACE
        ),
        effect=Effect.READ,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=_STATIC,
        connection_kind=NAME,
        outputs={
            "complete": "Whether every replica is updated and available (boolean).",
            "message": "How far it is, in words.",
        },
    )

    def read(self, rendered: Mapping[str, Json]) -> ObjectInputs:
        """A workload that rolls."""
        reader = Reader(rendered)
        inputs = _object_inputs(reader, ROLLING, "deployment")
        reader.done()
        return inputs

    def summary(self, inputs: ObjectInputs) -> str:
        """What is looked at."""
        return f"Look at the rollout of {inputs.resource}"

    def perform(self, cluster: Cluster, inputs: ObjectInputs, context: ActionContext) -> Outcome:
        """Read the object and judge it."""
        rollout = rollout_of(inputs.resource.kind, cluster.get(inputs.resource.path))
        context.log("log", f"{inputs.resource}: {rollout.message}")
        outputs: dict[str, Json] = {"complete": rollout.complete, "message": rollout.message}
        if rollout.failed:
            return Failure("rollout_failed", rollout.message, outputs=outputs)
        return Success(outputs)


class Scale(ClusterAction[ScaleInputs]):
    """Sets the number of replicas through the scale subresource."""

    verb = "scale"
    spec = ActionSpec(
        name="kubernetes.scale",
        title="Scale a workload",
        description=(
            "Sets the number of replicas. Doing it twice is doing it once. `previous` is what stood there when this "
            "attempt began: to put it back after a repeated attempt too, read it in a step before."
        ),
        inputs_schema=schema(
            ["name", "namespace", "replicas"],
            kind=kind_of(SCALABLE, "deployment"),
            name=OBJECT_NAME,
            namespace=NAMESPACE,
            replicas={
                "type": "integer",
                "minimum": 0,
                "maximum": MOST_REPLICAS,
                "description": "How many there shall be.",
            },
            dry_run=DRY_RUN,
        ),
        effect=Effect.REVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=_STATIC,
        connection_kind=NAME,
        outputs={
            "replicas": "How many are wanted now (integer).",
            "previous": "How many were wanted before (integer).",
        },
        effect_of=unless_dry(Effect.REVERSIBLE, idempotent=True),
    )

    def read(self, rendered: Mapping[str, Json]) -> ScaleInputs:
        """A workload and a whole number."""
        reader = Reader(rendered)
        replicas = reader.raw("replicas")
        if not isinstance(replicas, int) or isinstance(replicas, bool) or not 0 <= replicas <= MOST_REPLICAS:
            raise InvalidInputs(f"`replicas` must be a whole number from 0 to {MOST_REPLICAS}.")
        base = _object_inputs(reader, SCALABLE, "deployment")
        reader.done()
        return ScaleInputs(
            connection=base.connection,
            namespace=base.namespace,
            dry_run=base.dry_run,
            resource=base.resource,
            replicas=replicas,
        )

    def summary(self, inputs: ScaleInputs) -> str:
        """What, and to how many."""
        return f"Scale {inputs.resource} to {inputs.replicas} replicas"

    def perform(self, cluster: Cluster, inputs: ScaleInputs, context: ActionContext) -> Outcome:
        """Read what is, then set what shall be."""
        path = f"{inputs.resource.path}/scale"
        previous = count(cluster.get(path), "spec", "replicas")
        wanted: Json = {"spec": {"replicas": inputs.replicas}}
        scaled = cluster.write("PATCH", path, wanted, dry_run=inputs.dry_run, content_type=MERGE)
        replicas = count(scaled, "spec", "replicas")
        context.log("log", f"{inputs.resource}: {previous} -> {replicas} replicas")
        return Success({"replicas": replicas, "previous": previous})


class Restart(ClusterAction[ObjectInputs]):
    """Replaces a workload's pods by and by, as ``kubectl rollout restart`` does."""

    verb = "restart"
    spec = ActionSpec(
        name="kubernetes.restart",
        title="Restart a workload's pods",
        description=(
            "Starts a rolling restart by annotating the pod template. A repeated attempt writes the same annotation "
            "and restarts nothing again. `kubernetes.rollout_status` says when it is complete."
        ),
        inputs_schema=schema(
            ["name", "namespace"],
            kind=kind_of(ROLLING, "deployment"),
            name=OBJECT_NAME,
            namespace=NAMESPACE,
            dry_run=DRY_RUN,
        ),
        effect=Effect.IRREVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=_STATIC,
        connection_kind=NAME,
        outputs={"generation": "The generation of the specification that is rolled out (integer)."},
        effect_of=unless_dry(Effect.IRREVERSIBLE, idempotent=True),
    )

    def read(self, rendered: Mapping[str, Json]) -> ObjectInputs:
        """A workload that rolls."""
        reader = Reader(rendered)
        inputs = _object_inputs(reader, ROLLING, "deployment")
        reader.done()
        return inputs

    def summary(self, inputs: ObjectInputs) -> str:
        """What is restarted."""
        return f"Restart the pods of {inputs.resource}"

    def perform(self, cluster: Cluster, inputs: ObjectInputs, context: ActionContext) -> Outcome:
        """Annotate the template with the step's own key."""
        mark: Json = {RESTARTED_BY: context.idempotency_key}
        body: Json = {"spec": {"template": {"metadata": {"annotations": mark}}}}
        path = inputs.resource.path
        changed = cluster.write("PATCH", path, body, dry_run=inputs.dry_run, content_type=STRATEGIC)
        return Success({"generation": count(changed, "metadata", "generation")})


class Patch(ClusterAction[PatchInputs]):
    """Changes an object."""

    verb = "patch"
    spec = ActionSpec(
        name="kubernetes.patch",
        title="Change a Kubernetes object",
        description=(
            "Applies a patch to one object. `type` is `merge` (RFC 7386), `strategic` (lists are merged by their keys) "
            "or `json` (RFC 6902, whose `test` operations make it conditional)."
        ),
        inputs_schema=schema(
            ["kind", "name", "namespace", "patch"],
            kind=kind_of(KINDS),
            name=OBJECT_NAME,
            namespace=NAMESPACE,
            patch={"description": "A mapping, or for `json` a list of operations."},
            type={"enum": [*sorted(_PATCHES)], "default": "merge", "description": "The kind of patch."},
            dry_run=DRY_RUN,
        ),
        effect=Effect.IRREVERSIBLE,
        may_be_idempotent=True,
        static_inputs=_STATIC,
        connection_kind=NAME,
        outputs={
            "generation": "The generation of the specification afterwards (integer).",
            "resource_version": "The object's version afterwards.",
        },
        effect_of=unless_dry(Effect.IRREVERSIBLE, idempotent=False),
    )

    def read(self, rendered: Mapping[str, Json]) -> PatchInputs:
        """An object and a patch of the right shape."""
        reader = Reader(rendered)
        patch, kind = reader.raw("patch"), reader.text("type", "merge")
        if kind not in _PATCHES:
            raise InvalidInputs(f"`type` must be one of {', '.join(sorted(_PATCHES))}.")
        if not isinstance(patch, list if kind == "json" else dict) or not patch:
            shape = "a list of operations" if kind == "json" else "a mapping"
            raise InvalidInputs(f"`patch` of the type {kind} must be {shape}, not empty.")
        base = _object_inputs(reader, KINDS)
        reader.done()
        return PatchInputs(
            connection=base.connection,
            namespace=base.namespace,
            dry_run=base.dry_run,
            resource=base.resource,
            patch=patch,
            content_type=_PATCHES[kind],
        )

    def summary(self, inputs: PatchInputs) -> str:
        """The object, and the beginning of the change."""
        return f"Patch {inputs.resource} with {json.dumps(inputs.patch, ensure_ascii=False)[:300]}"

    def perform(self, cluster: Cluster, inputs: PatchInputs, context: ActionContext) -> Outcome:
        """Apply it."""
        changed = cluster.write(
            "PATCH",
            inputs.resource.path,
            inputs.patch,
            dry_run=inputs.dry_run,
            content_type=inputs.content_type,
        )
        metadata = changed.get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        return Success({"generation": count(changed, "metadata", "generation"), "resource_version": version})
