"""`handrail audit`: verify the audit trail, in the database or in an export, and export it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from handrail.cli import set_up_django
from handrail.shared.errors import Invalid

if TYPE_CHECKING:
    from handrail.audit.verification import Link, Place, Verdict, Verifier

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def audit() -> None:
    """The audit trail: who did what, chained so that a change shows."""
    set_up_django()


@audit.command()
@click.option(
    "--checkpoint", "checkpoint", type=_FILE, help="Checkpoints to hold the trail against, one a line."
)
@click.option(
    "--public-key",
    "key_files",
    type=_FILE,
    multiple=True,
    help="Who may have signed them (PEM). Without it: this installation's own key.",
)
@click.option("--export", "export_file", type=_FILE, help="Verify this export, without any database.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def verify(
    checkpoint: Path | None, key_files: tuple[Path, ...], export_file: Path | None, as_json: bool
) -> None:
    """Find entries that were edited, deleted, inserted, reordered or cut off, and say which.

    Without a checkpoint, a cut end or a chain that was rewritten as a whole by somebody who can write to the
    database is not found: hold it against the checkpoint file, kept elsewhere. This installation's own file is
    used when it is there. Exits with 0 when the trail is intact, 1 when it is not, 2 when it cannot be said.
    """
    from handrail.audit.verification import Verifier

    verifier = Verifier(_checkpoints(checkpoint, key_files, offline=export_file is not None))
    verdict = _verify_export(verifier, export_file) if export_file else _verify_database(verifier)
    click.echo(json.dumps(asdict(verdict) | {"intact": verdict.intact}) if as_json else _in_words(verdict))
    sys.exit(0 if verdict.intact else 1)


@audit.command()
@click.option("--out", type=_FILE, help="The file to write; standard output otherwise.")
def export(out: Path | None) -> None:
    """Write the whole trail, the installation's and every run's, as JSON lines that can be verified offline."""
    lines = _export_lines()
    if out is None:
        for line in lines:
            click.echo(line)
        return
    try:
        with out.open("x", encoding="ascii") as file:
            file.writelines(f"{line}\n" for line in lines)
    except FileExistsError as error:
        raise Invalid(f"{out} exists already: choose another name.") from error
    except OSError as error:
        raise Invalid(f"{out} cannot be written: {error.strerror}.") from error


@audit.command()
def checkpoint() -> None:
    """Sign where the trail ends now, if that is due, and append it to the checkpoint file."""
    from handrail.audit.checkpoints import checkpoint_if_due, sink

    click.echo(f"{checkpoint_if_due()} written to {sink()}")


def _checkpoints(
    file: Path | None, key_files: tuple[Path, ...], *, offline: bool
) -> Iterator[tuple[str, Place]]:
    """The places of a checkpoint file: the given one, or this installation's own when there is one."""
    from handrail.audit import checkpoints, signatures

    if file is None:
        file = checkpoints.sink()
        if offline or not file.is_file():
            return
    files = key_files or (checkpoints.folder() / signatures.PUBLIC,)
    keys = {signatures.key_id(key): key for key in map(signatures.public_key, files)}
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            yield from checkpoints.read(lines, keys)
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}.") from error


def _verify_database(verifier: Verifier) -> Verdict:
    from handrail.audit import trail
    from handrail.audit.chain import INSTALLATION
    from runbooks import histories

    before = {INSTALLATION: trail.head(), **histories.heads()}
    verifier.feed(trail.installation_links())
    verifier.feed(histories.links())
    return verifier.conclude(before, {INSTALLATION: trail.head(), **histories.heads()})


def _verify_export(verifier: Verifier, file: Path) -> Verdict:
    from handrail.audit.trail import Export

    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            export = Export(lines)
            verifier.feed(export.links())
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}.") from error
    return verifier.conclude(export.heads)


def _export_lines() -> Iterator[str]:
    """Installation first, then the runs. The last line says where each chain ended when it was read."""
    from handrail.audit import trail
    from handrail.audit.chain import INSTALLATION
    from handrail.audit.verification import Place
    from runbooks import histories

    ends: dict[str, Place] = {INSTALLATION: Place()}

    def noting(links: Iterator[Link]) -> Iterator[str]:
        for link in links:
            ends[link.chain] = Place(link.n, link.hash)
            yield trail.line_of(link)

    yield from noting(trail.installation_links())
    yield from noting(histories.links())
    yield trail.last_line(ends)


def _in_words(verdict: Verdict) -> str:
    counted = f"{verdict.entries} entries in {verdict.chains} chains, {verdict.checkpoints} checkpoints"
    if verdict.intact:
        return f"The audit trail is intact: {counted}. It ends at entry {verdict.last.n} ({verdict.last.hash[:16]})."
    lines = [f"{problem.chain}: {problem.text}." for problem in verdict.problems]
    return "\n".join([f"The audit trail is NOT intact ({counted}):", *lines])
