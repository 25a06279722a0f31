"""The addresses of runbooks, runs and approvals."""

from __future__ import annotations

from django.urls import URLPattern, path

from handrail.web import (
    approval,
    approval_list,
    files,
    run,
    run_list,
    run_live,
    run_steering,
    run_verbs,
    runbook,
    runbook_editor,
    runbook_list,
    runbook_publish,
    runbook_version,
    switches,
)

RUN = "runs/<uuid:run_id>/"
APPROVAL = "approvals/<uuid:approval_id>/"
ONE = "runbooks/<slug:project>/<slug:slug>/"

runbook_pages: list[URLPattern] = [
    path("runbooks/", runbook_list.runbook_list, name="runbooks"),
    path("runbooks/new/", runbook_editor.new_runbook, name="runbook_new"),
    path("runbooks/new/validate/", runbook_editor.validate, name="runbook_new_validate"),
    path(ONE, runbook.runbook, name="runbook"),
    path(f"{ONE}start/", run_verbs.start, name="runbook_start"),
    path(f"{ONE}edit/", runbook_editor.edit_runbook, name="runbook_edit"),
    path(f"{ONE}validate/", runbook_editor.validate, name="runbook_validate"),
    path(f"{ONE}discard/", runbook_editor.discard, name="runbook_discard"),
    path(f"{ONE}publish/", runbook_publish.publish, name="runbook_publish"),
    path(f"{ONE}versions/<int:number>/", runbook_version.runbook_version, name="runbook_version"),
    path(f"{ONE}versions/<int:number>/roll-back/", runbook_version.roll_back, name="runbook_roll_back"),
]

run_pages: list[URLPattern] = [
    path("runs/", run_list.run_list, name="runs"),
    path(RUN, run.run, name="run"),
    path(f"{RUN}live/", run_live.run_live, name="run_live"),
    path(f"{RUN}stop/", run_steering.stop, name="run_stop"),
    path(f"{RUN}pause/", run_steering.pause, name="run_pause"),
    path(f"{RUN}resume/", run_steering.resume, name="run_resume"),
    path(f"{RUN}restart/", run_steering.restart, name="run_restart"),
    path(f"{RUN}skip/", run_steering.skip, name="run_skip"),
    path(f"{RUN}checklist/", run_steering.tick, name="run_checklist"),
    path(f"{RUN}decisions/", run_steering.decide_steps, name="run_decisions"),
    path(f"{RUN}steps/<uuid:step_id>/", run.run_step, name="run_step"),
    path(f"{RUN}files/<uuid:artifact_id>/", files.run_file, name="run_file"),
    path(f"{RUN}steps/<uuid:step_id>/<str:name>.json", files.step_value, name="run_step_value"),
    path(f"{RUN}steps/<uuid:step_id>/answer/", run_verbs.answer_step, name="run_step_answer"),
    path(f"{RUN}steps/<uuid:step_id>/decide/", run_verbs.decide_step, name="run_step_decide"),
]

approval_pages: list[URLPattern] = [
    path("approvals/", approval_list.approval_list, name="approvals"),
    path(APPROVAL, approval.approval, name="approval"),
    path(f"{APPROVAL}decide/", approval.decide, name="approval_decide"),
]

switch_pages: list[URLPattern] = [
    path("switches/", switches.switch_list, name="switches"),
    path("switches/<uuid:switch_id>/off/", switches.turn_off, name="switch_off"),
    path("refused-starts/<uuid:refused_id>/seen/", switches.refusal_seen, name="refused_start_seen"),
]

urlpatterns: list[URLPattern] = [*runbook_pages, *run_pages, *approval_pages, *switch_pages]
