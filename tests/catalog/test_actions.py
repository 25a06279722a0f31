"""Operators change the catalog; whatever does not hold together is refused with every problem at once."""

from __future__ import annotations

from typing import Any

import pytest

from handrail.accounts.actors import CONSOLE
from handrail.accounts.models import Project
from handrail.audit.models import AuditEntry
from handrail.catalog import actions, connections, queries
from handrail.shared.actors import Actor
from handrail.shared.errors import Conflict, Forbidden, Invalid, NotFound
from tests import factories

pytestmark = pytest.mark.django_db


def test_a_connection_is_made_found_changed_and_deleted(project: Project, admin: Actor) -> None:
    made = actions.create_connection(
        project, "traffic", actor=admin, base_url="https://traffic.example/api/", allowed_methods=["put"]
    )
    assert connections.get(project, "traffic").base_url == "https://traffic.example/api"
    changed = actions.update_connection(made, actor=admin, allowed_paths=["/weights"])
    assert (changed.allowed_methods, changed.allowed_paths) == (["PUT"], ["/weights"])
    actions.delete_connection(changed, actor=admin)
    with pytest.raises(NotFound, match="none yet"):
        connections.get(project, "traffic")
    recorded = AuditEntry.objects.filter(object_type="connection").order_by("n")
    assert [entry.action for entry in recorded] == [
        "connection.created",
        "connection.updated",
        "connection.deleted",
    ]
    assert recorded[1].before_digest != recorded[1].after_digest


def test_a_connection_is_deleted_once_and_the_trail_tells_what_it_was(project: Project, admin: Actor) -> None:
    made = actions.create_connection(project, "traffic", base_url="https://traffic.example", actor=admin)
    actions.update_connection(made, base_url="https://other.example", actor=admin)
    actions.delete_connection(made, actor=admin)
    with pytest.raises(NotFound, match="has been deleted"):
        actions.delete_connection(made, actor=admin)
    updated, deleted = AuditEntry.objects.filter(object_type="connection", n__gt=1).order_by("n")
    assert deleted.action == "connection.deleted"
    assert deleted.before_digest == updated.after_digest


def test_a_taken_name_is_a_conflict(project: Project, admin: Actor) -> None:
    actions.create_connection(project, "x", actor=admin, base_url="https://x.example")
    with pytest.raises(Conflict, match="already"):
        actions.create_connection(project, "x", actor=admin, base_url="https://x.example")


def test_who_may_not_operate_changes_nothing(
    project: Project, responder: Actor, other_project: Project
) -> None:
    with pytest.raises(Forbidden):
        actions.create_connection(project, "x", actor=responder, base_url="https://x.example")
    with pytest.raises(NotFound):
        actions.create_service(other_project, "x", name="X", actor=responder)
    with pytest.raises(Forbidden):
        actions.create_pool("bash", allow_shell=True, actor=responder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("base_url", "ftp://x.example"),
        ("base_url", "https://user:secret@x.example"),
        ("base_url", "https://x.example/?a=1"),
        ("base_url", "https://x.example/a/../b"),
        ("base_url", "https://"),
        ("base_url", "https://x.example:99999"),
        ("base_url", "https://ex ample"),
        ("base_url", "https://[::1"),
        ("allowed_methods", ["CONNECT"]),
        ("allowed_methods", "GET"),
        ("allowed_paths", ["deploys"]),
        ("allowed_paths", ["/a/../b"]),
        ("allowed_paths", ["/a?b"]),
        ("allowed_networks", ["0.0.0.0/0"]),
        ("allowed_networks", [5]),
        ("timeout_seconds", 0),
        ("timeout_seconds", float("nan")),
        ("authentication", "magic"),
        ("authentication", "bearer"),
        ("secret_reference", "local:x"),
        ("description", "x" * 301),
    ],
)
def test_a_field_that_cannot_be_meant_is_named(
    project: Project, admin: Actor, field: str, value: Any
) -> None:
    fields: dict[str, Any] = {"base_url": "https://x.example", field: value}
    with pytest.raises(Invalid) as refused:
        actions.create_connection(project, "x", actor=admin, **fields)
    problems = refused.value.details["problems"]
    assert isinstance(problems, dict)
    assert set(problems) & {field, "secret_reference"}


def test_a_header_that_decides_where_a_request_goes_is_no_key(project: Project, admin: Actor) -> None:
    with pytest.raises(Invalid, match="X-Api-Key"):
        actions.create_connection(
            project, "x", actor=admin, base_url="https://x.example", authentication="header",
            header_name="Host", secret_reference="local:x",
        )  # fmt: skip


def test_another_projects_environment_is_refused(
    project: Project, other_project: Project, admin: Actor
) -> None:
    other = actions.create_environment(project, "eu-1", name="Europe", actor=admin)
    other.project = other_project
    other.save()
    with pytest.raises(Invalid, match="another project's"):
        actions.create_connection(project, "x", actor=admin, base_url="https://x.example", environment=other)


def test_pools_belong_to_the_installation(db: None) -> None:
    pool = actions.create_pool("containment", actor=CONSOLE)
    assert not pool.allow_shell
    assert actions.allow_shell(pool, allowed=True, actor=CONSOLE).allow_shell
    assert [pool.name for pool in queries.pools()] == ["containment"]


def test_only_what_is_visible_is_listed(project: Project, other_project: Project, admin: Actor) -> None:
    actions.create_connection(project, "mine", actor=admin, base_url="https://x.example")
    actions.create_service(project, "checkout", name="Checkout", tier=1, actor=admin)
    actions.create_environment(project, "eu-1", name="Europe", actor=admin)
    stranger = factories.actor(factories.person("stranger", {other_project: "admin"}))
    for visible in (
        queries.connections_visible_to,
        queries.services_visible_to,
        queries.environments_visible_to,
    ):
        assert visible(admin).count() == 1
        assert visible(stranger).count() == 0


def test_a_service_needs_a_name_and_a_tier(project: Project, admin: Actor) -> None:
    with pytest.raises(Invalid):
        actions.create_service(project, "x", name=" ", actor=admin)
    with pytest.raises(Invalid):
        actions.create_service(project, "x", name="X", tier=9, actor=admin)
    with pytest.raises(Invalid):
        actions.create_service(project, "Not A Slug", name="X", actor=admin)
