"""The scenes of the proof: what befalls the processes, on which database, and how much of it in either form."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.prove.servers import Postgres

if TYPE_CHECKING:
    from tests.prove.arena import Proof

SQLITE, POSTGRES = "SQLite", "PostgreSQL"

SERVER_VARIABLE = "PROVE_SERVER"
"""The private PostgreSQL, for the scene that crashes it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a scene plays. ``amount``: of kills, cuts, phases, rounds or races."""

    database: str
    folder: Path
    amount: int
    seed: int

    @property
    def dice(self) -> random.Random:
        """Another one than the arena's, of the same seed."""
        return random.Random(self.seed + 1)


@dataclass(frozen=True, slots=True)
class Scene:
    """``short`` and ``long``: the amount in CI's form and in the long one. ``on_disk``: its folder is a small disk.

    ``behind_proxy``: it speaks with PostgreSQL through the proxy that cuts.
    """

    name: str
    title: str
    databases: tuple[str, ...]
    short: int
    long: int
    play: Callable[[Setting], Proof]
    on_disk: bool = False
    behind_proxy: bool = False


def _killed(setting: Setting) -> Proof:
    from tests.prove.arena import Play, prove

    return prove(setting.database, setting.folder, Play(setting.amount, setting.seed))


def _crashes(setting: Setting) -> Proof:
    from tests.prove.arena import Play, prove
    from tests.prove.troubles import Crashes

    server = Postgres.described(json.loads(os.environ[SERVER_VARIABLE]))
    name = os.environ["HANDRAIL_DATABASE_URL"].rpartition("/")[2]
    trouble = Crashes(server, name, setting.amount, setting.dice, told=setting.folder / "told")
    return prove(
        setting.database, setting.folder, Play(setting.amount * 5, setting.seed, most_open=20), trouble
    )


def _cuts(setting: Setting) -> Proof:
    from tests.prove.arena import Play, prove
    from tests.prove.troubles import Cuts

    trouble = Cuts(setting.folder, setting.amount)
    return prove(
        setting.database, setting.folder, Play(setting.amount // 4, setting.seed, most_open=20), trouble
    )


def _clocks(setting: Setting) -> Proof:
    from tests.prove.arena import Play, prove

    proof = prove(
        setting.database, setting.folder, Play(setting.amount, setting.seed, most_open=20, shifted=True)
    )
    proof.counts["processes with a clock a day late, right or early"] = proof.kills
    return proof


def _full_disk(setting: Setting) -> Proof:
    from tests.prove.arena import Play, prove
    from tests.prove.troubles import FullDisk

    trouble = FullDisk(setting.folder / "disk", setting.amount, setting.dice)
    return prove(
        setting.database, setting.folder, Play(setting.amount * 4, setting.seed, most_open=20), trouble
    )


def _broken_trail(setting: Setting) -> Proof:
    from tests.prove.arena import Play, prove
    from tests.prove.troubles import BrokenTrail

    trouble = BrokenTrail(setting.amount, setting.dice)
    return prove(
        setting.database, setting.folder, Play(setting.amount * 4, setting.seed, most_open=20), trouble
    )


def _broker(kind: str) -> Callable[[Setting], Proof]:
    def play(setting: Setting) -> Proof:
        from tests.prove.brokers import prove_brokers

        return prove_brokers(
            setting.database, setting.folder, rounds=setting.amount, seed=setting.seed, kind=kind
        )

    return play


def _races(setting: Setting) -> Proof:
    from tests.prove.races import race

    return race(setting.database, setting.folder, races=setting.amount, seed=setting.seed)


BOTH = (SQLITE, POSTGRES)

SCENES = (
    Scene(
        "killed",
        "Everybody is killed; some workers are stopped past their lease",
        BOTH,
        1_000,
        20_000,
        _killed,
    ),
    Scene(
        "crashes",
        "PostgreSQL is stopped immediately, its connections are terminated",
        (POSTGRES,),
        4,
        60,
        _crashes,
    ),
    Scene("cuts", "The connection is cut during COMMIT", (POSTGRES,), 60, 2_000, _cuts, behind_proxy=True),
    Scene("clocks", "Clocks are a day late or early", BOTH, 60, 1_000, _clocks),
    Scene("full-disk", "The disk is full", (SQLITE,), 4, 60, _full_disk, on_disk=True),
    Scene("broken-trail", "The audit trail refuses every entry", BOTH, 4, 60, _broken_trail),
    Scene("redis", "Redis is emptied and killed", (POSTGRES,), 1, 20, _broker("redis")),
    Scene("rabbitmq", "RabbitMQ is killed", (POSTGRES,), 1, 10, _broker("rabbitmq")),
    Scene("no-broker", "There is no broker", (SQLITE,), 1, 20, _broker("none")),
    Scene("races", "A hundred start with one key, three decide at once", BOTH, 1_000, 10_000, _races),
)
