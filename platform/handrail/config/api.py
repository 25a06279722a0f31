"""The addresses below ``/api/``: each app's endpoints, the description of all of them, and its page."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from handrail.accounts.api import audit, projects, tokens
from handrail.alerts import api as alerts
from handrail.catalog import api as catalog
from handrail.incidents.api import postmortems, reads, verbs
from handrail.shared.problems import problem
from handrail.vault import api as vault
from runbooks.api import (
    approvals,
    circuits,
    dead_letters,
    manual,
    runbooks,
    runs,
    steering,
    switches,
    workers,
)
from runbooks.language import json_schema
from runbooks.steps.registry import specs

_INCIDENT = "incidents/<uuid:incident_id>/"
_POSTMORTEM = f"{_INCIDENT}postmortem"
_RUNBOOK = "runbooks/<uuid:runbook_id>/"
_RUN = "runs/<uuid:run_id>/"
_STEP = f"{_RUN}steps/<uuid:step_id>/"
_SOURCE = "sources/<uuid:source_id>/"
_LETTER = "dead-letters/<uuid:letter_id>/"
_TEAM = "teams/<uuid:team_id>/"
_SECRETS = "projects/<slug:project>/secrets/"


@csrf_exempt
@require_safe
def runbook_schema(request: HttpRequest) -> JsonResponse:
    """The JSON Schema of the runbook language with this installation's actions, for editors."""
    return JsonResponse(json_schema(specs()), content_type="application/schema+json")


@csrf_exempt
def no_address(request: HttpRequest, rest: str) -> HttpResponse:
    """404 as a problem, for every other address below ``/api/``."""
    hint = "" if rest.endswith("/") else " Addresses end with a slash."
    return problem(404, f"The API has no such address.{hint} All are listed at /api/docs/.", code="not_found")


_people: list[URLPattern | URLResolver] = [
    path("projects/", projects.Projects.as_view(), name="api_projects"),
    path("projects/<slug:project>/", projects.OneProject.as_view(), name="api_project"),
    path(_SECRETS, vault.Secrets.as_view(), name="api_secrets"),
    path(f"{_SECRETS}<path:name>/", vault.OneSecret.as_view(), name="api_secret"),
    path("teams/", projects.Teams.as_view(), name="api_teams"),
    path(f"{_TEAM}members/", projects.Members.as_view(), name="api_members"),
    path(f"{_TEAM}members/<str:username>/", projects.OneMember.as_view(), name="api_member"),
    path("roles/", projects.Roles.as_view(), name="api_roles"),
    path("roles/<uuid:role_id>/", projects.OneRole.as_view(), name="api_role"),
    path("service-accounts/", projects.ServiceAccounts.as_view(), name="api_service_accounts"),
    path("tokens/", tokens.Tokens.as_view(), name="api_tokens"),
    path("tokens/<uuid:token_id>/", tokens.OneToken.as_view(), name="api_token"),
    path("audit/", audit.AuditTrail.as_view(), name="api_audit"),
]

_production: list[URLPattern | URLResolver] = [
    path("services/", catalog.Services.as_view(), name="api_services"),
    path("environments/", catalog.Environments.as_view(), name="api_environments"),
    path("connections/", catalog.Connections.as_view(), name="api_connections"),
    path("connections/<uuid:connection_id>/", catalog.OneConnection.as_view(), name="api_connection"),
    path("sources/", alerts.Sources.as_view(), name="api_sources"),
    path(_SOURCE, alerts.OneSource.as_view(), name="api_source"),
    path(f"{_SOURCE}rotate-key/", alerts.RotateKey.as_view(), name="api_source_rotate_key"),
    *(
        path(f"{_SOURCE}{name}/", view, name=f"api_source_{name.replace('-', '_')}")
        for name, view in alerts.SWITCHES.items()
    ),
    path("deliveries/", alerts.Deliveries.as_view(), name="api_deliveries"),
    path("deliveries/<uuid:delivery_id>/retry/", alerts.RetryDelivery.as_view(), name="api_delivery_retry"),
    path("dead-letters/", dead_letters.DeadLetters.as_view(), name="api_dead_letters"),
    path("dead-letters/retry/", dead_letters.Retry.as_view(), name="api_dead_letters_retry"),
    path("dead-letters/discard/", dead_letters.Discard.as_view(), name="api_dead_letters_discard"),
    path(_LETTER, dead_letters.OneDeadLetter.as_view(), name="api_dead_letter"),
    path(f"{_LETTER}assign/", dead_letters.Assign.as_view(), name="api_dead_letter_assign"),
    path("alerts/", alerts.Alerts.as_view(), name="api_alerts"),
    path("alerts/<uuid:alert_id>/", alerts.OneAlert.as_view(), name="api_alert"),
]

_incidents: list[URLPattern | URLResolver] = [
    path("incidents/", verbs.Incidents.as_view(), name="api_incidents"),
    path(_INCIDENT, reads.OneIncident.as_view(), name="api_incident"),
    path(f"{_INCIDENT}timeline/", reads.Timeline.as_view(), name="api_timeline"),
    path(f"{_INCIDENT}notes/", verbs.Notes.as_view(), name="api_notes"),
    *(
        path(f"{_INCIDENT}{name}/", view, name=f"api_incident_{name.replace('-', '_')}")
        for name, view in verbs.VERBS.items()
    ),
    path(f"{_POSTMORTEM}/", postmortems.OnePostmortem.as_view(), name="api_postmortem"),
    path(f"{_POSTMORTEM}.md", postmortems.Markdown.as_view(), name="api_postmortem_markdown"),
    path(f"{_POSTMORTEM}/sections/<str:key>/", postmortems.Section.as_view(), name="api_postmortem_section"),
]

_runbooks: list[URLPattern | URLResolver] = [
    path("runbooks/", runbooks.Runbooks.as_view(), name="api_runbooks"),
    path("runbooks/validate/", runbooks.Validate.as_view(), name="api_runbook_validate"),
    path(_RUNBOOK, runbooks.OneRunbook.as_view(), name="api_runbook"),
    path(f"{_RUNBOOK}versions/", runbooks.Versions.as_view(), name="api_versions"),
    path(f"{_RUNBOOK}versions/<int:number>/", runbooks.OneVersion.as_view(), name="api_version"),
    path(f"{_RUNBOOK}draft/", runbooks.Draft.as_view(), name="api_draft"),
    path(f"{_RUNBOOK}publish/", runbooks.Publish.as_view(), name="api_publish"),
    path(f"{_RUNBOOK}roll-back/", runbooks.RollBack.as_view(), name="api_roll_back"),
    path(f"{_RUNBOOK}runs/", runbooks.Start.as_view(), name="api_start"),
    path("runs/", runs.Runs.as_view(), name="api_runs"),
    path(_RUN, runs.OneRun.as_view(), name="api_run"),
    path(f"{_RUN}stop/", steering.Stop.as_view(), name="api_run_stop"),
    path(f"{_RUN}pause/", steering.Pause.as_view(), name="api_run_pause"),
    path(f"{_RUN}resume/", steering.Resume.as_view(), name="api_run_resume"),
    path(f"{_RUN}restart/", steering.Restart.as_view(), name="api_run_restart"),
    path(f"{_RUN}checklist/", steering.Checklist.as_view(), name="api_run_checklist"),
    path(f"{_RUN}decisions/", steering.Decisions.as_view(), name="api_run_decisions"),
    path(f"{_RUN}steps/", runs.Steps.as_view(), name="api_run_steps"),
    path(f"{_RUN}artifacts/", runs.Artifacts.as_view(), name="api_artifacts"),
    path(f"{_RUN}artifacts/<uuid:artifact_id>/content/", runs.ArtifactContent.as_view(), name="api_artifact"),
    path(f"{_RUN}steps/<str:step>/skip/", steering.Skip.as_view(), name="api_step_skip"),
    path(f"{_STEP}log/", runs.Log.as_view(), name="api_step_log"),
    path(f"{_STEP}answer/", runs.Answer.as_view(), name="api_step_answer"),
    path(f"{_STEP}decide/", runs.Decide.as_view(), name="api_step_decide"),
    path("manual-steps/", manual.ManualSteps.as_view(), name="api_manual_steps"),
    path("circuits/", circuits.Circuits.as_view(), name="api_circuits"),
    path("circuits/<uuid:circuit_id>/", circuits.OneCircuit.as_view(), name="api_circuit"),
    path("circuits/<uuid:circuit_id>/close/", circuits.CloseCircuit.as_view(), name="api_circuit_close"),
    path(
        "circuits/<uuid:circuit_id>/keep-open/",
        circuits.KeepCircuitOpen.as_view(),
        name="api_circuit_keep_open",
    ),
    path("switches/", switches.Switches.as_view(), name="api_switches"),
    path("switches/<uuid:switch_id>/off/", switches.SwitchOff.as_view(), name="api_switch_off"),
    path("refused-starts/", switches.RefusedStarts.as_view(), name="api_refused_starts"),
    path("refused-starts/<uuid:refused_id>/seen/", switches.Seen.as_view(), name="api_refused_start_seen"),
    path("workers/", workers.Workers.as_view(), name="api_workers"),
    path("pools/", workers.Pools.as_view(), name="api_pools"),
    path("approvals/", approvals.Approvals.as_view(), name="api_approvals"),
    path("approvals/<uuid:approval_id>/", approvals.OneApproval.as_view(), name="api_approval"),
    path("approvals/<uuid:approval_id>/decide/", approvals.Decide.as_view(), name="api_approval_decide"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("v1/", include([*_people, *_production, *_incidents, *_runbooks])),
    # JSON for whoever does not say what they accept: rendering YAML takes three times as long.
    path(
        "schema/",
        SpectacularAPIView.as_view(
            renderer_classes=[
                OpenApiJsonRenderer,
                OpenApiJsonRenderer2,
                OpenApiYamlRenderer,
                OpenApiYamlRenderer2,
            ]
        ),
        name="api_schema",
    ),
    path("schema/runbook.json", runbook_schema, name="api_schema_runbook"),
    path(
        "docs/",
        SpectacularSwaggerSplitView.as_view(
            url_name="api_schema", url_self="/api/docs/", template_name="api/docs.html"
        ),
        name="api_docs",
    ),
    re_path(r"^(?P<rest>.*)$", no_address, name="api_no_address"),
]
