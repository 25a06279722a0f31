"""Starting a Job once, and looking at how it goes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from integrations.kubernetes.actions import (
    DRY_RUN,
    NAMESPACE,
    OBJECT_NAME,
    ClusterAction,
    ClusterInputs,
    read_flag,
    schema,
    unless_dry,
)
from integrations.kubernetes.client import Cluster, Object, Refused, at, count, items, text
from integrations.kubernetes.kind import NAME
from integrations.kubernetes.resources import Resource, collection, read_name
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect, Json
from runbooks.steps.base import ActionContext, Failure, InvalidInputs, Outcome, Success
from runbooks.steps.inputs import Reader

KEY = "handrail/idempotency-key"
LONGEST_PREFIX = 50
"""A Job's name becomes a label of its pods, which has 63 characters."""

_STATIC = frozenset({"connection"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInputs(ClusterInputs):
    """A Job from a CronJob of the namespace, or from a specification."""

    name: str
    cronjob: str = ""
    job_spec: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatusInputs(ClusterInputs):
    """A Job."""

    name: str


class StartJob(ClusterAction[JobInputs]):
    """Creates a Job whose name is the step's own, so that a repeated attempt finds it there."""

    spec = ActionSpec(
        name="kubernetes.job",
        title="Start a Kubernetes Job",
        description=(
            "Creates a Job from a CronJob of the namespace (`cronjob`) or from a JobSpec (`spec`). Its name is made of "
            "the step's key: a repeated attempt finds the Job and starts no second one. Whoever may create Jobs from a "
            "`spec` may run any image with any service account of the namespace; `cronjob` runs what is there already. "
            "`kubernetes.job_status` says when it is done."
        ),
        inputs_schema=schema(
            ["namespace"],
            namespace=NAMESPACE,
            cronjob={"type": "string", "description": "A CronJob whose template is used."},
            spec={"type": "object", "description": "A JobSpec, as in `batch/v1`."},
            name={
                "type": "string",
                "description": "Begins the Job's name; the CronJob's name when left out.",
            },
            dry_run=DRY_RUN,
        ),
        effect=Effect.IRREVERSIBLE,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=_STATIC,
        connection_kind=NAME,
        outputs={"name": "The Job's name.", "uid": "The Job's uid."},
        effect_of=unless_dry(Effect.IRREVERSIBLE, idempotent=True),
    )

    def read(self, rendered: Mapping[str, Json]) -> JobInputs:
        """Exactly one of ``cronjob`` and ``spec``."""
        reader = Reader(rendered)
        if reader.given("cronjob") == reader.given("spec"):
            raise InvalidInputs("Give `cronjob` or `spec`, one of the two.")
        cronjob = read_name(reader, "cronjob") if reader.given("cronjob") else ""
        spec = reader.mapping("spec") or None
        name = read_name(reader, "name") if reader.given("name") else cronjob
        if not name:
            raise InvalidInputs("`name` is missing: it begins the Job's name.")
        inputs = JobInputs(
            connection=reader.text("connection"),
            namespace=read_name(reader, "namespace"),
            dry_run=read_flag(reader, "dry_run"),
            name=name[:LONGEST_PREFIX].rstrip("-."),
            cronjob=cronjob,
            job_spec=spec,
        )
        reader.done()
        return inputs

    def needs(self, inputs: JobInputs) -> str:
        """What a CronJob does was decided by whoever deployed it."""
        return "cronjob" if inputs.cronjob else "job"

    def summary(self, inputs: JobInputs) -> str:
        """What is started."""
        origin = f"from cronjob/{inputs.cronjob}" if inputs.cronjob else "from a specification"
        return f"Start a job {inputs.name} {origin} in {inputs.namespace}"

    def perform(self, cluster: Cluster, inputs: JobInputs, context: ActionContext) -> Outcome:
        """Create it; one that is there already with our key is the one that was meant."""
        job = _job(cluster, inputs, context)
        name = text(job, "metadata", "name")
        jobs = collection("job", inputs.namespace)
        try:
            created = cluster.write("POST", jobs, job, dry_run=inputs.dry_run)
        except Refused as refusal:
            if refusal.status != 409:
                raise
            created = _there(cluster, f"{jobs}/{name}", refusal)
            if at(created, "metadata", "annotations", KEY) != context.idempotency_key:
                return Failure("conflict", f"A job {name} is there already, and it is not this step's.")
            context.log("log", f"The job {name} was started by an attempt before.")
        return Success({"name": name, "uid": text(created, "metadata", "uid")})


def _there(cluster: Cluster, path: str, refusal: Refused) -> Object:
    """The Job that was in the way; a quota that somebody else changed meanwhile is a 409 as well."""
    try:
        return cluster.get(path)
    except Refused as missing:
        raise (refusal if missing.status == 404 else missing) from None


def _job(cluster: Cluster, inputs: JobInputs, context: ActionContext) -> Object:
    key = context.idempotency_key
    spec, labels = inputs.job_spec, None
    if inputs.cronjob:
        found = cluster.get(Resource("cronjob", inputs.cronjob, inputs.namespace).path)
        spec = at(found, "spec", "jobTemplate", "spec")
        labels = at(found, "spec", "jobTemplate", "metadata", "labels")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{inputs.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}",
            "namespace": inputs.namespace,
            "labels": labels,
            "annotations": {KEY: key},
        },
        "spec": spec,
    }


class JobStatus(ClusterAction[JobStatusInputs]):
    """One look at a Job."""

    spec = ActionSpec(
        name="kubernetes.job_status",
        title="Look at a Kubernetes Job",
        description=(
            "Looks once at a Job. In a `wait_until` step it is asked again until `result.complete`. "
            "A Job that failed is a failure, `job_failed`."
        ),
        inputs_schema=schema(["name", "namespace"], name=OBJECT_NAME, namespace=NAMESPACE),
        effect=Effect.READ,
        idempotent=True,
        may_be_idempotent=True,
        static_inputs=_STATIC,
        connection_kind=NAME,
        outputs={
            "complete": "Whether it has succeeded (boolean).",
            "active": "Pods that are running (integer).",
            "succeeded": "Pods that have succeeded (integer).",
            "failed": "Pods that have failed (integer).",
        },
    )

    def read(self, rendered: Mapping[str, Json]) -> JobStatusInputs:
        """A Job by its name."""
        reader = Reader(rendered)
        inputs = JobStatusInputs(
            connection=reader.text("connection"),
            namespace=read_name(reader, "namespace"),
            name=read_name(reader, "name"),
        )
        reader.done()
        return inputs

    def summary(self, inputs: JobStatusInputs) -> str:
        """What is looked at."""
        return f"Look at job/{inputs.name} in {inputs.namespace}"

    def perform(self, cluster: Cluster, inputs: JobStatusInputs, context: ActionContext) -> Outcome:
        """Read its conditions and counts."""
        found = cluster.get(Resource("job", inputs.name, inputs.namespace).path)
        true = {
            text(condition, "type"): text(condition, "message")
            for condition in items(found, "status", "conditions")
            if text(condition, "status") == "True"
        }
        outputs: dict[str, Json] = {
            "complete": "Complete" in true,
            **{name: count(found, "status", name) for name in ("active", "succeeded", "failed")},
        }
        if "Failed" in true:
            return Failure("job_failed", f"The job {inputs.name} failed: {true['Failed']}", outputs=outputs)
        return Success(outputs)
