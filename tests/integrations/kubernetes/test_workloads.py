"""kubernetes.*: scaling, restarting, patching and looking, against the API's own JSON over TLS."""

from __future__ import annotations

from typing import Any

import pytest
from werkzeug import Request, Response

from handrail.catalog import actions
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.transport import Dialer
from handrail.shared.actors import Actor
from handrail.shared.errors import Invalid
from integrations.kubernetes.rollouts import rollout_of
from runbooks.language.definition import Effect
from runbooks.steps import registry
from runbooks.steps.base import ActionContext, InvalidInputs, Outcome
from tests.integrations.conftest import GiveSecret
from tests.integrations.faults import cut_off, silent
from tests.integrations.kubernetes.cluster import FakeCluster, deployment, merged, status
from tests.integrations.outcomes import failure, success

pytestmark = pytest.mark.django_db
CHECKOUT = "/apis/apps/v1/namespaces/shop/deployments/checkout"
HERE: dict[str, Any] = {"connection": "prod", "namespace": "shop", "name": "checkout"}


def run(context: ActionContext, action: str, **inputs: Any) -> Outcome:
    return registry.get(f"kubernetes.{action}").run({**HERE, **inputs}, context)


def test_scaling_sets_the_number_and_tells_the_one_before(
    cluster: FakeCluster, context: ActionContext
) -> None:
    assert success(run(context, "scale", replicas=0)).outputs == {"replicas": 0, "previous": 3}
    assert cluster.objects[CHECKOUT]["spec"]["replicas"] == 0
    assert success(run(context, "scale", replicas=5)).outputs == {"replicas": 5, "previous": 0}


@pytest.mark.parametrize(
    ("action", "inputs"),
    [
        ("scale", {"replicas": 9}),
        ("restart", {}),
        ("patch", {"kind": "deployment", "patch": {"spec": {"paused": True}}}),
    ],
)
def test_a_dry_run_asks_the_server_and_changes_nothing(
    cluster: FakeCluster, context: ActionContext, action: str, inputs: dict[str, Any]
) -> None:
    outputs = success(run(context, action, dry_run=True, **inputs)).outputs
    assert outputs.get("replicas", 9) == 9
    assert outputs.get("generation", 3) == 3
    assert cluster.changes == []
    assert cluster.seen[-1].args["dryRun"] == "All"
    spec = registry.get(f"kubernetes.{action}").spec
    assert spec.effect_for({**inputs, "dry_run": True}) == (Effect.READ, True)
    assert spec.effect_for({**inputs, "dry_run": "${{ inputs.dry }}"})[0] is spec.effect


def test_a_repeated_restart_restarts_nothing_again(cluster: FakeCluster, context: ActionContext) -> None:
    first = success(run(context, "restart")).outputs
    assert success(run(context, "restart")).outputs == first == {"generation": 3}
    template = cluster.objects[CHECKOUT]["spec"]["template"]
    assert template["metadata"]["annotations"] == {"handrail/restarted-by": context.idempotency_key}


def test_each_type_of_patch_names_itself(cluster: FakeCluster, context: ActionContext) -> None:
    operations = [{"op": "test", "path": "/spec/paused", "value": True}]
    for kind, patch in (("merge", {"spec": {"paused": True}}), ("strategic", {"a": 1}), ("json", operations)):
        success(run(context, "patch", kind="deployment", patch=patch, type=kind))
        assert f"{kind}-" in cluster.seen[-1].headers["Content-Type"]
        assert cluster.seen[-1].args["fieldManager"] == "handrail"
    assert cluster.objects[CHECKOUT]["spec"]["paused"] is True


def test_an_object_is_read_without_its_managed_fields(cluster: FakeCluster, context: ActionContext) -> None:
    found = success(run(context, "get", kind="deployment")).outputs["object"]
    assert isinstance(found, dict)
    assert found["spec"] == cluster.objects[CHECKOUT]["spec"]
    assert "managedFields" not in found["metadata"]
    cluster.objects[CHECKOUT]["data"] = "x" * 300_000
    assert failure(run(context, "get", kind="deployment")).code == "response_too_large"


EXCEEDED = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
STATEFUL = {"observedGeneration": 2, "readyReplicas": 3, "updatedReplicas": 3, "updateRevision": "b"}
DAEMON = {
    "observedGeneration": 2,
    "desiredNumberScheduled": 3,
    "updatedNumberScheduled": 3,
    "numberAvailable": 3,
}


@pytest.mark.parametrize(
    ("kind", "state", "complete", "words"),
    [
        ("deployment", {}, True, "All 3"),
        ("deployment", {"observedGeneration": 1}, False, "not seen"),
        ("deployment", {"observedGeneration": None}, False, "not seen"),
        ("deployment", {"updatedReplicas": 1}, False, "1 of 3 replicas are updated"),
        ("deployment", {"replicas": 4}, False, "1 old"),
        ("deployment", {"availableReplicas": None}, False, "0 of 3 updated"),
        ("deployment", {"conditions": [EXCEEDED]}, False, "exceeded"),
        ("statefulset", {**STATEFUL, "currentRevision": "b"}, True, "All 3"),
        ("statefulset", {**STATEFUL, "currentRevision": "a"}, False, "being replaced"),
        ("statefulset", {**STATEFUL, "readyReplicas": 2}, False, "2 of 3"),
        ("statefulset", {**STATEFUL, "updatedReplicas": 1}, False, "1 of 3 replicas are updated"),
        ("daemonset", DAEMON, True, "All 3"),
        ("daemonset", {**DAEMON, "updatedNumberScheduled": 1}, False, "1 of 3 pods"),
        ("daemonset", {**DAEMON, "numberAvailable": 2}, False, "2 of 3"),
    ],
)
def test_a_rollout_is_read_as_kubectl_reads_it(
    kind: str, state: dict[str, Any], complete: bool, words: str
) -> None:
    rollout = rollout_of(kind, merged(deployment(), {"status": state}))
    assert (rollout.complete, words in rollout.message) == (complete, True)


@pytest.mark.parametrize(("kind", "state"), [("statefulset", STATEFUL), ("daemonset", DAEMON)])
def test_what_is_replaced_on_deletion_has_no_rollout_to_wait_for(kind: str, state: dict[str, Any]) -> None:
    strategy = {"spec": {"updateStrategy": {"type": "OnDelete"}}, "status": state}
    rollout = rollout_of(kind, merged(deployment(), strategy))
    assert (rollout.failed, "OnDelete" in rollout.message) == (True, True)


def test_looking_at_a_rollout(cluster: FakeCluster, context: ActionContext) -> None:
    assert success(run(context, "rollout_status")).outputs["complete"] is True
    cluster.objects[CHECKOUT]["status"]["conditions"] = [EXCEEDED]
    assert failure(run(context, "rollout_status")).code == "rollout_failed"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (401, ("authentication_failed", False, False)),
        (403, ("permission_denied", False, False)),
        (404, ("not_found", False, False)),
        (409, ("conflict", False, False)),
        (422, ("invalid_input", False, False)),
        (429, ("rate_limited", True, False)),
        (500, ("server_error", True, False)),
        (503, ("server_error", True, False)),
        (504, ("server_error", True, True)),
    ],
)
def test_a_refusal_becomes_a_code_with_the_servers_words(
    cluster: FakeCluster, context: ActionContext, code: int, expected: tuple[str, bool, bool]
) -> None:
    cluster.fault = lambda request: (
        status(code, "X", "because of that") if request.method == "PATCH" else None
    )
    outcome = failure(run(context, "restart"))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == expected
    assert outcome.message == "Kubernetes says: because of that"


def test_an_answer_that_is_not_the_apis_leaves_a_write_in_doubt(
    cluster: FakeCluster, context: ActionContext
) -> None:
    cluster.fault = lambda request: Response("<html>")
    assert failure(run(context, "restart")).uncertain
    assert not failure(run(context, "get", kind="pod")).uncertain


def test_a_write_whose_answer_was_lost_is_uncertain(cluster: FakeCluster, context: ActionContext) -> None:
    with cut_off() as address:
        Connection.objects.update(base_url=address)
        outcome = failure(run(context, "restart"))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == ("connection_lost", True, True)
    with silent() as address:
        Connection.objects.update(base_url=address, timeout_seconds=0.2)
        outcome = failure(run(context, "get", kind="pod"))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == ("timeout", True, False)


def test_a_rotated_token_is_picked_up(
    cluster: FakeCluster, context: ActionContext, give_secret: GiveSecret
) -> None:
    def rotate(request: Request) -> Response | None:
        cluster.token, cluster.fault = "another-token", lambda request: None
        give_secret("another-token")
        return status(401, "Unauthorized", "Unauthorized")

    cluster.fault = rotate
    success(run(context, "get", kind="deployment"))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"options": {"namespaces": ["other"], "verbs": ["restart"]}}, "not_allowed"),
        ({"options": {"namespaces": ["*"]}}, "not_allowed"),
        ({"kind": "http"}, "not_allowed"),
        ({"allowed_networks": []}, "address_refused"),
        ({"options": {"namespaces": ["*"], "verbs": ["restart"]}}, "connect_failed"),
        ({"base_url": "https://127.0.0.1:1"}, "connect_failed"),
        ({"secret_reference": "local:none"}, "secret_not_found"),
    ],
)
def test_what_the_connection_does_not_allow_is_not_asked_of_the_cluster(
    cluster: FakeCluster, context: ActionContext, changes: dict[str, Any], code: str
) -> None:
    Connection.objects.update(**changes)
    outcome = failure(run(context, "restart"))
    assert (outcome.code, outcome.uncertain, cluster.seen) == (code, False, [])
    refused = "would be refused" in registry.get("kubernetes.restart").bind(HERE).preview(context)
    assert refused is (code == "not_allowed")


def test_names_that_cannot_be_resolved_have_changed_nothing(
    cluster: FakeCluster, context: ActionContext
) -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    action = type(registry.get("kubernetes.restart"))(Dialer(resolve=nowhere))
    outcome = failure(action.run(HERE, context))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == ("dns_failed", True, False)


@pytest.mark.parametrize(
    ("action", "inputs"),
    [
        ("scale", {"replicas": True}),
        ("scale", {"replicas": -1}),
        ("scale", {"replicas": 1, "kind": "daemonset"}),
        ("get", {"kind": "secret"}),
        ("get", {"kind": "pod", "name": "../secrets/x"}),
        ("get", {"kind": "pod", "namespace": "a/b"}),
        ("patch", {"kind": "pod", "patch": {}}),
        ("patch", {"kind": "pod", "patch": {"a": 1}, "type": "json"}),
        ("patch", {"kind": "pod", "patch": {"a": 1}, "type": "apply"}),
        ("restart", {"dry_run": "yes"}),
        ("restart", {"force": True}),
    ],
)
def test_inputs_that_do_not_fit_are_refused(action: str, inputs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputs):
        registry.get(f"kubernetes.{action}").bind({**HERE, **inputs})


def test_the_preview_says_what_would_become_of_whom(cluster: FakeCluster, context: ActionContext) -> None:
    call = registry.get("kubernetes.scale").bind({**HERE, "replicas": 0})
    assert call.preview(context) == "Scale deployment/checkout in shop to 0 replicas of prod"
    assert (call.target(), cluster.seen) == ("prod", [])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"verbs": ["scale"]}, "needs the option namespaces"),
        ({"namespaces": ["UP"]}, "namespaces"),
        ({"namespaces": ["a"], "verbs": ["exec"]}, "verbs"),
        ({"namespaces": ["a"], "certificate_authority": "-----BEGIN"}, "PEM"),
    ],
)
def test_a_connection_that_does_not_hold_together_is_refused(
    cluster: FakeCluster, admin: Actor, options: dict[str, Any], problem: str
) -> None:
    project = Connection.objects.get().project
    fields: dict[str, Any] = {
        "kind": "kubernetes",
        "base_url": "https://cluster.example:6443",
        "authentication": "bearer",
        "secret_reference": "local:token",
        "options": {"namespaces": ["shop"]},
    }
    actions.create_connection(project, "good", actor=admin, **fields)
    with pytest.raises(Invalid, match=problem):
        actions.create_connection(project, "bad", actor=admin, **{**fields, "options": options})
