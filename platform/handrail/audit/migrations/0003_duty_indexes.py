"""Indexes for what the sweeper looks for, whatever else there is in the tables."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0002_append_only"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="checkpoint",
            index=models.Index(fields=["chain", "n"], name="checkpoint_place"),
        ),
    ]
