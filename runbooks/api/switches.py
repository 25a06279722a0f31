"""Kill switches and refused starts over REST: listed, turned on and off, looked after."""

from __future__ import annotations

import uuid
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from handrail.accounts.models import Project
from handrail.accounts.permissions import visible_projects
from handrail.shared.actors import Actor
from handrail.shared.rest.fields import Body, Choice, Id, Query, Text
from handrail.shared.rest.schema import PAGING
from handrail.shared.rest.views import Endpoint, one_of
from runbooks import refusals, switches
from runbooks.execution.switching import place_in_words
from runbooks.models import KillSwitch, RefusedStart, Runbook
from runbooks.queries import runbooks_visible_to


class SwitchFilters(Query):
    """The filters of the list."""

    on = serializers.BooleanField(
        required=False, help_text="Only those that are on, or only those that are off."
    )
    project = serializers.CharField(required=False, help_text="The slug of a project.")


class SwitchBody(Body):
    """What to hold back, and why. `runbook` for the level runbook; `subject` names an action type or a target."""

    level = Choice(KillSwitch.Level.values)
    project = Text(
        max_length=63, default="", allow_blank=True, help_text="Its slug; without it, all projects."
    )
    runbook = Id(required=False, allow_null=True)
    subject = Text(max_length=switches.LONGEST_SUBJECT, default="", allow_blank=True)
    reason = Text(max_length=switches.LONGEST_REASON)


class OffBody(Body):
    """Why everything may go on."""

    reason = Text(max_length=switches.LONGEST_REASON, default="", allow_blank=True)


class SwitchShape(serializers.ModelSerializer[KillSwitch]):
    """A kill switch. `place` says in words what it is about; it is on while `off_at` is null."""

    project = serializers.CharField(source="project.slug", read_only=True, allow_null=True, default=None)
    runbook = serializers.CharField(source="runbook.slug", read_only=True, allow_null=True, default=None)
    place = serializers.SerializerMethodField()

    class Meta:
        model = KillSwitch
        fields: tuple[str, ...] = (
            "id", "level", "project", "runbook", "subject", "place", "reason", "on_at", "on_by", "off_at", "off_by",
            "off_reason",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields

    def get_place(self, row: KillSwitch) -> str:
        """What it is about."""
        return place_in_words(row)


class RefusedStartShape(serializers.ModelSerializer[RefusedStart]):
    """A run that was not started, and that a person has to hear of; `times` until somebody has seen it."""

    project = serializers.CharField(source="project.slug", read_only=True)
    runbook = serializers.CharField(source="runbook.slug", read_only=True)
    incident = serializers.UUIDField(source="incident_id", read_only=True, allow_null=True)
    alert = serializers.UUIDField(source="alert_id", read_only=True, allow_null=True)

    class Meta:
        model = RefusedStart
        fields: tuple[str, ...] = (
            "id", "project", "runbook", "code", "key", "reason", "trigger", "starter_name", "incident", "alert",
            "times", "first_at", "last_at", "seen_at", "seen_by",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class Switches(Endpoint):
    """Kill switches."""

    @extend_schema(
        operation_id="list_switches", parameters=[SwitchFilters, *PAGING], responses=SwitchShape(many=True)
    )
    def get(self, request: Request) -> Response:
        """The kill switches that you may see, newest first; `on=true` are those that hold something back now."""
        filters = self.filters(SwitchFilters)
        rows = switches.switches_visible_to(self.actor)
        if "on" in filters:
            rows = rows.filter(off_at__isnull=filters["on"])
        if "project" in filters:
            rows = rows.filter(project__slug=filters["project"])
        return self.page(rows, SwitchShape)

    @extend_schema(operation_id="turn_switch_on", request=SwitchBody, responses={201: SwitchShape})
    def post(self, request: Request) -> Response:
        """Hold back starts, and steps at the gate. Needs `operate`; `own` for what is about all projects."""
        given = self.body(SwitchBody)
        switch = switches.turn_on(_place(self.actor, given), actor=self.actor, reason=given["reason"])
        return Response(SwitchShape(switch).data, status=201)


class SwitchOff(Endpoint):
    """Turning a kill switch off."""

    @extend_schema(operation_id="turn_switch_off", request=OffBody, responses=SwitchShape)
    def post(self, request: Request, switch_id: uuid.UUID) -> Response:
        """Let everything go on that it holds. Needs what turning it on needs."""
        switch = switches.turn_off(switch_id, actor=self.actor, **self.body(OffBody))
        return Response(SwitchShape(switch).data)


class RefusedStarts(Endpoint):
    """Starts that were refused."""

    @extend_schema(
        operation_id="list_refused_starts", parameters=[*PAGING], responses=RefusedStartShape(many=True)
    )
    def get(self, request: Request) -> Response:
        """Runs that were not started and that nobody has looked after yet, newest first."""
        return self.page(refusals.unseen(self.actor), RefusedStartShape)


class Seen(Endpoint):
    """A refused start that somebody looks after."""

    @extend_schema(operation_id="mark_refused_start_seen", request=None, responses=RefusedStartShape)
    def post(self, request: Request, refused_id: uuid.UUID) -> Response:
        """Say that you look after it: the next one is news again. Needs `respond`."""
        return Response(RefusedStartShape(refusals.mark_seen(refused_id, actor=self.actor)).data)


def _place(actor: Actor, given: dict[str, Any]) -> switches.Place:
    project: Project | None = None
    runbook: Runbook | None = None
    if given["project"]:
        project = one_of(visible_projects(actor), "project", slug=given["project"])
    if given.get("runbook"):
        runbook = one_of(runbooks_visible_to(actor).select_related("project"), "runbook", pk=given["runbook"])
    return switches.Place(given["level"], project, runbook, given["subject"])
