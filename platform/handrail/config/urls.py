"""Every address: pages, API, hooks and callbacks. Each is in the authorisation table."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from handrail.config import health, metrics, refusals
from integrations.slack.interactivity import interactivity

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.Metrics.as_view(), name="metrics"),
    path("hooks/", include("handrail.alerts.urls")),
    path("api/", include("handrail.config.api")),
    path("integrations/slack/interactivity", interactivity, name="slack_interactivity"),
    path("", include("handrail.web.urls")),
]

handler400 = refusals.bad_request
