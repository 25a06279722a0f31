"""`make prove`: the proof, scene by scene, a report, and as its last line what was found."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import psycopg

from tests.ports import free_ports
from tests.prove.crashing import simulate, simulation
from tests.prove.report import CLEAN, Found, last_line, write_report
from tests.prove.scenes import POSTGRES, SCENES, SERVER_VARIABLE, SQLITE, Scene, Setting
from tests.prove.servers import Missing, Postgres, answers, postgres, until

TOP = Path(__file__).parents[2]
SMALL_DISK = "48m"

PLAYERS_INDEXES = (
    "proof_open ON runbooks_run (id) WHERE is_open",
    "proof_state ON runbooks_steprun (state)",
)
"""Without them what the players ask would take the longer the more runs have ended, and the long form would crawl."""

LONGEST_LOG = 20_000
"""Characters of what the processes of a scene have said that are shown where something was found."""


def main() -> int:
    """Parse, play each scene in a process of its own, sum up. 1 when anything was lost, doubled or stuck."""
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__)
    names = [scene.name for scene in SCENES]
    parser.add_argument(
        "--scene", action="append", default=[], choices=names, help="only this one; may be repeated"
    )
    parser.add_argument("--kills", type=int, default=0, help="in the scene `killed`, for each database")
    parser.add_argument("--long", action="store_true", help="the long form: 20,000 kills for each database")
    parser.add_argument("--seed", type=int, default=0, help="of the dice; a fresh one without")
    parser.add_argument(
        "--database",
        action="append",
        default=[],
        help="sqlite, postgres (a server of the proof's own), or postgres://user@host/postgres, on which databases are"
        " made and dropped; sqlite and postgres without",
    )
    parser.add_argument("--report", type=Path, default=TOP / "build" / "prove.md")
    parser.add_argument("--only-kill", action="store_true", help="leave the simulation of crashes out")
    parser.add_argument("--simulate", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--migrate", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    seed = given.seed or secrets.randbits(32)
    scenes = [scene for scene in SCENES if scene.name in (given.scene or names)]
    if given.migrate:
        return migrate()
    if given.simulate is not None:
        return simulation(given.simulate, long=given.long)
    if given.inside is not None:
        return inside(scenes[0], Setting(given.database[0], given.inside, given.kills, seed))
    began = time.monotonic()
    # Whoever ends the proof ends its servers, too.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    print(f"seed {seed}", flush=True)
    # Whoever asks for one scene wants that one.
    simulated = [] if given.only_kill or given.scene else _simulated(long=given.long)
    found: list[Found] = []
    try:
        with _stage(given.database or ["sqlite", "postgres"]) as stage:
            for scene, database in _played(scenes, stage.databases):
                amount = _amount(scene, given.kills, long=given.long)
                found.append(stage.play(scene, database, amount, seed))
                # After each: the long form takes hours, and whoever ends it wants to know what it has found.
                write_report(given.report, found, simulated, seconds=time.monotonic() - began)
    except Missing as missing:
        raise SystemExit(f"The proof needs servers of its own: {missing}") from missing
    write_report(given.report, found, simulated, seconds=time.monotonic() - began)
    print(f"The report is in {given.report}.")
    print(last_line(found, simulated))
    return 0 if last_line(found, simulated).endswith(CLEAN) else 1


def _played(scenes: Sequence[Scene], databases: Container[str]) -> Iterator[tuple[Scene, str]]:
    """Every scene on every database that it is for and that is proven."""
    for scene in scenes:
        for database in scene.databases:
            if database in databases:
                yield scene, database


def _simulated(*, long: bool) -> list[dict[str, Any]]:
    """Crash the sample runbooks everywhere, in a process that knows all actions and asks no database."""
    with TemporaryDirectory(prefix="simulate-") as name:
        url = f"sqlite:///{Path(name) / 'none.sqlite3'}"
        return simulate(environment_for(url, Path(name) / "home"), long=long)


def _amount(scene: Scene, kills: int, *, long: bool) -> int:
    if scene.name == "killed" and kills:
        return kills
    return scene.long if long else scene.short


@dataclass(slots=True)
class Stage:
    """Where scenes are played: an empty migrated database of each kind, to be copied."""

    folder: Path
    server: Postgres | None
    server_url: str

    @property
    def databases(self) -> set[str]:
        """The kinds that are proven."""
        return ({SQLITE} if self.sqlite.exists() else set()) | ({POSTGRES} if self.server_url else set())

    @property
    def sqlite(self) -> Path:
        return self.folder / "template.sqlite3"

    def play(self, scene: Scene, database: str, amount: int, seed: int) -> Found:
        """Play one scene on one database, in a process whose settings name it."""
        print(f"{scene.title} ({database}, {scene.name}, {amount}) ...", flush=True)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="prove-")))
            place = folder / "disk" if scene.on_disk else folder
            place.mkdir(exist_ok=True)
            argv = [sys.executable, "-m", "tests.prove", "--inside", str(folder), "--scene", scene.name]
            argv += ["--database", database, "--kills", str(amount), "--seed", str(seed)]
            before: list[str] = []
            if database == SQLITE:
                url = f"sqlite:///{place / 'handrail.sqlite3'}"
                before = ["cp", str(self.sqlite), str(place / "handrail.sqlite3")]
            else:
                url = stack.enter_context(self._copy(scene, folder, seed))
            if scene.on_disk:
                argv = _on_small_disk(place, before, argv)
            elif before:
                subprocess.run(before, check=True)
            environment = environment_for(url, place / "home")
            if self.server is not None:
                environment[SERVER_VARIABLE] = json.dumps(self.server.description())
            log = folder / "log"
            with log.open("ab") as output:
                done = subprocess.run(
                    argv, env=environment, cwd=TOP, check=False, stdout=output, stderr=output
                )
            result = folder / "result.json"
            if not result.exists():
                print(log.read_text(errors="replace")[-6_000:], flush=True)
                raise SystemExit(
                    f"The scene {scene.name} on {database} broke off with status {done.returncode}."
                )
            found = Found(scene.name, scene.title, database, seed, **json.loads(result.read_text()))
            if found.sentences:
                said = log.read_text(errors="replace")[-LONGEST_LOG:]
                print(f"  what its processes said at last:\n{said}", flush=True)
        print(f"  {found.in_a_line()}", flush=True)
        for sentence in found.sentences[:20]:
            print(f"  {sentence}", flush=True)
        return found

    @contextmanager
    def _copy(self, scene: Scene, folder: Path, seed: int) -> Iterator[str]:
        """A database of the scene's own; its URL, through the proxy if the scene wants it."""
        name = f"prove_{secrets.token_hex(5)}"
        with psycopg.connect(self.server_url, autocommit=True) as server:
            server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}"'.encode())
        url = urlsplit(self.server_url)._replace(path=f"/{name}")
        try:
            if scene.behind_proxy:
                listen, target = free_ports(1)[0], url.port or 5432
                argv = [
                    sys.executable,
                    "-m",
                    "tests.prove.proxy",
                    str(listen),
                    str(target),
                    str(folder),
                    str(seed),
                ]
                proxy = subprocess.Popen(argv, cwd=TOP)
                try:
                    until(lambda: answers(listen), seconds=30, what="the start of the proxy")
                    yield url._replace(netloc=f"{url.username}@127.0.0.1:{listen}").geturl()
                finally:
                    proxy.kill()
                    proxy.wait()
            else:
                yield url.geturl()
        finally:
            with psycopg.connect(self.server_url, autocommit=True) as server:
                server.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


TEMPLATE = f"prove_template_{os.getpid()}"


@contextmanager
def _stage(wanted: Sequence[str]) -> Iterator[Stage]:
    """Databases of the kinds that are wanted, migrated once."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="prove-stage-")))
        server = stack.enter_context(postgres()) if "postgres" in wanted else None
        given = [url for url in wanted if "://" in url]
        url = server.url("postgres") if server is not None else (given[0] if given else "")
        made = Stage(folder, server, url)
        if "sqlite" in wanted:
            _migrated(f"sqlite:///{made.sqlite}", folder)
        if url:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(f'CREATE DATABASE "{TEMPLATE}"'.encode())
            _migrated(urlsplit(url)._replace(path=f"/{TEMPLATE}").geturl(), folder)
        try:
            yield made
        finally:
            if url and server is None:
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute(f'DROP DATABASE "{TEMPLATE}"'.encode())


def _migrated(url: str, folder: Path) -> None:
    argv = [sys.executable, "-m", "tests.prove", "--migrate"]
    subprocess.run(argv, env=environment_for(url, folder / "home"), cwd=TOP, check=True)


def environment_for(url: str, home: Path) -> dict[str, str]:
    """The environment of a scene's processes: this one's without any setting of Handrail, and the proof's."""
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("HANDRAIL_")},
        "DJANGO_SETTINGS_MODULE": "tests.prove.settings",
        "HANDRAIL_HOME": str(home),
        "HANDRAIL_DATABASE_URL": url,
        "HANDRAIL_SESSION_KEY": "for-the-proof-alone-" * 4,
        "HANDRAIL_LOG_LEVEL": "warning",
        "PYTHONPATH": f"{TOP}:{TOP / 'platform'}",
    }


def _on_small_disk(place: Path, before: Sequence[str], argv: Sequence[str]) -> list[str]:
    """The command that mounts a small disk of its own, which nobody else sees, and plays the scene on it."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise Missing("`unshare` of util-linux mounts the small disk")
    alone = [unshare, "--mount"] if not os.geteuid() else [unshare, "--map-root-user", "--mount"]
    script = 'mount -t tmpfs -o size="$1" prove "$2" && cp "$3" "$4" && shift 4 && exec "$@"'
    return [*alone, "sh", "-c", script, "sh", SMALL_DISK, str(place), *before[1:], *argv]


def migrate() -> int:
    """Migrate the database that the settings name, with indexes for what only the players of the proof ask."""
    from django.core.management import call_command
    from django.db import connection

    from handrail.cli import set_up_django

    Path(os.environ["HANDRAIL_HOME"]).mkdir(exist_ok=True, parents=True)
    set_up_django(process="worker")
    call_command("migrate", interactive=False, verbosity=0)
    with connection.cursor() as cursor:
        for index in PLAYERS_INDEXES:
            cursor.execute(f"CREATE INDEX {index}")
    return 0


def inside(scene: Scene, setting: Setting) -> int:
    """The scene itself, in the process whose settings name the database."""
    from handrail.cli import set_up_django
    from handrail.cli.preloading import preload

    Path(os.environ["HANDRAIL_HOME"]).mkdir(exist_ok=True)
    set_up_django(process="worker")
    preload()
    proof = scene.play(setting)
    (setting.folder / "result.json").write_text(json.dumps(proof.result()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
