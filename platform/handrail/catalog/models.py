"""What production is made of: services, environments, connections and runner pools."""

from __future__ import annotations

from django.db import models

from handrail.shared.ids import new_id


class Service(models.Model):
    """Something that people depend on. Tier 1 is the most critical."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="services")
    slug = models.SlugField(max_length=63)
    name = models.CharField(max_length=200)
    tier = models.SmallIntegerField(default=3)

    class Meta:
        ordering = ["slug"]
        constraints = [models.UniqueConstraint(fields=["project", "slug"], name="service_slug_in_project")]

    def __str__(self) -> str:
        return self.name


class Environment(models.Model):
    """Where services run: a region, a stage."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="environments")
    slug = models.SlugField(max_length=63)
    name = models.CharField(max_length=200)

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.UniqueConstraint(fields=["project", "slug"], name="environment_slug_in_project")
        ]

    def __str__(self) -> str:
        return self.name


class Connection(models.Model):
    """A named place that actions may reach, made by an operator: address, authentication and limits.

    ``kind`` says which actions may use it, and what ``options`` mean (:mod:`handrail.catalog.kinds`).
    ``allowed_methods``: list of upper-case methods; empty means GET and HEAD. ``allowed_paths``: list of
    path prefixes; empty means every path below ``base_url``. ``allowed_networks``: CIDRs of otherwise refused
    addresses (loopback, private, link-local) that this connection may reach.
    """

    class Authentication(models.TextChoices):
        NONE = "none"
        BEARER = "bearer"
        BASIC = "basic"
        HEADER = "header"
        KEY = "key"
        SIGNATURE = "signature"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="connections")
    name = models.SlugField(max_length=63)
    description = models.CharField(max_length=300, blank=True)
    kind = models.CharField(max_length=30, default="http", db_default="http")
    base_url = models.URLField(max_length=500)
    environment = models.ForeignKey(Environment, null=True, blank=True, on_delete=models.SET_NULL)
    authentication = models.CharField(
        max_length=10, choices=Authentication.choices, default=Authentication.NONE
    )
    header_name = models.CharField(max_length=60, blank=True)
    secret_reference = models.CharField(max_length=300, blank=True)
    allowed_methods = models.JSONField(default=list, blank=True)
    allowed_paths = models.JSONField(default=list, blank=True)
    allowed_networks = models.JSONField(default=list, blank=True)
    options = models.JSONField(
        default=dict, blank=True, db_default=models.Value({}, output_field=models.JSONField())
    )
    timeout_seconds = models.FloatField(default=30.0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="connection_name_in_project")]

    def __str__(self) -> str:
        return self.name


class RunnerPool(models.Model):
    """A set of workers with one Celery queue. Shell steps run only where an operator allowed it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.SlugField(max_length=63, unique=True)
    allow_shell = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name
