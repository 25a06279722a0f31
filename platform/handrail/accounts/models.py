"""People, service accounts, teams, projects, roles and tokens."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Group, PermissionsMixin
from django.contrib.auth.validators import ASCIIUsernameValidator
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from handrail.shared.errors import HandrailError
from handrail.shared.ids import new_id


class UserManager(BaseUserManager["User"]):
    """Makes accounts. There is no default password: without one, the account cannot sign in by password."""

    def create_user(
        self,
        username: str,
        *,
        password: str | None = None,
        kind: str = "person",
        name: str = "",
        email: str = "",
        project: Project | None = None,
    ) -> User:
        """A new active account without any role. ``project`` is the home of a service account."""
        user = self.model(
            username=self.model.normalize_username(username),
            name=name,
            email=self.normalize_email(email),
            kind=kind,
            project=project,
        )
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, username: str, *, password: str | None = None, email: str = "") -> User:
        """An owner of the installation, for `handrail manage createsuperuser`; not a Django superuser.

        Audited like every appointment. ValidationError, as that command expects, for what is refused.
        """
        from handrail.accounts import actions
        from handrail.accounts.actors import CONSOLE

        try:
            with transaction.atomic():
                user = actions.create_user(username, email=email, password=password, actor=CONSOLE)
                actions.appoint(user, "owner", actor=CONSOLE)
        except HandrailError as refusal:
            raise ValidationError(refusal.message) from None
        user.refresh_from_db()
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """A person or a service account. Roles decide what it may do; Django's superuser flag gives nothing.

    A service account has a home ``project``, whose admins manage it, and roles nowhere else.
    """

    class Kind(models.TextChoices):
        PERSON = "person"
        SERVICE = "service"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    username = models.CharField(max_length=100, unique=True, validators=[ASCIIUsernameValidator()])
    name = models.CharField(max_length=200, blank=True)
    email = models.EmailField(blank=True)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.PERSON)
    is_active = models.BooleanField(default=True)
    is_owner = models.BooleanField(default=False)
    is_auditor = models.BooleanField(default=False)
    project = models.ForeignKey(
        "Project", null=True, blank=True, on_delete=models.CASCADE, related_name="service_accounts"
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"

    class Meta:
        ordering = ["username"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="service") ^ Q(project__isnull=True), name="service_account_has_home"
            )
        ]

    def __str__(self) -> str:
        return self.name or self.username


class Project(models.Model):
    """The wall: it owns services, runbooks, sources, connections, secrets and incidents."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["slug"]
        default_permissions = ()
        permissions = [
            ("view", "See everything in the project"),
            ("respond", "Start runs, acknowledge and steer incidents"),
            ("author", "Edit runbook drafts"),
            ("publish", "Publish runbook versions"),
            ("approve", "Be asked for approvals"),
            ("operate", "Manage sources, connections, secrets and pools"),
            ("administer", "Manage members, teams and tokens of the project"),
        ]

    def __str__(self) -> str:
        return self.name


class ProjectUserPermission(UserObjectPermissionBase):
    """A user's permission on a project, by a direct foreign key: it dies with the project."""

    content_object = models.ForeignKey(Project, on_delete=models.CASCADE)


class ProjectGroupPermission(GroupObjectPermissionBase):
    """A team's permission on a project, by a direct foreign key."""

    content_object = models.ForeignKey(Project, on_delete=models.CASCADE)


class Team(models.Model):
    """People who share roles and are asked together. Its guardian group carries the permissions."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="teams")
    slug = models.SlugField(max_length=63)
    name = models.CharField(max_length=200)
    group = models.OneToOneField(Group, on_delete=models.PROTECT, related_name="team")
    members: models.ManyToManyField[User, User] = models.ManyToManyField(
        User, related_name="teams", blank=True
    )

    class Meta:
        ordering = ["slug"]
        constraints = [models.UniqueConstraint(fields=["project", "slug"], name="team_slug_in_project")]

    def __str__(self) -> str:
        return self.name


class RoleAssignment(models.Model):
    """A role of a user or of a team on a project; expanded to object permissions by the actions."""

    class Role(models.TextChoices):
        VIEWER = "viewer"
        RESPONDER = "responder"
        AUTHOR = "author"
        APPROVER = "approver"
        OPERATOR = "operator"
        ADMIN = "admin"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="roles")
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE, related_name="roles")
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.CASCADE, related_name="roles")
    role = models.CharField(max_length=12, choices=Role.choices)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(user__isnull=True) ^ Q(team__isnull=True), name="role_of_user_or_team"
            ),
            models.UniqueConstraint(fields=["project", "user", "role"], name="role_once_per_user"),
            models.UniqueConstraint(fields=["project", "team", "role"], name="role_once_per_team"),
        ]


class ApiToken(models.Model):
    """A token ``hr_...`` of a user or service account; only its SHA-256 is stored."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)


class OneTimeLink(models.Model):
    """A link that works once: a first sign-in, or linking a chat account. Stored hashed."""

    class Purpose(models.TextChoices):
        SIGN_IN = "sign_in"
        LINK_IDENTITY = "link_identity"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    purpose = models.CharField(max_length=20, choices=Purpose.choices)
    digest = models.CharField(max_length=64, unique=True)
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE)
    data = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)


class LinkedIdentity(models.Model):
    """A chat account that its owner has linked, signed in on the web."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    provider = models.CharField(max_length=30)
    workspace = models.CharField(max_length=60)
    external_id = models.CharField(max_length=60)
    external_name = models.CharField(max_length=100, blank=True)
    linked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "workspace", "external_id"], name="identity_linked_once"
            )
        ]


class KeptAnswer(models.Model):
    """What a request with an ``Idempotency-Key`` was answered. ``status`` is None while it is worked on."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    digest = models.CharField(max_length=64)
    status = models.SmallIntegerField(null=True)
    body = models.JSONField(null=True)
    at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="answer_once_per_key")]
