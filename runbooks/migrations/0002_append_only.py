"""The database refuses to change or delete rows of runbooks_runevent."""

from django.db import migrations

from handrail.audit import append_only

TABLE = "runbooks_runevent"


def forwards(apps, schema_editor):
    append_only.install(schema_editor.connection, TABLE)


def backwards(apps, schema_editor):
    append_only.remove(schema_editor.connection, TABLE)


class Migration(migrations.Migration):
    dependencies = [("runbooks", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
