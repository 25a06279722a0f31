"""Every kind of tampering is found, at its place: in the database, and in an export offline."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from click.testing import CliRunner, Result
from django.db import connection
from django.db.models import F
from pytest_django.fixtures import Settings

from handrail.accounts.models import Project
from handrail.accounts.queries import audit_visible_to
from handrail.audit import append_only, checkpoints, signatures
from handrail.audit.actions import record
from handrail.audit.chain import GENESIS, link
from handrail.audit.entries import entry_of
from handrail.audit.models import AuditEntry, AuditHead, Checkpoint
from handrail.cli.audit import audit
from handrail.shared.actors import Actor
from handrail.shared.clock import now
from handrail.shared.errors import Invalid
from handrail.shared.ids import new_id
from handrail.web.audit_verification import verify_recent
from runbooks.models import Run, RunEvent
from tests import factories

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("test")


@pytest.fixture
def run(project: Project) -> Run:
    made = factories.run(factories.runbook(project))
    factories.run_events(made, "run_started", "step_succeeded", "run_finished")
    return made


@pytest.fixture
def trail(project: Project, run: Run, tmp_path: Path, settings: Settings) -> Path:
    """Ten entries, the fifth of which anchors a run; a checkpoint; and no triggers, as for an administrator."""
    settings.HOME = tmp_path
    settings.AUDIT_CHECKPOINTS = ""
    for n in range(1, 11):
        if n == 5:
            data = {"history_n": run.history_n, "history_hash": run.history_hash}
            record(SYSTEM, "run.finished", run, data=data)
        else:
            record(SYSTEM, "thing.done", project, data={"n": n})
    assert checkpoints.checkpoint_if_due() == 1
    for table in ("audit_auditentry", "runbooks_runevent"):
        append_only.remove(connection, table)
    return tmp_path / "audit" / "checkpoints.jsonl"


def verify(*options: str | Path) -> Result:
    runner = CliRunner()
    return runner.invoke(audit, ["verify", *map(str, options)])


def entries() -> dict[int, AuditEntry]:
    return {entry.n: entry for entry in AuditEntry.objects.all()}


def rehash(entry: AuditEntry, previous_hash: str) -> str:
    """Make an entry look genuine by itself."""
    digest = link(previous_hash, entry_of(entry))
    AuditEntry.objects.filter(pk=entry.pk).update(previous_hash=previous_hash, hash=digest)
    return digest


def test_an_untouched_trail_is_intact(trail: Path) -> None:
    result = verify()
    assert (result.exit_code, result.output[:27]) == (0, "The audit trail is intact: ")
    assert "13 entries in 2 chains, 1 checkpoints" in result.output


def test_an_empty_trail_is_intact(db: None, tmp_path: Path, settings: Settings) -> None:
    settings.HOME = tmp_path
    assert verify().exit_code == 0


@pytest.mark.parametrize(
    "change",
    [
        {"actor_name": "mallory"},
        {"data": {"n": 4.5}},
        {"at": now()},
        {"project_id": ""},
        {"address": "10.0.0.1"},
        {"object_name": "x"},
    ],
)
def test_an_edit_is_found_at_its_entry(trail: Path, change: dict[str, object]) -> None:
    AuditEntry.objects.filter(n=4).update(**change)
    result = verify()
    assert result.exit_code == 1
    assert "installation: entry 4 is not as it was written" in result.output


def test_an_edit_with_a_fitting_hash_is_found_at_the_next_entry(trail: Path) -> None:
    entry = entries()[4]
    entry.actor_name = "mallory"
    entry.save()
    rehash(entry, entry.previous_hash)
    assert "entry 5 does not follow entry 4" in verify().output


def test_a_previous_hash_that_is_none_is_found_like_any_edit(trail: Path) -> None:
    AuditEntry.objects.filter(n=4).update(previous_hash="é")
    assert "entry 4 is not as it was written" in verify().output
    AuditEntry.objects.filter(n=10).update(previous_hash="é")
    assert "Entry 10 is not what was written" in verify_recent().words


def test_a_deletion_is_found(trail: Path) -> None:
    AuditEntry.objects.filter(n__in=[4, 6, 7]).delete()
    output = verify().output
    assert "entry 4 is missing" in output
    assert "entries 6 to 7 are missing" in output


def test_an_insertion_is_found(trail: Path) -> None:
    AuditEntry.objects.filter(n__gt=4).update(n=F("n") + 100)
    AuditEntry.objects.filter(n__gt=100).update(n=F("n") - 99)
    fifth = AuditEntry.objects.get(n=4)
    forged = AuditEntry(
        **{f.attname: getattr(fifth, f.attname) for f in fifth._meta.fields if f.name != "id"}
    )
    forged.n, forged.action, forged.previous_hash = 5, "thing.forged", fifth.hash
    forged.hash = link(fifth.hash, entry_of(forged))
    forged.save(force_insert=True)
    assert "entry 6 was written as entry 5: the order was changed" in verify().output


def test_an_insertion_after_the_head_is_found(trail: Path) -> None:
    AuditHead.objects.update(n=9, hash=entries()[9].hash)
    assert "entries 10 to 10 stand after the head" in verify().output


def test_an_insertion_under_the_name_of_another_chain_is_found_and_not_shown(trail: Path) -> None:
    forged = entries()[5]
    forged.pk, forged.chain, forged.n, forged.action = new_id(), "installation ", 1, "thing.forged"
    forged.previous_hash = GENESIS
    forged.hash = link(GENESIS, entry_of(forged))
    forged.save(force_insert=True)
    result = verify()
    assert result.exit_code == 1
    assert "entry 1 is none of this chain: it was put there" in result.output
    assert not audit_visible_to(factories.actor(factories.owner())).filter(action="thing.forged").exists()


def test_a_change_of_order_is_found(trail: Path) -> None:
    AuditEntry.objects.filter(n=3).update(n=99)
    AuditEntry.objects.filter(n=4).update(n=3)
    AuditEntry.objects.filter(n=99).update(n=4)
    output = verify().output
    assert "entry 3 was written as entry 4" in output
    assert "entry 4 was written as entry 3" in output


def test_a_cut_end_is_found_by_the_head(trail: Path) -> None:
    AuditEntry.objects.filter(n__gt=8).delete()
    assert "the head says that there are 10 entries, but the last is 8" in verify().output


def cut(last: int) -> None:
    AuditEntry.objects.filter(n__gt=last).delete()
    AuditHead.objects.update(n=last, hash=entries()[last].hash)
    Checkpoint.objects.all().delete()


def test_a_cut_end_with_a_fitting_head_is_found_by_the_exported_checkpoint(trail: Path) -> None:
    cut(8)
    result = verify("--checkpoint", trail)
    assert result.exit_code == 1
    assert "entries 9 to 10 were cut off, or an old backup was restored" in result.output


def test_a_chain_rewritten_as_a_whole_is_found_by_the_exported_checkpoint(trail: Path) -> None:
    previous = "0" * 64
    for n, entry in sorted(entries().items()):
        if n == 4:
            entry.actor_name = "mallory"
            entry.save()
        previous = rehash(entry, previous)
    AuditHead.objects.update(hash=previous)
    trail_without = trail.rename(trail.with_suffix(".kept"))
    assert verify().exit_code == 0, "nothing inside of the database can show it"
    result = verify("--checkpoint", trail_without)
    assert "entry 10 is not the one that was there when its checkpoint was signed" in result.output


def test_a_history_of_a_run_that_was_edited_is_found(trail: Path, run: Run) -> None:
    RunEvent.objects.filter(run=run, n=2).update(data={"forged": True})
    assert f"run:{run.pk}: entry 2 is not as it was written" in verify().output


def test_a_history_of_a_run_that_was_cut_is_found_by_the_installations_trail(trail: Path, run: Run) -> None:
    RunEvent.objects.filter(run=run, n=3).delete()
    last = RunEvent.objects.get(run=run, n=2)
    Run.objects.filter(pk=run.pk).update(history_n=2, history_hash=last.hash)
    assert "history ended with entry 3, but it ends at entry 2" in verify().output


def test_a_run_that_was_deleted_is_found(trail: Path, run: Run) -> None:
    Run.objects.filter(pk=run.pk).delete()
    assert f"run:{run.pk}: the installation's trail says" in verify().output


def test_a_forged_checkpoint_is_refused(trail: Path) -> None:
    document = json.loads(trail.read_text())
    document["checkpoint"]["n"] = 8
    trail.write_text(json.dumps(document))
    result = verify()
    assert isinstance(result.exception, Invalid)
    assert "signature that is not genuine" in result.exception.message


def test_a_checkpoint_of_another_key_needs_that_key(trail: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    signatures.signing_key(other)
    result = verify("--checkpoint", trail, "--public-key", other / signatures.PUBLIC)
    assert isinstance(result.exception, Invalid)
    assert "signed by another key" in result.exception.message


@pytest.mark.parametrize("text", ["nonsense", "{}", "[]", '{"checkpoint": 5, "signature": 1}', "null"])
def test_junk_for_a_checkpoint_is_refused_by_its_line(trail: Path, text: str) -> None:
    trail.write_text(text + "\n")
    assert isinstance(verify().exception, Invalid)


def exported(folder: Path) -> Path:
    out = folder / "trail.jsonl"
    assert CliRunner().invoke(audit, ["export", "--out", str(out)]).exit_code == 0
    return out


def test_an_export_is_verified_without_the_database(trail: Path, tmp_path: Path) -> None:
    out = exported(tmp_path)
    AuditEntry.objects.all().delete()
    key = tmp_path / "audit" / signatures.PUBLIC
    result = verify("--export", out, "--checkpoint", trail, "--public-key", key)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (
            lambda lines: [line.replace('"n": 4', '"n": 4, "x": 1') for line in lines],
            "entry 4 is not as it was written",
        ),
        (lambda lines: [*lines[:3], *lines[4:]], "entry 4 is missing"),
        (lambda lines: [*lines[:4], lines[3], *lines[4:]], "entry 4 stands after entry 4"),
        (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], "entry 4 stands after entry 5"),
        (lambda lines: [*lines[:9], *lines[10:]], "entries, but the last is 9"),
        (
            lambda lines: [line.replace('"n": 4', '"n": 4, "x": 1e999') for line in lines],
            "entry 4 is not as it was written",
        ),
        (
            lambda lines: [re.sub('"chain": "run:[^"]+"', '"chain": "run:another"', line) for line in lines],
            "run:another: entry 1 is none of this chain",
        ),
    ],
)
def test_tampering_with_an_export_is_found(
    trail: Path, tmp_path: Path, tamper: Callable[[list[str]], list[str]], found: str
) -> None:
    out = exported(tmp_path)
    out.write_text("\n".join(tamper(out.read_text().splitlines())) + "\n")
    result = verify("--export", out)
    assert result.exit_code == 1
    assert found in result.output


@pytest.mark.parametrize(
    "text", ["", "junk\n", "[" * 100_000, "{}\n", '{"heads": 4}\n', '{"chain": 1, "entry": 2}\n']
)
def test_junk_for_an_export_is_refused(trail: Path, tmp_path: Path, text: str) -> None:
    out = tmp_path / "junk"
    out.write_text(text)
    assert isinstance(verify("--export", out).exception, Invalid)


def test_an_export_that_was_cut_short_does_not_pass_for_whole(trail: Path, tmp_path: Path) -> None:
    out = exported(tmp_path)
    out.write_text("\n".join(out.read_text().splitlines()[:-1]))
    assert isinstance(verify("--export", out).exception, Invalid)


def test_a_checkpoint_is_due_after_a_minute_or_a_thousand_entries(trail: Path, project: Project) -> None:
    assert checkpoints.checkpoint_if_due() == 0, "nothing new"
    record(SYSTEM, "thing.done", project)
    assert checkpoints.checkpoint_if_due() == 0, "not a minute yet"
    with time_machine.travel(now() + timedelta(seconds=61)):
        assert checkpoints.checkpoint_if_due() == 1
    AuditHead.objects.update(n=F("n") + 1000)
    assert checkpoints.checkpoint_if_due() == 1


def test_a_checkpoint_that_could_not_be_written_is_written_later(trail: Path, project: Project) -> None:
    Checkpoint.objects.update(exported_at=None)
    trail.unlink()
    assert checkpoints.checkpoint_if_due() == 1
    assert verify().exit_code == 0


def test_a_line_of_a_checkpoint_that_broke_off_makes_no_other_unreadable(
    trail: Path, project: Project
) -> None:
    whole = trail.read_text()
    trail.write_text(whole[:100])
    assert isinstance(verify().exception, Invalid)
    Checkpoint.objects.update(exported_at=None)
    record(SYSTEM, "thing.done", project)
    with time_machine.travel(now() + timedelta(seconds=61)):
        assert checkpoints.checkpoint_if_due() == 2
    assert trail.read_text().startswith(f"{whole[:100]}\n{whole}")
    result = verify()
    assert result.exit_code == 0, result.output
    assert "2 checkpoints" in result.output


def test_the_signing_key_is_its_owners_alone(trail: Path) -> None:
    assert (trail.parent / signatures.PRIVATE).stat().st_mode & 0o777 == 0o600
    assert signatures.signing_key(trail.parent).public_key() == signatures.public_key(
        trail.parent / signatures.PUBLIC
    )


def test_the_verdict_is_also_there_for_programs(trail: Path) -> None:
    AuditEntry.objects.filter(n=4).update(actor_name="mallory")
    verdict = json.loads(verify("--json").output)
    assert verdict["intact"] is False
    assert verdict["problems"][0] | {"text": ""} == {
        "chain": "installation",
        "n": 4,
        "kind": "edited",
        "text": "",
    }
