"""The addresses of Now, incidents, alerts, postmortems, the audit trail and the palette."""

from __future__ import annotations

from django.conf import settings
from django.urls import URLPattern, path

from handrail.web import (
    alert,
    audit,
    gallery,
    incident,
    incident_list,
    incident_new,
    incident_verbs,
    jump,
    now,
    postmortem,
    postmortem_verbs,
)

ONE = "incidents/<uuid:incident_id>/"

urlpatterns: list[URLPattern] = [
    path("", now.now, name="now"),
    path("live/", now.now_live, name="now_live"),
    path("jump", jump.jump, name="jump"),
    path("incidents/", incident_list.incident_list, name="incidents"),
    path("incidents/new/", incident_new.incident_new, name="incident_new"),
    path(ONE, incident.incident, name="incident"),
    path(f"{ONE}live/", incident.incident_live, name="incident_live"),
    path(f"{ONE}postmortem/", postmortem.postmortem, name="postmortem"),
    path(f"{ONE}postmortem.md", postmortem.postmortem_markdown, name="postmortem_markdown"),
    path(f"{ONE}postmortem/draft/", postmortem_verbs.postmortem_generate, name="postmortem_generate"),
    path(f"{ONE}postmortem/status/", postmortem_verbs.postmortem_status, name="postmortem_status"),
    path(
        f"{ONE}postmortem/sections/<slug:key>/",
        postmortem_verbs.postmortem_section,
        name="postmortem_section",
    ),
    path(
        f"{ONE}postmortem/sections/<slug:key>/discard/",
        postmortem_verbs.postmortem_discard,
        name="postmortem_discard",
    ),
    path(f"{ONE}<slug:verb>/", incident_verbs.incident_verb, name="incident_verb"),
    path("alerts/<uuid:alert_id>/", alert.alert, name="alert"),
    path("audit/", audit.audit, name="audit"),
    path("audit/verify/", audit.audit_verify, name="audit_verify"),
]

if settings.DEBUG:
    urlpatterns += [
        path("gallery/", gallery.gallery, name="gallery"),
        path("gallery/validate", gallery.validate, name="gallery_validate"),
    ]
