"""Acting over REST: starting, steering, deciding, editing, managing."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from handrail.accounts.idempotency import forget_answers
from handrail.accounts.models import KeptAnswer, Project
from handrail.audit.models import AuditEntry
from handrail.incidents.models import Incident, Postmortem, PostmortemSection
from handrail.shared.clock import now
from runbooks.models import Run
from tests import factories
from tests.api.conftest import script
from tests.api.sending import send

pytestmark = pytest.mark.django_db


def published(admin: Client, project: Project) -> dict[str, Any]:
    """A live runbook, made over REST as a script would make it."""
    body = {"project": project.slug, "source": factories.RUNBOOK}
    made = send(admin, "POST", "runbooks/", body)
    assert made.status_code == 201, made.content
    where = f"runbooks/{made.json()['id']}/"
    answer = send(admin, "POST", f"{where}publish/", {"message": "first"}, If_Match='"1"')
    assert answer.status_code == 201, answer.content
    return dict(admin.get(f"/api/v1/{where}").json())


def test_an_incident_is_opened_steered_and_noted(admin: Client, project: Project) -> None:
    factories.service(project)
    body = {"project": project.slug, "title": "It burns", "severity": "SEV1", "service": "checkout"}
    made = send(admin, "POST", "incidents/", body)
    assert made.status_code == 201, made.content
    where = f"incidents/{made.json()['id']}/"
    assert made.json()["service"] == "checkout"
    assert send(admin, "POST", f"{where}identify/", {"reason": "a deploy"}).json()["status"] == "identified"
    assert send(admin, "POST", f"{where}severity/", {"severity": "SEV3"}).json()["severity"] == "SEV3"
    assert send(admin, "POST", f"{where}notes/", {"text": "rolling back"}).status_code == 201
    again = send(admin, "POST", f"{where}severity/", {"severity": "SEV3"})
    assert again.status_code == 409
    assert "already" in again.json()["detail"]


def test_a_viewer_is_told_why_not(client: Client, project: Project) -> None:
    incident = factories.incident(project)
    answer = send(client, "POST", f"incidents/{incident.pk}/acknowledge/")
    assert answer.status_code == 403
    assert "respond" in answer.json()["detail"]
    assert Incident.objects.get(pk=incident.pk).status == "triage"


def test_a_service_of_another_project_is_not_taken(
    admin: Client, project: Project, other_project: Project
) -> None:
    factories.service(other_project)
    body = {"project": project.slug, "title": "It burns", "service": "checkout"}
    answer = send(admin, "POST", "incidents/", body)
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["name"] == "service"


def test_the_same_key_opens_one_incident(admin: Client, project: Project) -> None:
    body = {"project": project.slug, "title": "It burns"}
    first = send(admin, "POST", "incidents/", body, Idempotency_Key="k1")
    again = send(admin, "POST", "incidents/", body, Idempotency_Key="k1")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again["Idempotent-Replayed"] == "true"
    assert Incident.objects.count() == 1
    other = send(admin, "POST", "incidents/", {**body, "title": "Else"}, Idempotency_Key="k1")
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_key_reused"
    mine = send(script(project, "responder"), "POST", "incidents/", body, Idempotency_Key="k1")
    assert mine.status_code == 201
    assert Incident.objects.count() == 2


def test_a_refused_request_may_be_sent_again_with_its_key(admin: Client, project: Project) -> None:
    body = {"project": project.slug, "title": "It burns", "service": "checkout"}
    assert send(admin, "POST", "incidents/", body, Idempotency_Key="k1").status_code == 422
    factories.service(project)
    assert send(admin, "POST", "incidents/", body, Idempotency_Key="k1").status_code == 201


def test_kept_answers_are_forgotten_after_a_day(admin: Client, project: Project) -> None:
    body = {"project": project.slug, "title": "It burns"}
    send(admin, "POST", "incidents/", body, Idempotency_Key="k1")
    assert forget_answers() == 0
    KeptAnswer.objects.update(at=now().replace(year=2020))
    assert forget_answers() == 1


def test_a_runbook_is_written_published_started_and_stopped(admin: Client, project: Project) -> None:
    runbook = published(admin, project)
    assert runbook["live"]["number"] == 1
    where = f"runbooks/{runbook['id']}/"
    incident = factories.incident(project)
    started = send(
        admin, "POST", f"{where}runs/", {"inputs": {}, "incident": str(incident.pk)}, Idempotency_Key="k"
    )
    assert started.status_code == 201, started.content
    again = send(
        admin, "POST", f"{where}runs/", {"inputs": {}, "incident": str(incident.pk)}, Idempotency_Key="k"
    )
    assert again.json() == started.json()
    assert Run.objects.count() == 1
    run = started.json()["run"]
    assert run["summary"]
    shown = admin.get(f"/api/v1/runs/{run['id']}/").json()
    assert [step["node"] for step in shown["steps"]] == ["look"]
    step = shown["steps"][0]["run"]["id"]
    assert admin.get(f"/api/v1/runs/{run['id']}/steps/{step}/log/").json()["results"] == []
    assert "Look" in str(admin.get(f"/api/v1/runs/{run['id']}/stop/").json())
    assert send(admin, "POST", f"runs/{run['id']}/stop/", {"reason": ""}).status_code == 422
    assert send(admin, "POST", f"runs/{run['id']}/stop/", {"reason": "enough"}).status_code == 200
    nothing = send(admin, "POST", f"runs/{run['id']}/steps/{step}/decide/", {"choice": "done", "reason": "x"})
    assert nothing.status_code == 409


def test_unknown_inputs_are_refused_with_their_names(admin: Client, project: Project) -> None:
    where = f"runbooks/{published(admin, project)['id']}/"
    answer = send(admin, "POST", f"{where}runs/", {"inputs": {"colour": "red"}})
    assert answer.status_code == 422
    assert "colour" in str(answer.json()["problems"])


def test_nobody_overwrites_another_draft(admin: Client, project: Project) -> None:
    where = f"runbooks/{published(admin, project)['id']}/"
    body = {"source": factories.RUNBOOK.replace("Look", "Look twice")}
    assert send(admin, "PUT", f"{where}draft/", body).status_code == 428
    first = send(admin, "PUT", f"{where}draft/", body, If_None_Match="*")
    assert (first.status_code, first["ETag"][:3]) == (200, '"2-')
    tag = admin.get(f"/api/v1/{where}draft/")["ETag"]
    assert tag == first["ETag"]
    assert send(admin, "PUT", f"{where}draft/", body, If_Match=tag)["ETag"].startswith('"3-')
    stale = send(admin, "PUT", f"{where}draft/", body, If_Match='"2"')
    assert stale.status_code == 412
    assert stale.json()["revision"] == 3
    assert send(admin, "PUT", f"{where}draft/", body, If_Match="nonsense").status_code == 412
    assert send(admin, "POST", f"{where}publish/", {"message": ""}, If_Match='"2"').status_code == 412
    assert send(admin, "POST", f"{where}publish/", {"message": ""}, If_Match='"3"').status_code == 201
    assert send(admin, "POST", f"{where}roll-back/", {"number": 1, "reason": "worse"}).status_code == 200
    numbers = [row["number"] for row in admin.get(f"/api/v1/{where}versions/").json()["results"]]
    assert numbers == [2, 1]
    assert "Look" in admin.get(f"/api/v1/{where}versions/2/").json()["source"]


def test_a_source_is_checked_without_being_kept(client: Client) -> None:
    assert send(client, "POST", "runbooks/validate/", {"source": factories.RUNBOOK}).json()["valid"] is True
    wrong = send(client, "POST", "runbooks/validate/", {"source": "steps: 7"}).json()
    assert wrong["valid"] is False
    assert wrong["problems"][0]["line"] >= 1


def test_an_approval_is_decided_by_somebody_else(admin: Client, project: Project) -> None:
    run = factories.run(factories.runbook(project), state=Run.State.RUNNING)
    approval = factories.approval(run)
    shown = admin.get(f"/api/v1/approvals/{approval.pk}/").json()
    assert shown["may_decide"] is True
    assert send(admin, "POST", f"approvals/{approval.pk}/decide/", {"decision": "deny"}).status_code == 422
    assert send(admin, "POST", f"approvals/{approval.pk}/decide/", {"decision": 1}).status_code == 422
    viewer = send(
        script(project, "viewer"), "POST", f"approvals/{approval.pk}/decide/", {"decision": "approve"}
    )
    assert viewer.status_code == 403


def test_a_postmortem_is_edited_section_by_section(admin: Client, project: Project) -> None:
    incident = factories.incident(project, is_open=False, status="resolved", resolved_at=now())
    row = Postmortem.objects.create(incident=incident, generated_at=now())
    PostmortemSection.objects.create(
        postmortem=row, key="summary", position=1, title="Summary", generator_version="1"
    )
    where = f"incidents/{incident.pk}/postmortem/sections/summary/"
    tag = admin.get(f"/api/v1/{where}")["ETag"]
    assert send(admin, "PATCH", where, {"text": "Ours."}).status_code == 428
    assert send(admin, "PATCH", where, {"text": "Ours."}, If_Match=tag)["ETag"].startswith('"2-')
    stale = send(admin, "PATCH", where, {"text": "Theirs."}, If_Match='"1"')
    assert stale.status_code == 412
    assert stale.json()["theirs"] == "Ours."
    exported = admin.get(f"/api/v1/incidents/{incident.pk}/postmortem.md")
    assert exported["Content-Type"].startswith("text/markdown")
    assert "Ours." in exported.content.decode()
    assert send(admin, "DELETE", where, If_Match='"2"').json()["edited"] is None


def test_who_has_the_newest_already_is_told_so_without_a_body(admin: Client, project: Project) -> None:
    incident = factories.incident(project)
    postmortem = Postmortem.objects.create(incident=incident, generated_at=now())
    section = PostmortemSection.objects.create(
        postmortem=postmortem, key="summary", position=1, title="Summary", generator_version="1"
    )
    made = published(admin, project)
    draft = f"/api/v1/runbooks/{made['id']}/draft/"
    send(admin, "PUT", draft.removeprefix("/api/v1/"), {"source": "steps: 7"}, If_None_Match="*")
    for address in (draft, f"/api/v1/incidents/{incident.pk}/postmortem/sections/summary/"):
        tag = admin.get(address)["ETag"]
        for known in (tag, f"W/{tag}", f'"1-00000000", {tag}', "*"):
            answer = admin.get(address, headers={"If-None-Match": known})
            assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", tag), known
            assert "RateLimit" in answer
        assert admin.get(address, headers={"If-None-Match": '"1-00000000"'}).status_code == 200

    # Newer facts beside a text that somebody edited are no new revision.
    PostmortemSection.objects.filter(pk=section.pk).update(lines=[{"text": "New.", "events": []}])
    assert admin.get(address, headers={"If-None-Match": tag}).status_code == 200
    assert (
        send(admin, "PATCH", address.removeprefix("/api/v1/"), {"text": "x"}, If_Match=tag).status_code == 200
    )


def test_a_source_shows_its_key_once(admin: Client, project: Project) -> None:
    factories.service_account(project, "responder", username="robot")
    body = {"project": project.slug, "kind": "alertmanager", "name": "Alerts", "run_as": "robot"}
    made = send(admin, "POST", "sources/", body)
    assert made.status_code == 201, made.content
    key = made.json()["key"]
    assert key in made.json()["url"]
    where = f"sources/{made.json()['source']['id']}/"
    assert key not in admin.get(f"/api/v1/{where}").content.decode()
    rotated = send(admin, "POST", f"{where}rotate-key/")
    assert rotated.json()["key"] != key
    assert send(admin, "POST", f"{where}disable/").json()["enabled"] is False
    assert send(admin, "POST", f"{where}disable/").status_code == 409
    assert key not in str(list(AuditEntry.objects.values()))


def test_a_secret_goes_in_and_never_comes_out(admin: Client, client: Client, project: Project) -> None:
    where = f"projects/{project.slug}/secrets/db/password/"
    answer = send(admin, "PUT", where, {"value": "swordfish-swordfish"})
    assert answer.status_code == 200, answer.content
    assert answer.json()["reference"] == "local:db/password"
    listed = admin.get(f"/api/v1/projects/{project.slug}/secrets/")
    assert [row["name"] for row in listed.json()["results"]] == ["db/password"]
    assert b"swordfish" not in answer.content + listed.content
    assert client.get(f"/api/v1/projects/{project.slug}/secrets/").status_code == 403
    assert send(admin, "DELETE", where).status_code == 204
    assert send(admin, "DELETE", where).status_code == 404


def test_a_connection_is_made_and_changed(admin: Client, project: Project) -> None:
    factories.environment(project)
    body = {"project": project.slug, "name": "metrics", "base_url": "https://metrics.example"}
    made = send(admin, "POST", "connections/", {**body, "environment": "eu-1"})
    assert made.status_code == 201, made.content
    where = f"connections/{made.json()['id']}/"
    changed = send(admin, "PATCH", where, {"description": "Ours.", "timeout_seconds": 3})
    assert (changed.json()["description"], changed.json()["environment"]) == ("Ours.", "eu-1")
    assert send(admin, "PATCH", where, {"timeout_seconds": "3"}).status_code == 422
    assert send(admin, "DELETE", where).status_code == 204


def test_members_and_roles_are_managed(admin: Client, project: Project) -> None:
    factories.person("lin")
    team = send(admin, "POST", "teams/", {"project": project.slug, "slug": "dba", "name": "DBA"}).json()
    assert send(admin, "POST", f"teams/{team['id']}/members/", {"username": "lin"}).json()["members"] == [
        "lin"
    ]
    role = send(admin, "POST", "roles/", {"project": project.slug, "role": "approver", "team": "dba"})
    assert role.status_code == 201, role.content
    assert send(admin, "POST", "roles/", {"project": project.slug, "role": "viewer"}).status_code == 422
    assert send(admin, "DELETE", f"roles/{role.json()['id']}/").status_code == 204
    assert send(admin, "DELETE", f"teams/{team['id']}/members/lin/").status_code == 204
    robot = send(admin, "POST", "service-accounts/", {"project": project.slug, "username": "robot"})
    assert robot.status_code == 201


def test_a_token_makes_none_that_can_do_more(client: Client, admin: Client) -> None:
    made = send(admin, "POST", "tokens/", {"name": "ci", "scopes": ["view"]})
    assert made.status_code == 201, made.content
    assert made.json()["token"].startswith("hr_")
    assert send(admin, "DELETE", f"tokens/{made.json()['id']}/").status_code == 204
    assert send(client, "POST", "tokens/", {"name": "x", "scopes": ["respond"]}).status_code == 403
    revoked = Client(headers={"Authorization": f"Bearer {made.json()['token']}"})
    assert revoked.get("/api/v1/projects/").status_code == 401


def test_the_trail_names_the_request(admin: Client, project: Project) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = send(
        admin, "POST", "services/", {"project": project.slug, "slug": "pay", "name": "Pay"},
        X_Request_ID="req-7", traceparent=f"00-{trace}-b7ad6b7169203331-01",
    )  # fmt: skip
    assert answer["X-Request-ID"] == "req-7"
    assert answer["traceparent"].startswith(f"00-{trace}-")
    entry = admin.get("/api/v1/audit/?action=service.created").json()["results"][0]
    assert (entry["request_id"], entry["trace_id"], entry["channel"]) == ("req-7", trace, "api")
