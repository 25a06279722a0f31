"""What all tests share: a database like production's, and people who may do different things."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection
from django.db.backends.base.operations import BaseDatabaseOperations
from hypothesis import settings

from handrail.accounts.models import Project, User
from handrail.audit import append_only
from handrail.shared.actors import Actor
from tests import factories

# No timed assertion: a busy machine is not a bug.
settings.register_profile("handrail", deadline=None)
settings.load_profile("handrail")

APPEND_ONLY = (
    "audit_auditentry",
    "runbooks_runevent",
    "incidents_timelineevent",
    "incidents_postmortemrevision",
)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SQLite in a file, as in production: in memory, two threads would share one transaction's locks."""
    if connection.vendor == "sqlite":
        folder = tmp_path_factory.mktemp("database")
        connection.settings_dict["TEST"]["NAME"] = str(folder / "handrail.sqlite3")


@pytest.fixture(scope="session", autouse=True)
def _flush_may_empty_append_only_tables() -> Iterator[None]:
    """A test that commits is undone by emptying all tables: only then, the triggers stand aside."""
    flush = BaseDatabaseOperations.execute_sql_flush

    def lifted(operations: BaseDatabaseOperations, sql_list: list[str]) -> None:
        for table in APPEND_ONLY:
            append_only.remove(operations.connection, table)
        try:
            flush(operations, sql_list)
        finally:
            for table in APPEND_ONLY:
                append_only.install(operations.connection, table)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", lifted)
        yield


@pytest.fixture
def project(db: None) -> Project:
    """The project that most tests are about."""
    return factories.project("shop")


@pytest.fixture
def other_project(db: None) -> Project:
    """A project of other people."""
    return factories.project("elsewhere")


@pytest.fixture
def owner(db: None) -> User:
    """An owner of the installation, without a role on any project."""
    return factories.owner()


@pytest.fixture
def admin(project: Project) -> Actor:
    """An admin of ``project``."""
    return factories.actor(factories.person("admin", {project: "admin"}))


@pytest.fixture
def responder(project: Project) -> Actor:
    """A responder of ``project``."""
    return factories.actor(factories.person("responder", {project: "responder"}))


@pytest.fixture
def viewer(project: Project) -> Actor:
    """A viewer of ``project``."""
    return factories.actor(factories.person("viewer", {project: "viewer"}))


@pytest.fixture
def outsider(other_project: Project) -> Actor:
    """An admin of another project."""
    return factories.actor(factories.person("outsider", {other_project: "admin"}))
