"""What befalls everybody at once while the arena plays: crashes of the database, cuts, a full disk, a broken trail."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, connections

from tests.prove.servers import Postgres


class Trouble(Protocol):
    """``counts``: what happened how often, for the report. ``words``: what errors say that come of it."""

    counts: Counter[str]
    words: tuple[str, ...]

    def tick(self) -> None:
        """Called again and again while people are killed."""

    def goes_on(self) -> bool:
        """Whether there is more to come."""

    def end(self) -> None:
        """Everything is well again."""


class NoTrouble:
    """The killing alone."""

    words: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def tick(self) -> None:
        return

    def goes_on(self) -> bool:
        return False

    def end(self) -> None:
        return


class Crashes:
    """PostgreSQL is stopped immediately and started again; between that, connections are terminated at random."""

    words: tuple[str, ...] = ()

    def __init__(
        self, server: Postgres, database: str, crashes: int, dice: random.Random, *, told: Path
    ) -> None:
        """``told`` grows with every run that is started: a server on which nothing happens is not worth a crash."""
        self.counts: Counter[str] = Counter()
        self._server, self._database, self._dice = server, database, dice
        self._told, self._seen = told, 0
        self._left = crashes
        self._next = time.monotonic() + 1

    def tick(self) -> None:
        if time.monotonic() < self._next or not self._left:
            return
        size = self._told.stat().st_size if self._told.exists() else 0
        if size == self._seen:
            return
        self._seen = size
        self._next = time.monotonic() + self._dice.uniform(0.3, 0.9)
        if self._dice.random() < 0.2:
            self._server.crash()
            # Sometimes for longer than a lease.
            time.sleep(self._dice.choice((0.0, 0.5, 1.5 * float(settings.LEASE_SECONDS))))
            self._server.start()
            self._left -= 1
            self.counts["server stopped immediately"] += 1
        else:
            some = self._dice.choice((1, 3, 100))
            self.counts["connections terminated"] += self._server.execute(
                "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE datname = %s"
                " AND pid <> pg_backend_pid() ORDER BY random() LIMIT %s) AS victims",
                self._database,
                some,
            )

    def goes_on(self) -> bool:
        return self._left > 0

    def end(self) -> None:
        return


class Cuts:
    """The proxy cuts connections at their COMMIT, so many times."""

    words: tuple[str, ...] = ()

    def __init__(self, folder: Path, wanted: int) -> None:
        self.counts: Counter[str] = Counter()
        self._folder, self._wanted = folder, wanted

    def tick(self) -> None:
        (self._folder / "cutting").touch()

    def goes_on(self) -> bool:
        self._count()
        return sum(self.counts.values()) < self._wanted

    def end(self) -> None:
        (self._folder / "cutting").unlink(missing_ok=True)
        self._count()

    def _count(self) -> None:
        path = self._folder / "cuts"
        words = path.read_text().split() if path.exists() else []
        self.counts = Counter(f"connection cut {way} the commit's answer" for way in words)


class Phases:
    """Something is broken and well again by turns; the last time for longer than a lease."""

    words: tuple[str, ...] = ()

    def __init__(self, times: int, dice: random.Random) -> None:
        self.counts: Counter[str] = Counter()
        self._left, self._dice = times, dice
        self._broken = False
        self._next = time.monotonic() + 2

    def tick(self) -> None:
        if time.monotonic() < self._next or not self._left:
            return
        lease = float(settings.LEASE_SECONDS)
        if self._broken:
            self.mend()
            self._left -= 1
            self._next = time.monotonic() + self._dice.uniform(0.5, 2 * lease)
        else:
            self.damage()
            self._next = time.monotonic() + (
                1.5 * lease if self._left == 1 else self._dice.uniform(0.3, lease)
            )
        self._broken = not self._broken

    def goes_on(self) -> bool:
        return self._left > 0

    def end(self) -> None:
        if self._broken:
            self.mend()

    def damage(self) -> None:
        raise NotImplementedError

    def mend(self) -> None:
        raise NotImplementedError


class FullDisk(Phases):
    """The disk on which the database and the artifacts lie is filled to the last byte."""

    words = ("database or disk is full", "No space left on device")

    def __init__(self, disk: Path, times: int, dice: random.Random) -> None:
        super().__init__(times, dice)
        self._ballast = disk / "ballast"

    def damage(self) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue
        self.counts["disk full"] += 1

    def mend(self) -> None:
        self._ballast.unlink()


class BrokenTrail(Phases):
    """Nothing can be written into the audit trail, or into the runs' histories: a trigger refuses it."""

    WORDS = "the trail is broken"
    words = (WORDS,)
    TABLES = ("audit_auditentry", "runbooks_runevent")

    def __init__(self, times: int, dice: random.Random) -> None:
        super().__init__(times, dice)
        self._table = self.TABLES[0]

    def damage(self) -> None:
        self._table = self.TABLES[sum(self.counts.values()) % 2]
        wanted = f"CREATE TRIGGER prove_broken BEFORE INSERT ON {self._table}"
        if connection.vendor == "sqlite":
            self._execute(f"{wanted} BEGIN SELECT RAISE(ABORT, '{self.WORDS}'); END")
        else:
            refuse = f"BEGIN RAISE EXCEPTION '{self.WORDS}'; END"
            self._execute(
                f"CREATE OR REPLACE FUNCTION prove_broken() RETURNS trigger LANGUAGE plpgsql AS $$ {refuse} $$"
            )
            self._execute(f"{wanted} FOR EACH ROW EXECUTE FUNCTION prove_broken()")
        self.counts[f"{self._table} refused everything"] += 1

    def mend(self) -> None:
        on = "" if connection.vendor == "sqlite" else f" ON {self._table}"
        self._execute(f"DROP TRIGGER prove_broken{on}")

    def _execute(self, statement: str) -> None:
        """As often as it takes: everybody else wants these tables, too."""
        while True:
            try:
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                break
            except (OperationalError, InterfaceError):
                connections.close_all()
                time.sleep(0.05)
        # The parent forks: nothing may be open.
        connections.close_all()
