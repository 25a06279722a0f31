"""Secrets kept by Handrail itself: envelope-encrypted, never shown again."""

from __future__ import annotations

from django.db import models

from handrail.shared.ids import new_id


class Secret(models.Model):
    """A ``local:`` secret of a project."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    project = models.ForeignKey("accounts.Project", on_delete=models.CASCADE, related_name="secrets")
    name = models.CharField(max_length=100)
    ciphertext = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="secret_name_in_project")]

    def __str__(self) -> str:
        return f"local:{self.name}"
