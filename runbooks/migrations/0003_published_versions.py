"""The database refuses to change what a published version says. Its state and who it names may change."""

from django.db import migrations

TABLE = "runbooks_runbookversion"
FIXED = ("runbook_id", "number", "source", "canonical", "digest", "engine_schema", "published_at")
WORDS = "a published version is immutable"

POSTGRESQL = f"""
CREATE OR REPLACE FUNCTION handrail_published_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '{WORDS}' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE OR REPLACE TRIGGER {TABLE}_immutable BEFORE UPDATE ON {TABLE} FOR EACH ROW
WHEN (OLD.number IS NOT NULL AND ({{changed}}))
EXECUTE FUNCTION handrail_published_version()
"""
SQLITE = f"""
CREATE TRIGGER IF NOT EXISTS {TABLE}_immutable BEFORE UPDATE ON {TABLE}
WHEN OLD.number IS NOT NULL AND ({{changed}})
BEGIN SELECT RAISE(ABORT, '{WORDS}'); END
"""


def forwards(apps, schema_editor):
    install(schema_editor, FIXED)


def install(schema_editor, columns):
    postgresql = schema_editor.connection.vendor == "postgresql"
    differs = "IS DISTINCT FROM" if postgresql else "IS NOT"
    changed = " OR ".join(f"NEW.{column} {differs} OLD.{column}" for column in columns)
    statement = (POSTGRESQL if postgresql else SQLITE).format(changed=changed)
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(statement)


def backwards(apps, schema_editor):
    place = f" ON {TABLE}" if schema_editor.connection.vendor == "postgresql" else ""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER IF EXISTS {TABLE}_immutable{place}")


class Migration(migrations.Migration):
    dependencies = [("runbooks", "0002_append_only")]
    operations = [migrations.RunPython(forwards, backwards)]
