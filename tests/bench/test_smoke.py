"""The benchmarks run: small, and only to see that they give figures; what they measure is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from handrail.cli import bench
from handrail.shared.errors import Invalid
from tests.bench.measuring import Figure, percentile
from tests.bench.places import POSTGRES, SQLITE
from tests.flows.services import Backend, require


def measured(figure: str, *where: str, database: str = SQLITE) -> dict[str, dict[str, float | str]]:
    """What one round of a small benchmark prints as JSON."""
    argv = [sys.executable, "-m", "handrail.cli", "bench", "--json", "--database", database, *where]
    done = subprocess.run(
        [*argv, "--only", figure, "--scale", "0.05", "--rounds", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, float | str]] = json.loads(done.stdout)
    return found


def test_a_chain_is_measured_and_printed_as_json() -> None:
    figure = measured("chain")["chain_2.sqlite+embedded"]
    assert set(figure) == {"value", "floor", "ratio", "unit"}
    assert figure["unit"] == "s"
    assert float(figure["value"]) > 0 < float(figure["floor"])


def test_a_click_is_measured_against_a_bare_web() -> None:
    figures = measured("click", "--broker", "embedded")
    for name in ("click_to_step_p50.sqlite+embedded", "click_to_step_p95.sqlite+embedded"):
        assert float(figures[name]["value"]) > 0 < float(figures[name]["floor"])


def test_a_ratio_is_value_by_floor() -> None:
    assert Figure("chain_40", 3.0, 2.0, "s").data() == {"value": 3.0, "floor": 2.0, "ratio": 1.5, "unit": "s"}


def test_a_percentile_is_a_sample() -> None:
    samples = [float(number) for number in range(1, 21)]
    assert percentile(samples, 0.5) == 11.0
    assert percentile(samples, 0.95) == 20.0


def test_an_installed_package_says_where_the_benchmarks_are(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "__file__", f"{tmp_path}/lib/handrail/cli/bench.py")
    with pytest.raises(Invalid, match="make bench"):
        bench.checkout()


@pytest.mark.parametrize(("option", "value"), [("--database", "mysql://x"), ("--broker", "kafka://x")])
def test_an_unknown_server_is_refused_before_anything_starts(option: str, value: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "handrail.cli", "bench", option, value],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"{option} is {value!r}" in done.stderr


def test_a_slower_disk_needs_a_server_that_can_wait() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "handrail.cli", "bench", "--flush", "1", "--database", "sqlite"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("handrail: --flush needs PostgreSQL")


@pytest.mark.postgres
def test_a_slower_disk_slows_the_floor() -> None:
    require(Backend("postgres", "postgres"))
    figure = measured("chain", "--flush", "20", database=POSTGRES)["chain_2.postgresql+embedded+20ms"]
    assert float(figure["floor"]) > 2 * 0.02
