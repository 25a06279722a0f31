"""Kill switches: what is held back now, by whom and why; turning one on, turning one off."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from handrail.accounts.models import Project
from handrail.accounts.permissions import Permission, allows, visible_projects
from handrail.shared.actors import Actor
from handrail.shared.errors import HandrailError, Invalid
from handrail.web.cursors import by_birth
from handrail.web.pages import after, page, shown
from runbooks import refusals, switches
from runbooks.execution.switching import place_in_words
from runbooks.models import KillSwitch, Runbook

LEVELS = {
    "runbook": "A runbook: its runs do not begin, and do not go on",
    "action": "An action type: no step calls it",
    "target": "A target: no step acts upon it",
    "project": "The whole project",
    "installation": "The whole installation",
}

if TYPE_CHECKING:
    _RunbookField = forms.ModelChoiceField[Runbook]
    _ProjectField = forms.ModelChoiceField[Project]
else:
    # Generic for the type checker alone.
    _RunbookField = _ProjectField = forms.ModelChoiceField


class _Runbook(_RunbookField):
    """A runbook with its project."""

    def label_from_instance(self, obj: Runbook) -> str:
        """Its title, and which project's."""
        return f"{obj.title} ({obj.project.slug})"


class SwitchForm(forms.Form):
    """What to hold back, and why."""

    level = forms.ChoiceField(label="What to hold back", choices=list(LEVELS.items()))
    project = _ProjectField(Project.objects.none(), required=False, empty_label="All projects")
    runbook = _Runbook(Runbook.objects.none(), required=False, empty_label="None")
    subject = forms.CharField(
        label="Action type or target",
        max_length=switches.LONGEST_SUBJECT,
        required=False,
        help_text="For these two: such as ssh.run, or the target as a run's steps show it.",
    )
    reason = forms.CharField(
        label="Why",
        max_length=switches.LONGEST_REASON,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Everybody who finds something held reads it.",
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        projects = visible_projects(actor, Permission.OPERATE)
        self.owns = allows(actor, Permission.OWN, None)
        rows = {
            "project": projects,
            "runbook": Runbook.objects.filter(project__in=projects, archived_at=None).select_related(
                "project"
            ),
        }
        for name, found in rows.items():
            choice = self.fields[name]
            if isinstance(choice, forms.ModelChoiceField):
                choice.queryset = found
        only = None if self.owns or projects[1:2].exists() else projects.first()
        if only is not None:
            self.fields["project"].widget = forms.HiddenInput()
            self.fields["project"].initial = only
        if not self.owns:
            level = self.fields["level"]
            if isinstance(level, forms.ChoiceField):
                level.choices = [(key, words) for key, words in LEVELS.items() if key != "installation"]

    def place(self) -> switches.Place:
        """What was chosen; the only project where there is no choice."""
        given = self.cleaned_data
        project = given["project"] or self.fields["project"].initial
        return switches.Place(given["level"], project, given["runbook"], given["subject"])


@page("GET", "POST")
def switch_list(request: HttpRequest, actor: Actor) -> HttpResponse:
    """GET: what is on, what was, and the form; POST turns one on."""
    form = SwitchForm(request.POST or None, actor=actor)
    if request.method != "POST":
        return shown(request, "web/switches.html", _context(request, actor, form))
    try:
        if not form.is_valid():
            raise Invalid("Some fields are missing or do not fit.")
        switch = switches.turn_on(form.place(), actor=actor, reason=form.cleaned_data["reason"])
    except HandrailError as error:
        return shown(request, "web/switches.html", _context(request, actor, form), refusal=error)
    messages.success(
        request, f"Held back from now on: {place_in_words(switch)}. What executes already goes on."
    )
    return after(request, "/switches/")


@page("POST")
def turn_off(request: HttpRequest, actor: Actor, switch_id: uuid.UUID) -> HttpResponse:
    """Let everything go on that the switch holds."""
    reason = request.POST.get("reason", "").replace("\x00", "")
    try:
        switch = switches.turn_off(switch_id, actor=actor, reason=reason)
    except HandrailError as error:
        if error.status == 404:
            raise
        form = SwitchForm(actor=actor)
        return shown(request, "web/switches.html", _context(request, actor, form), refusal=error)
    messages.success(request, f"Off: {place_in_words(switch)}. What it held goes on.")
    return after(request, "/switches/")


@page("POST")
def refusal_seen(request: HttpRequest, actor: Actor, refused_id: uuid.UUID) -> HttpResponse:
    """Say that one looks after a start that was refused."""
    row = refusals.mark_seen(refused_id, actor=actor)
    messages.success(request, f"You look after it. The next refusal of {row.runbook.title} is news again.")
    return after(request, "/")


def _context(request: HttpRequest, actor: Actor, form: SwitchForm) -> dict[str, Any]:
    visible = switches.switches_visible_to(actor)
    past = by_birth(request, visible.filter(off_at__isnull=False), here="/switches/")
    may_operate = visible_projects(actor, Permission.OPERATE).exists()
    operated = set(visible_projects(actor, Permission.OPERATE).values_list("pk", flat=True))
    return {
        "on": [
            {
                "switch": switch,
                "place": place_in_words(switch),
                "may": form.owns if switch.project_id is None else switch.project_id in operated,
            }
            for switch in switches.switches_on_for(actor)
        ],
        "past": [{"switch": switch, "place": place_in_words(switch)} for switch in past.rows],
        "previous_url": past.newer_url,
        "next_url": past.older_url,
        "form": form if may_operate or form.owns else None,
        "levels": KillSwitch.Level,
    }
