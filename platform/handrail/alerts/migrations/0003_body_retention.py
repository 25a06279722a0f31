"""Since when the body of a delivery is not kept any more."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("alerts", "0002_dead_index"),
    ]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="body_kept_days",
            field=models.IntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="delivery",
            name="body_removed_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddIndex(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("body_removed_at__isnull", True)),
                fields=["received_at"],
                name="delivery_body_kept",
            ),
        ),
    ]
