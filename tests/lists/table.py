"""What to ask of every list. A new page or endpoint that answers a GET goes into LISTS or into NO_LISTS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.lists.plenty import Plenty


@dataclass(frozen=True, slots=True)
class Listing:
    """``most``: kind -> how many rows of it one page may show. ``where``: the address, from what is ours."""

    where: Callable[[Plenty], str]
    queries: int
    most: Mapping[str, int]
    headers: Mapping[str, str] = field(default_factory=dict)


def at(address: str) -> Callable[[Plenty], str]:
    """An address without parameters."""
    return lambda ours: address


def api(kind: str, address: str | Callable[[Plenty], str] = "", queries: int = 12) -> Listing:
    """A list of the API: fifty rows a page unless asked for another number."""
    where = address if callable(address) else at(f"/api/v1/{address or kind + 's'}/")
    return Listing(where, queries, {kind: 50})


def web(
    address: str | Callable[[Plenty], str],
    queries: int,
    headers: Mapping[str, str] | None = None,
    **most: int,
) -> Listing:
    """A page."""
    return Listing(at(address) if isinstance(address, str) else address, queries, most, headers or {})


def of_incident(rest: str = "") -> Callable[[Plenty], str]:
    return lambda ours: f"/incidents/{ours.incident.pk}/{rest}"


def of_run(rest: str) -> Callable[[Plenty], str]:
    return lambda ours: f"/api/v1/runs/{ours.run.pk}/{rest}"


LISTS: dict[str, Listing | tuple[Listing, ...]] = {
    "api_alerts": api("alert"),
    "api_approvals": api("approval"),
    "api_audit": api("audit", "audit"),
    "api_circuits": api("circuit"),
    "api_connections": api("connection"),
    "api_dead_letters": api("letter", "dead-letters"),
    "api_deliveries": api("delivery", "deliveries"),
    "api_environments": api("environment"),
    "api_incidents": api("incident"),
    "api_timeline": api("event", lambda ours: f"/api/v1{of_incident('timeline/')(ours)}"),
    "api_manual_steps": api("manual", "manual-steps"),
    "api_projects": api("project"),
    "api_secrets": api("secret", lambda ours: f"/api/v1/projects/{ours.project.slug}/secrets/"),
    "api_roles": api("person", "roles"),
    "api_runbooks": api("runbook"),
    "api_versions": api("version", lambda ours: f"/api/v1/runbooks/{ours.runbook.pk}/versions/"),
    "api_runs": api("run"),
    "api_switches": api("switch", "switches"),
    "api_refused_starts": api("refused", "refused-starts"),
    "api_run_steps": api("step", of_run("steps/")),
    "api_run_checklist": api("item", lambda ours: f"/api/v1/runs/{ours.handed.pk}/checklist/"),
    "api_artifacts": api("file", of_run("artifacts/")),
    "api_step_log": api("line", lambda ours: of_run(f"steps/{ours.step.pk}/log/")(ours)),
    "api_service_accounts": api("robot", "service-accounts"),
    "api_services": api("service"),
    "api_sources": api("source"),
    "api_teams": api("team"),
    "api_tokens": api("token"),
    "api_workers": api("worker", "workers"),
    "api_pools": Listing(at("/api/v1/pools/"), 12, {}),
    "workers": web("/workers/", 24, worker=50),
    "now": web("/", 52, incident=50, approval=20, run=20, refused=20, switch=20),
    "incidents": (web("/incidents/", 20, incident=25), web("/incidents/?state=all&q=ours", 20, incident=25)),
    "runbooks": (web("/runbooks/", 20, runbook=25), web("/runbooks/?q=ours&show=live", 20, runbook=25)),
    "runs": (web("/runs/", 20, run=25), web("/runs/?state=open", 20, run=25)),
    "switches": web("/switches/", 20, switch=45),
    "approvals": tuple(
        web(f"/approvals/?show={show}", 20, approval=25) for show in ("mine", "pending", "all")
    ),
    "dead_letters": (
        web("/dead-letters/", 24, letter=25),
        web("/dead-letters/?owner=nobody&kind=delivery", 24, letter=25),
    ),
    "dead_letter": web(lambda ours: f"/dead-letters/{ours.letter.pk}/", 24),
    "audit": (web("/audit/", 16, audit=50), web("/audit/?action=ours", 16, audit=50)),
    "circuits": (web("/circuits/", 20, circuit=25), web("/circuits/?show=all", 20, circuit=25)),
    "jump": (
        web("/jump?q=", 16, incident=6, runbook=6),
        Listing(at("/jump?q=-"), 16, {"incident": 6, "runbook": 6}, {"HX-Request": "true"}),
    ),
    "account": web("/account/", 20, token=25),
    "incident": (
        web(of_incident(), 45, event=200, alert=20, run=10, approval=10),
        web(of_incident("?show=messages"), 45, event=200, alert=20, run=10, approval=10),
    ),
    "alert": web(lambda ours: f"/alerts/{ours.alert.pk}/", 20, episode=5, incident=5),
    "runbook": web(
        lambda ours: f"/runbooks/{ours.project.slug}/{ours.runbook.slug}/", 34, version=20, run=10
    ),
    "run": (
        web(lambda ours: f"/runs/{ours.run.pk}/", 25, line=1000),
        web(lambda ours: f"/runs/{ours.handed.pk}/", 22, item=25),
    ),
    "run_step": web(lambda ours: f"/runs/{ours.run.pk}/steps/{ours.step.pk}/", 25, line=1000),
    "approval": web(lambda ours: f"/approvals/{ours.approval.pk}/", 25),
    "postmortem": web(lambda ours: f"/incidents/{ours.ended.pk}/postmortem/", 20),
    "incident_new": web("/incidents/new/", 20),
    "api_approval": Listing(lambda ours: f"/api/v1/approvals/{ours.approval.pk}/", 16, {}),
    "api_alert": Listing(lambda ours: f"/api/v1/alerts/{ours.alert.pk}/", 8, {}),
    "api_incident": Listing(lambda ours: f"/api/v1{of_incident()(ours)}", 8, {}),
    "api_postmortem": Listing(lambda ours: f"/api/v1/incidents/{ours.ended.pk}/postmortem/", 8, {}),
    "api_run": Listing(of_run(""), 16, {}),
    "api_run_stop": Listing(of_run("stop/"), 16, {}),
    "api_runbook": Listing(lambda ours: f"/api/v1/runbooks/{ours.runbook.pk}/", 8, {}),
    "api_project": Listing(lambda ours: f"/api/v1/projects/{ours.project.slug}/", 8, {}),
}
"""Route -> what to ask of it. Pages of one object stand here, too, if there is more on them the longer it lives."""

NO_LISTS = {
    "api_docs", "api_schema", "api_schema_runbook", "sign_in", "one_time_link",  # no rows
    "healthz", "readyz", "metrics",  # figures
    "now_live", "incident_live", "run_live",  # streams: they name regions, never rows
    "api_circuit", "api_connection", "api_dead_letter", "api_draft", "api_source",  # one row, and no more
    "api_version", "api_postmortem_section",
    "api_postmortem_markdown", "postmortem_markdown", "postmortem_section",  # one document
    "run_file", "run_step_value", "api_artifact",  # one file
    "api_run_restart", "api_run_resume",  # one run: as many as its runbook has steps
    "runbook_edit", "runbook_new", "runbook_publish", "runbook_version",  # one text
}  # fmt: skip
"""Routes with nothing on them that grows."""


def cases() -> list[tuple[str, Listing]]:
    """Each way to ask for a list."""
    return [
        (name, one)
        for name, found in LISTS.items()
        for one in (found if isinstance(found, tuple) else (found,))
    ]
