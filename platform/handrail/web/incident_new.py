"""Declaring an incident by hand, before any alert knows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from handrail.accounts.models import Project
from handrail.accounts.permissions import Permission, visible_projects
from handrail.catalog.models import Environment, Service
from handrail.incidents import actions
from handrail.incidents.severities import Sev
from handrail.shared.actors import Actor
from handrail.shared.errors import Forbidden, HandrailError, Invalid
from handrail.web.pages import page, shown

_SEVERITY_WORDS = {
    Sev.SEV1: "SEV1: customers cannot use it",
    Sev.SEV2: "SEV2: many customers are hurt",
    Sev.SEV3: "SEV3: some customers notice",
    Sev.SEV4: "SEV4: nobody notices yet",
}


if TYPE_CHECKING:
    _PlaceField = forms.ModelChoiceField[Service | Environment]
else:
    # Generic for the type checker alone.
    _PlaceField = forms.ModelChoiceField


class _Place(_PlaceField):
    """A service or an environment, with the project that it belongs to."""

    def label_from_instance(self, obj: Service | Environment) -> str:
        """The name, and which project's."""
        return f"{obj.name} ({obj.project.slug})"


class IncidentForm(forms.Form):
    """What is wrong, how bad it is, and where."""

    title = forms.CharField(
        label="What is wrong", max_length=300, help_text="One line that a colleague understands."
    )
    severity = forms.ChoiceField(
        choices=[(sev.value, words) for sev, words in _SEVERITY_WORDS.items()], initial=Sev.SEV3.value
    )
    project = forms.ModelChoiceField(Project.objects.none(), empty_label=None)
    service = _Place(Service.objects.none(), required=False, empty_label="Not known")
    environment = _Place(Environment.objects.none(), required=False, empty_label="Not known")
    note = forms.CharField(
        label="What you see",
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="Goes on the timeline as your first note.",
    )

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        projects = visible_projects(actor, Permission.RESPOND)
        several = projects.count() > 1
        for name, rows in (
            ("project", projects),
            ("service", Service.objects.filter(project__in=projects).select_related("project")),
            ("environment", Environment.objects.filter(project__in=projects).select_related("project")),
        ):
            choice = self.fields[name]
            if isinstance(choice, forms.ModelChoiceField):
                choice.queryset = rows
        if not several:
            self.fields["project"].widget = forms.HiddenInput()
            self.fields["project"].required = False
            self.fields["project"].initial = projects.first()

    def clean_project(self) -> Project:
        """The chosen one; the only one where there is no choice."""
        chosen: Project = self.cleaned_data["project"] or self.fields["project"].initial
        return chosen


@page("GET", "POST")
def incident_new(request: HttpRequest, actor: Actor) -> HttpResponse:
    """GET is the form (``?title=`` fills it in), POST opens the incident and goes to its page."""
    if not visible_projects(actor, Permission.RESPOND).exists():
        raise Forbidden("Responders declare incidents: ask an admin of your project for the responder role.")
    form = IncidentForm(
        request.POST or None, actor=actor, initial={"title": request.GET.get("title", "")[:300]}
    )
    if request.method != "POST":
        return shown(request, "web/incidents/new.html", {"form": form})
    if not form.is_valid():
        refusal = Invalid("Some fields are missing or do not fit.")
        return shown(request, "web/incidents/new.html", {"form": form}, refusal=refusal)
    given = form.cleaned_data
    try:
        incident = actions.open_incident(
            given["project"],
            title=given["title"],
            actor=actor,
            severity=given["severity"],
            service=given["service"],
            environment=given["environment"],
        )
        if given["note"].strip():
            actions.add_note(incident, given["note"], actor=actor)
    except HandrailError as error:
        return shown(request, "web/incidents/new.html", {"form": form}, refusal=error)
    messages.success(request, f"{incident} is open. You have acknowledged it by declaring it.")
    return HttpResponseRedirect(f"/incidents/{incident.pk}/", status=303)
