"""Which resources can be named, and where the API has them. Secrets cannot: their values would become outputs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runbooks.steps.base import InvalidInputs
from runbooks.steps.inputs import Reader

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")
_PLACES = {
    "configmap": "/api/v1|configmaps",
    "cronjob": "/apis/batch/v1|cronjobs",
    "daemonset": "/apis/apps/v1|daemonsets",
    "deployment": "/apis/apps/v1|deployments",
    "horizontalpodautoscaler": "/apis/autoscaling/v2|horizontalpodautoscalers",
    "ingress": "/apis/networking.k8s.io/v1|ingresses",
    "job": "/apis/batch/v1|jobs",
    "pod": "/api/v1|pods",
    "poddisruptionbudget": "/apis/policy/v1|poddisruptionbudgets",
    "service": "/api/v1|services",
    "statefulset": "/apis/apps/v1|statefulsets",
}
KINDS = tuple(sorted(_PLACES))
SCALABLE = ("deployment", "statefulset")
ROLLING = ("daemonset", "deployment", "statefulset")


@dataclass(frozen=True, slots=True)
class Resource:
    """One object of a namespace."""

    kind: str
    name: str
    namespace: str

    @property
    def path(self) -> str:
        """Its place in the API."""
        return f"{collection(self.kind, self.namespace)}/{self.name}"

    def __str__(self) -> str:
        return f"{self.kind}/{self.name} in {self.namespace}"


def collection(kind: str, namespace: str) -> str:
    """The place of all objects of a kind in a namespace."""
    group, plural = _PLACES[kind].split("|")
    return f"{group}/namespaces/{namespace}/{plural}"


def read_name(reader: Reader, field: str) -> str:
    """A name that Kubernetes accepts, and that is one segment of a path."""
    name = reader.text(field)
    if not _NAME.match(name) or ".." in name:
        raise InvalidInputs(
            f"`{field}` must be a name of Kubernetes: a-z, 0-9, `-` and `.`; it is {name[:60]!r}."
        )
    return name


def read_resource(reader: Reader, kinds: tuple[str, ...], default: str | None = None) -> Resource:
    """``kind``, ``name`` and ``namespace``."""
    kind = reader.text("kind", default).lower()
    if kind not in kinds:
        raise InvalidInputs(f"`kind` must be one of {', '.join(kinds)}.")
    return Resource(kind, read_name(reader, "name"), read_name(reader, "namespace"))
