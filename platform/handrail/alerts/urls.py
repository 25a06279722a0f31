"""The hooks' addresses."""

from __future__ import annotations

from django.urls import URLPattern, re_path

from handrail.alerts import views

urlpatterns: list[URLPattern] = [
    re_path(r"^v1/(?P<kind>[^/]+)/(?P<key>[^/]+)/?$", views.hook, name="alert_hook"),
    re_path(r"^", views.nothing_here, name="no_hook"),
]
