"""The database refuses to change or delete rows of audit_auditentry."""

from django.db import migrations

from handrail.audit import append_only

TABLE = "audit_auditentry"


def forwards(apps, schema_editor):
    append_only.install(schema_editor.connection, TABLE)


def backwards(apps, schema_editor):
    append_only.remove(schema_editor.connection, TABLE)


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
