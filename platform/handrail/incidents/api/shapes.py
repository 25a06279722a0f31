"""What incidents, their events and their postmortems look like in JSON."""

from __future__ import annotations

from rest_framework import serializers

from handrail.incidents.models import Incident, Postmortem, PostmortemSection, TimelineEvent
from handrail.shared.links import event_url, incident_url, postmortem_url
from handrail.shared.rest.fields import Body, Choice, Id, Query, Text

_SEVERITIES = ["SEV1", "SEV2", "SEV3", "SEV4"]


class IncidentFilters(Query):
    """The filters of the list."""

    open = serializers.BooleanField(required=False, help_text="Only open ones, or only those that are over.")
    project = serializers.CharField(required=False, help_text="The slug of a project.")
    severity = Choice(_SEVERITIES, required=False)
    status = Choice(Incident.Status.choices, required=False)
    service = serializers.CharField(required=False, help_text="The slug of a service.")


class TimelineFilters(Query):
    """Where to go on reading."""

    after = serializers.IntegerField(
        required=False, min_value=0, max_value=2**31 - 1, help_text="Only events after this place."
    )


class IncidentShape(serializers.ModelSerializer[Incident]):
    """An incident. Times are UTC; those that have not come are null."""

    name = serializers.CharField(source="__str__", read_only=True, help_text="Such as INC-42.")
    project = serializers.CharField(source="project.slug", read_only=True)
    service = serializers.CharField(source="service.slug", read_only=True, allow_null=True)
    environment = serializers.CharField(source="environment.slug", read_only=True, allow_null=True)
    commander = serializers.CharField(source="commander.username", read_only=True, allow_null=True)
    merged_into = serializers.UUIDField(source="merged_into_id", read_only=True, allow_null=True)
    related_to = serializers.UUIDField(source="related_to_id", read_only=True, allow_null=True)
    alerts_open = serializers.IntegerField(read_only=True, help_text="How many of its alerts still fire.")
    alerts_total = serializers.IntegerField(read_only=True)
    url = serializers.SerializerMethodField(help_text="Its page.")

    class Meta:
        model = Incident
        fields = (
            "id", "number", "name", "title", "project", "severity", "status", "status_reason", "is_open",
            "service", "environment", "commander", "merged_into", "related_to", "alerts_open", "alerts_total",
            "flaps", "auto_resolve", "started_at", "detected_at", "acknowledged_at", "contained_at",
            "mitigated_at", "resolved_at", "closed_at", "created_at", "updated_at", "url",
        )  # fmt: skip
        read_only_fields = fields

    def get_url(self, row: Incident) -> str:
        """The incident's page."""
        return incident_url(row.pk)


class EventShape(serializers.ModelSerializer[TimelineEvent]):
    """Something that happened in an incident; ``n`` counts from 1 without gaps."""

    actor = serializers.CharField(source="actor_name", read_only=True)
    url = serializers.SerializerMethodField(
        help_text="Where the evidence is, or the event's place on the page."
    )

    class Meta:
        model = TimelineEvent
        fields = (
            "id", "n", "at", "recorded_at", "kind", "text", "data", "actor", "actor_kind", "channel",
            "subject_type", "subject_id", "url",
        )  # fmt: skip
        read_only_fields = fields

    def get_url(self, row: TimelineEvent) -> str:
        """The evidence's page."""
        return row.url or event_url(row.incident_id, row.n)


class SectionShape(serializers.ModelSerializer[PostmortemSection]):
    """One section: the generated lines with the events behind them, and what people made of it."""

    edited_by = serializers.CharField(source="edited_by.username", read_only=True, allow_null=True)

    class Meta:
        model = PostmortemSection
        fields = ("key", "title", "position", "lines", "edited", "edited_by", "edited_at", "revision")
        read_only_fields = fields


class PostmortemShape(serializers.ModelSerializer[Postmortem]):
    """A postmortem with its sections, in their order."""

    sections = SectionShape(many=True, read_only=True)
    url = serializers.SerializerMethodField(help_text="Its page.")

    class Meta:
        model = Postmortem
        fields = ("id", "status", "generated_at", "sections", "url")
        read_only_fields = fields

    def get_url(self, row: Postmortem) -> str:
        """The postmortem's page."""
        return postmortem_url(row.incident_id)


class IncidentBody(Body):
    """An incident that somebody reports."""

    project = Text(max_length=63, help_text="The slug of the project.")
    title = Text(max_length=300, help_text="One line that says what is wrong.")
    severity = Choice(_SEVERITIES, default="SEV3")
    service = Text(max_length=63, required=False, allow_null=True, help_text="The slug of a service.")
    environment = Text(
        max_length=63, required=False, allow_null=True, help_text="The slug of an environment."
    )


class ReasonBody(Body):
    """Why it is done."""

    reason = Text(max_length=500, default="", allow_blank=True)


class MergeBody(ReasonBody):
    """Which incident it goes into."""

    into = Id(help_text="The id of another open incident of the same project.")


class SeverityBody(ReasonBody):
    """How bad it is."""

    severity = Choice(_SEVERITIES)


class AutoResolveBody(Body):
    """Whether its alerts may resolve it."""

    mode = Choice(Incident.AutoResolve.choices)


class NoteBody(Body):
    """A human's words for the timeline."""

    text = Text()


class SectionBody(Body):
    """A section's new text, in Markdown."""

    text = Text(max_length=50_000, trim_whitespace=False)


class StatusBody(Body):
    """What becomes of the postmortem."""

    status = Choice(Postmortem.Status.choices)
