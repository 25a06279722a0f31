"""A Job is started once; a node is drained as far as disruption budgets allow, and said so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from handrail.accounts.models import Project
from integrations.kubernetes.nodes import Drain
from runbooks.steps import registry
from runbooks.steps.base import ActionContext, InvalidInputs, Outcome
from tests.integrations.kubernetes.cluster import FakeCluster, pod, status
from tests.integrations.outcomes import failure, success
from tests.runbooks.steps.conftest import Heard, MakeContext

pytestmark = pytest.mark.django_db
JOBS = "/apis/batch/v1/namespaces/shop/jobs"
PODS = "/api/v1/namespaces/shop/pods"
SPEC = {"template": {"spec": {"containers": [{"name": "a", "image": "a"}], "restartPolicy": "Never"}}}


def run(context: ActionContext, action: str, **inputs: Any) -> Outcome:
    return registry.get(f"kubernetes.{action}").run({"connection": "prod", **inputs}, context)


def start(context: ActionContext, **inputs: Any) -> Outcome:
    return run(context, "job", namespace="shop", **inputs)


def test_a_job_of_a_cronjob_is_started_once(cluster: FakeCluster, context: ActionContext) -> None:
    template = {"metadata": {"labels": {"app": "reindex"}}, "spec": SPEC}
    cluster.objects["/apis/batch/v1/namespaces/shop/cronjobs/reindex"] = {"spec": {"jobTemplate": template}}
    first = success(start(context, cronjob="reindex")).outputs
    assert success(start(context, cronjob="reindex")).outputs == first
    [(method, path, job)] = cluster.changes
    assert (method, path, job["spec"]) == ("POST", JOBS, SPEC)
    assert job["metadata"]["labels"] == {"app": "reindex"}
    assert str(first["name"]).startswith("reindex-")


def test_a_job_of_somebody_else_with_the_name_is_a_conflict(
    cluster: FakeCluster, context: ActionContext
) -> None:
    name = success(start(context, spec=SPEC, name="mine")).outputs["name"]
    cluster.objects[f"{JOBS}/{name}"]["metadata"]["annotations"] = {}
    assert failure(start(context, spec=SPEC, name="mine")).code == "conflict"


def test_a_conflict_about_something_else_is_told_as_it_was(
    cluster: FakeCluster, context: ActionContext
) -> None:
    words = 'Operation cannot be fulfilled on resourcequotas "small": the object has been modified'
    cluster.fault = lambda request: status(409, "Conflict", words) if request.method == "POST" else None
    outcome = failure(start(context, spec=SPEC, name="mine"))
    assert (outcome.code, words in outcome.message) == ("conflict", True)


def test_a_dry_run_starts_no_job(cluster: FakeCluster, context: ActionContext) -> None:
    success(start(context, spec=SPEC, name="x" * 80, dry_run=True))
    assert cluster.changes == []


@pytest.mark.parametrize("inputs", [{}, {"cronjob": "a", "spec": SPEC}, {"spec": SPEC}, {"cronjob": "A b"}])
def test_a_job_needs_one_origin_and_a_name(inputs: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputs):
        registry.get("kubernetes.job").bind({"connection": "prod", "namespace": "shop", **inputs})


def test_a_job_is_looked_at(cluster: FakeCluster, context: ActionContext) -> None:
    state: dict[str, Any] = {"active": 1}
    cluster.objects[f"{JOBS}/j"] = {"metadata": {"name": "j"}, "status": state}
    look = {"namespace": "shop", "name": "j"}
    assert success(run(context, "job_status", **look)).outputs == {
        "complete": False, "active": 1, "succeeded": 0, "failed": 0,
    }  # fmt: skip
    state["conditions"] = [{"type": "Complete", "status": "True"}]
    assert success(run(context, "job_status", **look)).outputs["complete"] is True
    state["conditions"] = [{"type": "Failed", "status": "True", "message": "Job has reached its limit"}]
    outcome = failure(run(context, "job_status", **look))
    assert (outcome.code, "reached its limit" in outcome.message) == ("job_failed", True)


@pytest.fixture
def node(cluster: FakeCluster) -> FakeCluster:
    cluster.objects["/api/v1/nodes/node-1"] = {"metadata": {"name": "node-1"}, "spec": {}}
    for found in (
        pod("web-1"),
        pod("web-2"),
        pod("agent", owner="DaemonSet"),
        pod("done", owner="", phase="Succeeded"),
        pod("static", owner="Node", metadata={"annotations": {"kubernetes.io/config.mirror": "x"}}),
        pod("elsewhere", spec={"nodeName": "node-2"}),
    ):
        cluster.objects[f"{PODS}/{found['metadata']['name']}"] = found
    return cluster


def ends(node: FakeCluster) -> None:
    """What the kubelet does: pods that are being deleted are gone."""
    for place, found in list(node.objects.items()):
        if found["metadata"].get("deletionTimestamp"):
            del node.objects[place]


def drain(context: ActionContext, pause: Callable[[float], None], **inputs: Any) -> Outcome:
    return Drain(pause=pause).run({"connection": "prod", "node": "node-1", **inputs}, context)


def evicted(node: FakeCluster) -> list[str]:
    return [path.split("/")[-2] for _, path, _ in node.changes if path.endswith("/eviction")]


def test_a_node_is_cordoned_and_its_pods_evicted(node: FakeCluster, context: ActionContext) -> None:
    assert success(drain(context, lambda _: ends(node))).outputs == {"evicted": 2, "left": []}
    assert evicted(node) == ["web-1", "web-2"]
    assert node.changes[0][2] == {"spec": {"unschedulable": True}}
    assert success(run(context, "cordon", node="node-1", cordoned=False)).outputs == {"unschedulable": False}


def test_a_disruption_budget_is_asked_again_until_it_allows(
    node: FakeCluster, context: ActionContext
) -> None:
    node.blocked = {"web-2"}

    def later(_: float) -> None:
        ends(node)
        if evicted(node) == ["web-1"]:
            node.blocked = set()

    assert success(drain(context, later)).outputs["evicted"] == 2
    assert evicted(node) == ["web-1", "web-2"]


def test_a_budget_that_never_allows_is_told_when_time_is_over(
    node: FakeCluster, project: Project, make_context: MakeContext
) -> None:
    node.blocked = {"web-2"}
    outcome = failure(drain(make_context(project, seconds=1.5), lambda _: ends(node)))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == ("disruption_budget", True, False)
    assert "shop/web-2" in outcome.message
    assert outcome.outputs["evicted"] == 1


def test_a_pod_that_was_replaced_under_its_name_is_not_evicted_for_the_old_one(
    node: FakeCluster, context: ActionContext
) -> None:
    def replaced(request: Any) -> Any:
        if request.path.endswith("web-1/eviction"):
            node.objects[f"{PODS}/web-1"] = pod("web-1", metadata={"uid": "new"}, spec={"nodeName": "node-2"})
        return None

    node.fault = replaced
    success(drain(context, lambda _: ends(node)))
    assert evicted(node) == ["web-2"]


@pytest.mark.parametrize(
    ("odd", "code", "allowed"),
    [
        (pod("alone", owner=""), "unmanaged_pods", "force"),
        (
            pod("local", spec={"volumes": [{"name": "x", "emptyDir": {}}]}),
            "local_data",
            "delete_emptydir_data",
        ),
    ],
)
def test_what_would_be_lost_is_refused_before_anything_happens(
    node: FakeCluster, context: ActionContext, odd: dict[str, Any], code: str, allowed: str
) -> None:
    node.objects[f"{PODS}/odd"] = odd
    outcome = failure(drain(context, lambda _: ends(node)))
    assert (outcome.code, node.changes) == (code, [])
    assert allowed in outcome.message
    node.objects[f"{PODS}/{odd['metadata']['name']}"] = node.objects.pop(f"{PODS}/odd")
    assert success(drain(context, lambda _: ends(node), **{allowed: True})).outputs["evicted"] == 3


def test_a_stopped_run_evicts_no_more(node: FakeCluster, context: ActionContext, heard: Heard) -> None:
    heard.cancelled = True
    assert failure(drain(context, lambda _: ends(node))).code == "cancelled"
    assert evicted(node) == []
