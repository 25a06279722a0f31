"""Steering a run in JSON: stopping, pausing, resuming, restarting, the checklist."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from handrail.shared.rest.fields import Body, Choice, Number, Text
from runbooks.checklist import ChecklistItem
from runbooks.engine.steering import CANCEL
from runbooks.resuming import RestartPreview, ResumePreview
from runbooks.stopping import HOW, StopChoice, StopPreview


class StopChoiceShape(serializers.Serializer[StopChoice]):
    """One way to stop the run: what it would do, and why it cannot be chosen now (empty if it can)."""

    how = serializers.CharField()
    title = serializers.CharField()
    words = serializers.CharField()
    refusal = serializers.CharField()


class StopPreviewShape(serializers.Serializer[StopPreview]):
    """Titles of steps; ``reversible`` in the order in which they would be undone."""

    done = serializers.ListField(child=serializers.CharField())
    in_flight = serializers.ListField(child=serializers.CharField())
    reversible = serializers.ListField(child=serializers.CharField())
    not_started = serializers.ListField(child=serializers.CharField())
    remaining = serializers.ListField(child=serializers.CharField(), help_text="What would be handed over.")
    choices = StopChoiceShape(many=True)


class ResumePreviewShape(serializers.Serializer[ResumePreview]):
    """What a resume would keep and do again. ``how``: go_on (it is paused) or reopen (it is over)."""

    how = serializers.CharField()
    kept = serializers.ListField(child=serializers.CharField())
    again = serializers.ListField(child=serializers.CharField())
    refusal = serializers.CharField(help_text="Why it cannot be resumed now; empty if it can.")


class InputProblemShape(serializers.Serializer[Any]):
    """What is wrong with an input."""

    name = serializers.CharField()
    message = serializers.CharField()


class RestartPreviewShape(serializers.Serializer[RestartPreview]):
    """Whether the run's inputs fit the version on which it would be restarted."""

    version = serializers.IntegerField(source="version.number", allow_null=True, default=None)
    problems = InputProblemShape(many=True)
    dropped = serializers.ListField(
        child=serializers.CharField(), help_text="Inputs that the version does not have any more."
    )
    refusal = serializers.CharField(help_text="Why it cannot be restarted now; empty if it can.")


class ChecklistItemShape(serializers.Serializer[ChecklistItem]):
    """One item of a run that was handed over."""

    key = serializers.CharField(help_text="Its name: what `POST checklist/` takes.")
    title = serializers.CharField()
    kind = serializers.CharField()
    uses = serializers.CharField(help_text="The action that the run would have called.")
    asks = serializers.CharField(help_text="What a manual step asks for.")
    state = serializers.CharField(
        help_text="open, busy (executes), unknown (decide first), done (by hand), skipped, succeeded (by itself)."
    )
    by = serializers.CharField()
    note = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)


class StopBody(Body):
    """How and why the run is stopped."""

    how = Choice(list(HOW), default=CANCEL)
    reason = Text(max_length=500)


class PauseBody(Body):
    """Why the run is paused."""

    reason = Text(max_length=500)


class ResumeBody(Body):
    """Why the run may go on; needed for one that is over."""

    reason = Text(max_length=500, default="", allow_blank=True)


class RestartBody(Body):
    """On which version the run is restarted, with which inputs other than before, and why."""

    reason = Text(max_length=500)
    version = Number(required=False, allow_null=True, min_value=1, help_text="The live one if left out.")
    inputs = serializers.DictField(default=dict, help_text="By name; the others are as they were.")


class SkipBody(Body):
    """Why the step is left out."""

    reason = Text(max_length=400)


class ItemsBody(Body):
    """What became of items of a checklist; one that is left out needs a note."""

    items = serializers.ListField(child=serializers.CharField(max_length=200), max_length=2000)
    choice = Choice(["done", "skip"])
    note = Text(max_length=500, default="", allow_blank=True)
