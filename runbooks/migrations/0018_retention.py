"""What retention has removed, of whom it has nothing left to remove, and which rows name which artifact."""

import handrail.shared.references
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0001_initial"),
        ("alerts", "0003_body_retention"),
        ("incidents", "0002_append_only"),
        ("runbooks", "0017_duty_indexes"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="artifact",
            name="removed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="log_over_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="removed",
            field=models.JSONField(
                blank=True, db_default=models.Value({}, output_field=models.JSONField()), default=dict
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="values_over_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="artifact",
            index=models.Index(
                condition=models.Q(("removed_at__isnull", True)), fields=["sha256"], name="artifact_kept"
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("is_open", False), ("log_over_at__isnull", True)),
                fields=["ended_at"],
                name="run_log_kept",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("is_open", False), ("values_over_at__isnull", True)),
                fields=["ended_at"],
                name="run_values_kept",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=handrail.shared.references.ReferenceIndex(fields=["error"], name="run_error_refs"),
        ),
        migrations.AddIndex(
            model_name="runevent",
            index=handrail.shared.references.ReferenceIndex(fields=["data"], name="run_event_refs"),
        ),
        migrations.AddIndex(
            model_name="stepattempt",
            index=handrail.shared.references.ReferenceIndex(fields=["error"], name="attempt_error_refs"),
        ),
        migrations.AddIndex(
            model_name="steprun",
            index=handrail.shared.references.ReferenceIndex(fields=["inputs"], name="step_inputs_refs"),
        ),
        migrations.AddIndex(
            model_name="steprun",
            index=handrail.shared.references.ReferenceIndex(fields=["outputs"], name="step_outputs_refs"),
        ),
        migrations.AddIndex(
            model_name="steprun",
            index=handrail.shared.references.ReferenceIndex(fields=["error"], name="step_error_refs"),
        ),
    ]
