"""The database refuses to change or delete what happened, and what a postmortem's section once was."""

from django.db import migrations

from handrail.audit import append_only

TABLES = ("incidents_timelineevent", "incidents_postmortemrevision")


def forwards(apps, schema_editor):
    for table in TABLES:
        append_only.install(schema_editor.connection, table)


def backwards(apps, schema_editor):
    for table in TABLES:
        append_only.remove(schema_editor.connection, table)


class Migration(migrations.Migration):
    dependencies = [("incidents", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
