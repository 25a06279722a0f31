"""Votes that count no more, and everyone who edited a version: fixed with it when it is published."""

from importlib import import_module

from django.db import migrations, models

published = import_module("runbooks.migrations.0003_published_versions")


def install(apps, schema_editor):
    # SQLite makes the table anew for a column, and loses its triggers.
    published.backwards(apps, schema_editor)
    published.install(schema_editor, (*published.FIXED, "editors"))


class Migration(migrations.Migration):
    dependencies = [("runbooks", "0003_published_versions")]
    operations = [
        migrations.RunPython(migrations.RunPython.noop, published.forwards),
        migrations.AddField(
            model_name="runbookversion",
            name="editors",
            field=models.JSONField(
                blank=True, db_default=models.Value([], output_field=models.JSONField()), default=list
            ),
        ),
        migrations.AddField(
            model_name="vote",
            name="void_reason",
            field=models.CharField(blank=True, db_default="", default="", max_length=200),
        ),
        migrations.RunPython(install, published.backwards),
    ]
