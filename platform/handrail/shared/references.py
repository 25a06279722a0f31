"""Which rows name an artifact: an index of the references in a column of JSON, and the conditions that use it.

There is no table of references beside the rows: the rows are the truth, and an older process that writes one during
an upgrade cannot forget to register it.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Statement, Table

from handrail.shared.artifacts import MARK

_PATH = f"""'$.**."{MARK}"'"""


def has_reference(vendor: str, column: str) -> str:
    """The condition that a value holds any reference, however deep; the index has only such rows."""
    if vendor == "postgresql":
        return f"jsonb_path_exists({column}, {_PATH})"
    return f"""instr({column}, '"{MARK}"') > 0"""


def references_in(column: str) -> str:
    """All that a value names, as an array of JSON. PostgreSQL."""
    return f"jsonb_path_query_array({column}, {_PATH})"


class ReferenceIndex(models.Index):
    """An index of the artifacts that a column of JSON names, see :func:`has_reference`.

    PostgreSQL finds the rows that name a digest; SQLite, which lives on one machine, those that name any.
    """

    def create_sql(
        self,
        model: type[models.Model],
        schema_editor: BaseDatabaseSchemaEditor,
        using: str = "",
        **kwargs: Any,
    ) -> Statement:
        """The statement that makes it."""
        quote = schema_editor.quote_name
        column, key = (
            quote(str(getattr(model._meta.get_field(name), "column", name)))
            for name in (self.fields[0], model._meta.pk.name)
        )
        vendor = schema_editor.connection.vendor
        what = f"USING gin ({references_in(column)})" if vendor == "postgresql" else f"({key})"
        return Statement(
            "CREATE INDEX %(name)s ON %(table)s %(what)s WHERE %(condition)s",
            name=quote(self.name),
            table=Table(model._meta.db_table, quote),
            what=what,
            condition=has_reference(vendor, column),
        )
