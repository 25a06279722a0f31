"""What a newcomer does first: `handrail up`, and the demo, twice."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.flows.patience import eventually
from tests.flows.processes import Process, environment
from tests.ports import free_ports


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Process]:
    """`handrail up`, ready."""
    bind = f"127.0.0.1:{free_ports(3)[0]}"
    env = environment(
        HANDRAIL_HOME=str(tmp_path / "home"), HANDRAIL_BIND=bind, HANDRAIL_BASE_URL=f"http://{bind}"
    )
    process = Process("up", ("up",), env, tmp_path / "up.log")
    process.start()
    try:
        eventually("`handrail up` announces itself", lambda: "Ctrl-C stops it" in process.said(), within=120)
        yield process
    finally:
        process.stop()


def test_the_demo_ends_well_again_and_again_and_a_second_start_keeps_everything(
    up: Process, tmp_path: Path
) -> None:
    address = up.env["HANDRAIL_BASE_URL"]
    for number in (1, 2):
        demo = Process("demo", ("demo",), up.env, tmp_path / f"demo-{number}.log").start()
        assert demo.wait(240) == 0, demo.said()
        assert "is resolved." in demo.said()
        assert "Its postmortem draft, with" in demo.said()
    assert "Traceback" not in up.said(), up.said()

    link = re.search(r"Become its owner: +(\S+)", up.said())
    assert link is not None
    assert httpx2.get(link.group(1), trust_env=False).status_code == 200
    assert up.stop() == 0
    assert not up.family(), "Ctrl-C leaves nothing behind"

    again = Process("up", ("up",), up.env, tmp_path / "again.log").start()
    try:
        eventually("it is up again", lambda: "Ctrl-C stops it" in again.said(), within=120)
        assert "Created the sample project" not in again.said()
        token = (Path(up.env["HANDRAIL_HOME"]) / "sample-token").read_text()
        headers = {"Authorization": f"Bearer {token}"}
        kept = httpx2.get(f"{address}/api/v1/incidents/", headers=headers, timeout=30, trust_env=False)
        assert [incident["status"] for incident in kept.json()["results"]] == ["resolved"]
    finally:
        again.stop()
