"""Indexes for what the sweeper looks for, whatever else there is in the tables."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("alerts", "0002_dead_index"),
        ("incidents", "0002_append_only"),
        ("runbooks", "0016_steering"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name="approval",
            index=models.Index(
                condition=models.Q(("state", "pending")), fields=["expires_at"], name="approval_pending"
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("is_open", True), ("parent_step__isnull", False)),
                fields=["parent_step"],
                name="run_open_child",
            ),
        ),
        migrations.AddIndex(
            model_name="steprun",
            index=models.Index(
                condition=models.Q(("cancel_requested", True)), fields=["run"], name="step_unwanted"
            ),
        ),
    ]
