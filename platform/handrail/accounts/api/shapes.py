"""What projects, teams, roles, accounts, tokens and audit entries look like in JSON."""

from __future__ import annotations

from rest_framework import serializers

from handrail.accounts.models import ApiToken, Project, RoleAssignment, Team, User
from handrail.accounts.roles import ROLES, Permission
from handrail.audit.models import AuditEntry
from handrail.shared.rest.fields import Body, Choice, Number, Query, Text


class ProjectFilter(Query):
    """Of one project, or of all that you see."""

    project = serializers.CharField(required=False, help_text="The slug of a project.")


class AuditFilters(ProjectFilter):
    """The filters of the trail."""

    action = serializers.CharField(required=False, help_text="Such as run.started.")
    object_type = serializers.CharField(required=False)
    object_id = serializers.CharField(required=False)
    actor_id = serializers.CharField(required=False)


class ProjectShape(serializers.ModelSerializer[Project]):
    """A project: the wall around services, runbooks, sources, connections, secrets and incidents."""

    class Meta:
        model = Project
        fields: tuple[str, ...] = ("id", "slug", "name", "created_at")
        read_only_fields: tuple[str, ...] = fields


class TeamShape(serializers.ModelSerializer[Team]):
    """A team with the names of its members."""

    project = serializers.CharField(source="project.slug", read_only=True)
    members = serializers.SlugRelatedField[User](slug_field="username", many=True, read_only=True)

    class Meta:
        model = Team
        fields: tuple[str, ...] = ("id", "project", "slug", "name", "members")
        read_only_fields: tuple[str, ...] = fields


class RoleShape(serializers.ModelSerializer[RoleAssignment]):
    """A role of a person, a service account or a team."""

    project = serializers.CharField(source="project.slug", read_only=True)
    user = serializers.CharField(source="user.username", read_only=True, allow_null=True)
    team = serializers.CharField(source="team.slug", read_only=True, allow_null=True)

    class Meta:
        model = RoleAssignment
        fields: tuple[str, ...] = ("id", "project", "user", "team", "role", "created_at")
        read_only_fields: tuple[str, ...] = fields


class AccountShape(serializers.ModelSerializer[User]):
    """A service account."""

    project = serializers.CharField(source="project.slug", read_only=True, allow_null=True)

    class Meta:
        model = User
        fields: tuple[str, ...] = ("id", "username", "name", "kind", "is_active", "project", "created_at")
        read_only_fields: tuple[str, ...] = fields


class TokenShape(serializers.ModelSerializer[ApiToken]):
    """A token without its secret part."""

    account = serializers.CharField(source="user.username", read_only=True)
    scopes = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = ApiToken
        fields: tuple[str, ...] = (
            "id", "account", "name", "prefix", "scopes", "created_at", "expires_at", "last_used_at", "revoked_at",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class NewTokenShape(TokenShape):
    """A token that was just made. ``token`` is shown this once."""

    token = serializers.SerializerMethodField()

    class Meta(TokenShape.Meta):
        fields: tuple[str, ...] = (*TokenShape.Meta.fields, "token")
        read_only_fields: tuple[str, ...] = fields

    def get_token(self, row: ApiToken) -> str:
        """What goes into the header."""
        return str(self.context["plain"])


class AuditShape(serializers.ModelSerializer[AuditEntry]):
    """An entry of the trail, with its place in the hash chain."""

    class Meta:
        model = AuditEntry
        fields: tuple[str, ...] = (
            "id", "chain", "n", "at", "action", "actor_kind", "actor_id", "actor_name", "on_behalf_of", "channel",
            "object_type", "object_id", "object_name", "project_id", "data", "before_digest", "after_digest",
            "request_id", "address", "trace_id", "previous_hash", "hash",
        )  # fmt: skip
        read_only_fields: tuple[str, ...] = fields


class ProjectBody(Body):
    """A new project."""

    slug = Text(max_length=63)
    name = Text(max_length=200)


class TeamBody(ProjectBody):
    """A new team."""

    project = Text(max_length=63, help_text="The slug of the project.")


class MemberBody(Body):
    """Who."""

    username = Text(max_length=100)


class RoleBody(Body):
    """Who gets which role where: a ``user`` or a ``team``."""

    project = Text(max_length=63, help_text="The slug of the project.")
    role = Choice(list(ROLES))
    user = Text(max_length=100, required=False, help_text="The name of a person or a service account.")
    team = Text(max_length=63, required=False, help_text="The slug of a team of the project.")


class AccountBody(Body):
    """A new service account."""

    project = Text(max_length=63, help_text="The slug of its home.")
    username = Text(max_length=100)
    name = Text(max_length=200, default="", allow_blank=True)


class TokenBody(Body):
    """A new token."""

    name = Text(max_length=100)
    scopes = serializers.ListField(
        child=Choice([permission.value for permission in Permission]), max_length=20
    )
    days = Number(
        required=False,
        min_value=1,
        max_value=366,
        help_text="Without it 90, or what is left of the token that makes this one.",
    )
    service_account = Text(
        max_length=100,
        required=False,
        help_text="A service account of a project that you administer, not your own.",
    )
