"""One entry an act, in the act's transaction, in one unbroken chain."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from handrail.accounts.models import Project
from handrail.audit.actions import AuditObject, record, recorded_last
from handrail.audit.appending import around_n
from handrail.audit.chain import GENESIS, INSTALLATION, canonical_json, link
from handrail.audit.entries import entry_of
from handrail.audit.models import AuditEntry, AuditHead
from handrail.audit.trail import head, installation_links
from handrail.audit.verification import Verifier
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.shared.jsonvalue import storable
from tests import factories

SYSTEM = Actor.system("test")

_scalars = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
storables = st.dictionaries(st.text(), _scalars | st.lists(_scalars), max_size=5).map(storable)


@pytest.mark.django_db
def test_an_entry_says_who_what_where_and_through_which_channel(project: Project, admin: Actor) -> None:
    entry = record(
        admin, "project.renamed", project, data={"to": "Shop"}, before={"name": 1}, after={"name": 2}
    )
    assert (entry.actor_name, entry.channel, entry.actor_id) == ("admin", "web", str(admin.user_id))
    assert (entry.object_type, entry.object_id, entry.object_name) == ("project", str(project.pk), "Shop")
    assert entry.project_id == str(project.pk)
    assert entry.before_digest != entry.after_digest


@pytest.mark.django_db
def test_what_is_recorded_last_comes_in_its_order_when_all_is_done(project: Project) -> None:
    place = record(SYSTEM, "before", project).n
    with transaction.atomic(), recorded_last():
        first = record(SYSTEM, "one", project)
        with transaction.atomic():
            record(SYSTEM, "undone", project)
            transaction.set_rollback(True)
        with recorded_last():
            second = record(SYSTEM, "two", project)
        assert AuditEntry.objects.filter(n__gt=place).count() == 0, (
            "nobody waits for the end of the chain yet"
        )
    assert (first.n, second.n) == (place + 1, place + 2)
    assert record(SYSTEM, "after", project).n == place + 3
    assert not AuditEntry.objects.filter(action="undone").exists()


@pytest.mark.django_db
def test_the_project_comes_from_the_object(project: Project) -> None:
    assert record(SYSTEM, "x.done", factories.incident(project)).project_id == str(project.pk)
    assert record(SYSTEM, "x.done", factories.person()).project_id == ""


@pytest.mark.django_db
def test_each_entry_follows_the_last(project: Project) -> None:
    first, second = record(SYSTEM, "a.done", project), record(SYSTEM, "b.done", project)
    assert (first.previous_hash, second.previous_hash) == (GENESIS, first.hash)
    assert (head().n, head().hash) == (2, second.hash)


@pytest.mark.django_db
def test_what_a_stranger_typed_is_kept_within_bounds() -> None:
    stranger = Actor.system("n\x00ame" * 1000)
    entry = record(stranger, "x.done", AuditObject("thing", "i" * 900, "ü" * 900), data={"k\x00": "\ud800"})
    entry.refresh_from_db()
    verifier = Verifier()
    verifier.feed(installation_links())
    assert verifier.conclude({INSTALLATION: head()}).intact


@pytest.mark.django_db
@pytest.mark.parametrize(
    "data",
    [
        {},
        {"n": 7, '"n":': '"n":', "m": {"n": [1, 2.5, 1e20, -0.0, None]}},
        {"words": 'é\U0001f600 \\ " \n\t\x7f', "zz": "$1 %s {n}"},
    ],
)
def test_what_the_database_hashed_is_what_a_verifier_hashes(
    project: Project, data: dict[str, object]
) -> None:
    """On PostgreSQL the server hashes the text that stands around the number, which it alone knows."""
    record(SYSTEM, "before.done", project)
    entry = record(SYSTEM, "x.done", project, data=data)
    stored = AuditEntry.objects.get(pk=entry.pk)
    assert (stored.n, stored.previous_hash, stored.hash) == (entry.n, entry.previous_hash, entry.hash)
    assert stored.hash == link(stored.previous_hash, entry_of(stored))
    assert (head().n, head().hash) == (stored.n, stored.hash) == (2, stored.hash)


@given(st.integers(1, 2**63 - 1), storables, st.text(max_size=20))
def test_around_its_number_stands_the_whole_entry(n: int, data: dict[str, object], name: str) -> None:
    entry = AuditEntry(chain=INSTALLATION, at=now(), action="x.done", data=data, object_name=name)
    before, after = around_n(entry)
    entry.n = n
    assert f"{before}{n}{after}".encode("ascii") == canonical_json(entry_of(entry))


@pytest.mark.django_db(transaction=True)
def test_nothing_is_recorded_outside_of_a_transaction(project: Project) -> None:
    with pytest.raises(RuntimeError, match="inside the transaction"):
        record(SYSTEM, "x.done", project)


@pytest.mark.django_db(transaction=True)
def test_an_act_that_is_undone_leaves_no_entry(project: Project) -> None:
    with transaction.atomic():
        record(SYSTEM, "x.done", project)
        transaction.set_rollback(True)
    assert head().n == AuditEntry.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_many_at_once_still_make_one_unbroken_chain(project: Project) -> None:
    threads, each = 8, 10
    start = threading.Barrier(threads)

    def act() -> None:
        try:
            start.wait()
            for _ in range(each):
                with transaction.atomic():
                    record(SYSTEM, "x.done", project)
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(act) for _ in range(threads)]:
            done.result()
    verifier = Verifier()
    verifier.feed(installation_links())
    verdict = verifier.conclude({INSTALLATION: head()})
    assert (verdict.problems, verdict.entries) == ([], threads * each)
    assert AuditHead.objects.count() == 1
