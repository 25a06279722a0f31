"""How far a rollout has come, read as ``kubectl rollout status`` reads it. Pure.

Source: https://github.com/kubernetes/kubectl, pkg/polymorphichelpers/rollout_status.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from integrations.kubernetes.client import Object, at, count, items, text
from runbooks.language.definition import Json


@dataclass(frozen=True, slots=True)
class Rollout:
    """``failed``: the controller has given up waiting, or never does anything."""

    complete: bool
    message: str
    failed: bool = False


def rollout_of(kind: str, found: Object) -> Rollout:
    """The rollout of a Deployment, StatefulSet or DaemonSet."""
    if text(found, "spec", "updateStrategy", "type") == "OnDelete":
        words = "The update strategy is OnDelete: pods are replaced when somebody deletes them, so nothing rolls out."
        return Rollout(complete=False, message=words, failed=True)
    if count(found, "metadata", "generation") > count(found, "status", "observedGeneration"):
        return Rollout(complete=False, message="The controller has not seen the newest specification yet.")
    if kind == "deployment":
        return _deployment(found)
    return _statefulset(found) if kind == "statefulset" else _daemonset(found)


def _wanted(found: Object) -> int:
    """``spec.replicas``, which means 1 when it is left out."""
    value: Json = at(found, "spec", "replicas")
    return value if isinstance(value, int) else 1


def _deployment(found: Object) -> Rollout:
    for condition in items(found, "status", "conditions"):
        if text(condition, "reason") == "ProgressDeadlineExceeded":
            return Rollout(
                complete=False, message="The deployment exceeded its progress deadline.", failed=True
            )
    wanted, updated = _wanted(found), count(found, "status", "updatedReplicas")
    if updated < wanted:
        return Rollout(complete=False, message=f"{updated} of {wanted} replicas are updated.")
    old = count(found, "status", "replicas") - updated
    if old > 0:
        return Rollout(complete=False, message=f"{old} old replicas are still there.")
    available = count(found, "status", "availableReplicas")
    if available < updated:
        return Rollout(complete=False, message=f"{available} of {updated} updated replicas are available.")
    return Rollout(complete=True, message=f"All {updated} replicas are updated and available.")


def _statefulset(found: Object) -> Rollout:
    wanted, ready = _wanted(found), count(found, "status", "readyReplicas")
    updated = count(found, "status", "updatedReplicas")
    partition = count(found, "spec", "updateStrategy", "rollingUpdate", "partition")
    if ready < wanted:
        return Rollout(complete=False, message=f"{ready} of {wanted} replicas are ready.")
    if updated < wanted - partition:
        return Rollout(complete=False, message=f"{updated} of {wanted - partition} replicas are updated.")
    if not partition and at(found, "status", "updateRevision") != at(found, "status", "currentRevision"):
        return Rollout(
            complete=False, message=f"{updated} replicas are updated; the last ones are being replaced."
        )
    return Rollout(complete=True, message=f"All {wanted - partition} replicas are updated and ready.")


def _daemonset(found: Object) -> Rollout:
    wanted = count(found, "status", "desiredNumberScheduled")
    updated = count(found, "status", "updatedNumberScheduled")
    available = count(found, "status", "numberAvailable")
    if updated < wanted:
        return Rollout(complete=False, message=f"{updated} of {wanted} pods are updated.")
    if available < wanted:
        return Rollout(complete=False, message=f"{available} of {wanted} updated pods are available.")
    return Rollout(complete=True, message=f"All {wanted} pods are updated and available.")
