"""Runbooks and their versions in JSON."""

from __future__ import annotations

from typing import Any, cast

from rest_framework import serializers

from handrail.shared.links import runbook_url
from handrail.shared.rest.fields import Body, Number, Query, Text
from runbooks.models import Runbook, RunbookVersion


class RunbookFilters(Query):
    """The filters of the list."""

    project = serializers.CharField(required=False, help_text="The slug of a project.")
    slug = serializers.CharField(required=False)


class VersionShape(serializers.ModelSerializer[RunbookVersion]):
    """A version without its text."""

    author = serializers.CharField(source="author.username", read_only=True, allow_null=True)
    publisher = serializers.CharField(source="publisher.username", read_only=True, allow_null=True)

    class Meta:
        model = RunbookVersion
        fields: tuple[str, ...] = (
            "id", "number", "state", "digest", "message", "revision", "author", "publisher", "created_at",
            "updated_at", "published_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class VersionWithSourceShape(VersionShape):
    """A version with its YAML."""

    class Meta(VersionShape.Meta):
        fields: tuple[str, ...] = (*VersionShape.Meta.fields, "source")
        read_only_fields: tuple[str, ...] = fields


class RunbookShape(serializers.ModelSerializer[Runbook]):
    """A runbook. ``live`` is the version that starts now."""

    project = serializers.CharField(source="project.slug", read_only=True)
    live = VersionShape(read_only=True, allow_null=True)
    url = serializers.SerializerMethodField(help_text="Its page.")

    class Meta:
        model = Runbook
        fields: tuple[str, ...] = (
            "id", "project", "slug", "title", "description", "owner", "live", "created_at", "updated_at", "url",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields

    def get_url(self, row: Runbook) -> str:
        """The runbook's page."""
        return runbook_url(row.project.slug, row.slug)


class ProblemShape(serializers.Serializer[Any]):
    """What is wrong in a source, and where: lines and columns count from 1."""

    line = serializers.IntegerField()
    column = serializers.IntegerField()
    end_line = serializers.IntegerField()
    end_column = serializers.IntegerField()
    path = serializers.CharField()
    message = serializers.CharField()
    suggestion = serializers.CharField(allow_null=True)
    severity = serializers.CharField(help_text="error or warning.")


class ValidationShape(serializers.Serializer[Any]):
    """Whether a source could be published."""

    valid = serializers.BooleanField()
    problems = ProblemShape(many=True)


class YamlBody(Body):
    """A runbook's YAML."""

    source = cast("Any", Text(max_length=256 * 1024, trim_whitespace=False, allow_blank=True))


class RunbookBody(YamlBody):
    """A new runbook: its slug and title come from the metadata of the source."""

    project = Text(max_length=63, help_text="The slug of the project.")


class PublishBody(Body):
    """What has changed, for the next reader."""

    message = Text(max_length=500, default="", allow_blank=True)


class RollBackBody(Body):
    """Which version goes live again, and why."""

    number = Number(min_value=1)
    reason = Text(max_length=500)
