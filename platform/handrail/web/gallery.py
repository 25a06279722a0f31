"""The gallery: every component on one page, for designers and screenshots; routed only while debugging."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

STEPS = (
    ("evidence", "Collect evidence", "parallel", "succeeded", ""),
    ("logs", "Recent error logs", "action", "succeeded", "evidence"),
    ("rate", "Error rate", "action", "succeeded", "evidence"),
    ("shift", "Shift traffic to eu-2", "action", "succeeded", ""),
    ("recovered", "Recovered for 3 min?", "wait_until", "failed", ""),
    ("approve", "Approve database failover", "approval", "waiting", ""),
    ("failover", "Fail over the database", "action", "", ""),
    ("restore", "Restore traffic", "action", "", ""),
)
EDGES = (
    ("evidence", "shift"),
    ("shift", "recovered"),
    ("recovered", "approve"),
    ("approve", "failover"),
    ("failover", "restore"),
)
STATES = (
    "pending",
    "executing",
    "awaiting_approval",
    "succeeded",
    "failed",
    "skipped",
    "compensated",
    "uncertain",
)
SAMPLE = """# Contain a high error rate
runbook: high-error-rate
title: High error rate
inputs:
  region: {type: enum, values: [eu-1, eu-2], default: eu-1}
steps:
  - id: rate
    action: prometheus.query
    with:
      query: 'sum(rate(errors_total[5m]))'
  - id: failover
    approval: fail over the database in ${inputs.region}?
    quorum: 2
"""


class StartForm(forms.Form):
    """A form as a start page has it."""

    region = forms.ChoiceField(
        choices=[("eu-1", "eu-1"), ("eu-2", "eu-2")], help_text="Where the traffic goes away from."
    )
    percent = forms.IntegerField(label="Traffic to shift, in %", min_value=1, max_value=100)
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), required=False)
    dry_run = forms.BooleanField(label="Only rehearse: change nothing", required=False)


# seconds ago, tone, sign, actor, text, detail
EVENTS = (
    (8, "waiting", "hand", "high-error-rate v7", "asked for approval: database failover (1 of 2)", ""),
    (
        30,
        "failed",
        "x",
        "",
        "Step “recovered” not yet: 3.1 % > 2 %, sample 4",
        "4 of 6 samples above the limit",
    ),
    (60, "waiting", "eye", "ada", "acknowledged", ""),
    (180, "ok", "check", "high-error-rate v7", "shifted traffic to eu-2", ""),
    (240, "failed", "bell", "", "HighErrorRate is firing on checkout, eu-1", "opened this incident"),
)
LOG = (
    ("10:05:50.102 POST https://lb.internal/pools/checkout 200 in 84 ms", ""),
    ("10:05:50.311 weight eu-1 100 -> 20", ""),
    ("10:05:51.004 eu-2 answers slowly: p95 740 ms", "warning"),
    ("10:05:53.870 health check failed: connection refused", "error"),
)


def _events(now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "at": now - timedelta(seconds=ago),
            "tone": tone,
            "sign": sign,
            "actor": actor,
            "text": text,
            "detail": detail,
        }
        for ago, tone, sign, actor, text, detail in EVENTS
    ]


@require_GET
def gallery(request: HttpRequest) -> HttpResponse:
    """Every component with plausible content."""
    now = timezone.now()
    form = StartForm({"region": "eu-1", "percent": "140"})
    context = {
        "now": now,
        "deadline": now + timedelta(minutes=11, seconds=20),
        "close": now + timedelta(seconds=70),
        "ago": now - timedelta(minutes=4, seconds=10),
        "took": timedelta(seconds=42),
        "states": STATES,
        "severities": ("sev1", "sev2", "sev3", "sev4", "critical", "warning", "info"),
        "tones": ("ok", "running", "waiting", "failed", "unknown"),
        "form": form,
        "events": _events(now),
        "steps": [{"id": i, "title": t, "kind": k, "state": s} for i, t, k, s, _ in STEPS],
        "graph_view": {
            "nodes": [
                {"id": i, "title": t, "kind": k, "state": s or None, "parent": p, "href": f"#step-{i}"}
                for i, t, k, s, p in STEPS
            ],
            "edges": EDGES,
        },
        "every_state": {
            "nodes": [
                {"id": s, "title": s.replace("_", " ").title(), "kind": "action", "state": s} for s in STATES
            ],
            "edges": list(pairwise(STATES)),
        },
        "sample": SAMPLE,
        "log_lines": [{"n": n, "text": text, "tone": tone} for n, (text, tone) in enumerate(LOG, start=1)],
        "places": (True, False),
        "digest": "3f9c21aa7be04d115c0a9cb34f1e5d0e6f0d25b3a9c6b1f67d4a1b5b3c2d1e0f",
        "pending_approvals": 2,
    }
    return render(request, "web/gallery.html", context)


@require_POST
def validate(request: HttpRequest) -> JsonResponse:
    """The gallery's stand-in for a runbook's validation: marks tabs and `???`."""
    marks = {
        "\t": ("Tabs do not indent YAML.", "Use two spaces.", "error"),
        "???": ("Not decided yet.", None, "warning"),
    }
    problems = [
        {
            "line": number,
            "column": line.index(mark) + 1,
            "end_line": number,
            "end_column": line.index(mark) + 1 + len(mark),
            "path": "",
            "message": message,
            "suggestion": suggestion,
            "severity": severity,
        }
        for number, line in enumerate(request.POST.get("source", "").splitlines(), start=1)
        for mark, (message, suggestion, severity) in marks.items()
        if mark in line
    ]
    return JsonResponse({"problems": problems, "graph_html": ""})
