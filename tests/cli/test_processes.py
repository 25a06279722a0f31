"""The supervisor keeps its children running, says what happens to them, and leaves none behind."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from handrail.cli.processes import Child, Supervisor
from tests.flows.patience import eventually

QUIET = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); signal.pause()"
STUBBORN = (
    "import signal\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('here', flush=True)\n"
    "while True: signal.pause()"
)


@pytest.fixture(autouse=True)
def _own_signals_are_put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def python(name: str, code: str) -> Child:
    return Child(name, [sys.executable, "-c", code])


def watch(supervisor: Supervisor, ready: Callable[[], bool]) -> threading.Thread:
    """Stops the supervisor once it is so, from a thread: `run` has the main one."""

    def wait() -> None:
        try:
            eventually("what the test waits for", ready)
        finally:
            supervisor.stop()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def is_gone(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_child_that_falls_is_started_again_and_its_end_is_told(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    said: list[str] = []
    falls = python("web", f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(3)")
    steady = python("worker", QUIET)
    supervisor = Supervisor([steady, falls], say=said.append, grace_seconds=15)
    watcher = watch(supervisor, lambda: starts.exists() and len(starts.read_text()) >= 2)
    supervisor.run()
    watcher.join()
    assert said[0] == "web ended with status 3; starting it again in 1 s"
    assert steady.failures == 0
    assert steady.process is not None
    assert steady.process.returncode == 0


def test_children_are_told_to_stop_in_the_reverse_order_of_their_start(tmp_path: Path) -> None:
    order = tmp_path / "order"
    tells = (
        "import signal, sys\n"
        "def end(*_):\n"
        f"    open({str(order)!r}, 'a').write(sys.argv[1] + ' ')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        f"open({str(tmp_path)!r} + '/ready-' + sys.argv[1], 'w')\n"
        "signal.pause()"
    )
    children = [Child(name, [sys.executable, "-c", tells, name]) for name in ("first", "second")]
    terminated: list[str] = []
    supervisor = Supervisor(children, say=terminated.append, grace_seconds=15)
    watcher = watch(supervisor, lambda: len(list(tmp_path.glob("ready-*"))) == 2)
    supervisor.run()
    watcher.join()
    assert sorted(order.read_text().split()) == ["first", "second"]
    assert terminated == ["Stopping: what is in hand is finished first; once more ends it at once."], (
        "both ended within the grace"
    )


def test_a_child_that_does_not_stop_is_killed_after_the_grace(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    stubborn = python("sweeper", STUBBORN)
    supervisor = Supervisor([stubborn], say=said.append, grace_seconds=0.5, name_lines=True)
    heard: list[str] = []

    def is_there() -> bool:
        heard.append(capfd.readouterr().err)
        return "sweeper | here" in "".join(heard)

    watcher = watch(supervisor, is_there)
    supervisor.run()
    watcher.join()
    assert said[-1] == "sweeper did not stop in time and was killed"
    assert stubborn.process is not None
    assert is_gone(stubborn.process.pid)


def test_a_second_signal_does_not_wait_for_the_grace(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    stubborn = python("sweeper", STUBBORN)
    supervisor = Supervisor([stubborn], say=said.append, grace_seconds=600, name_lines=True)
    heard: list[str] = []

    def press_twice() -> None:
        eventually("the child is there", lambda: "sweeper | here" in listen())
        os.kill(os.getpid(), signal.SIGTERM)
        eventually("the first was heard", lambda: bool(said))
        os.kill(os.getpid(), signal.SIGTERM)

    def listen() -> str:
        heard.append(capfd.readouterr().err)
        return "".join(heard)

    person = threading.Thread(target=press_twice)
    person.start()
    supervisor.run()
    person.join()
    assert said[-1] == "sweeper did not stop in time and was killed"
    assert stubborn.process is not None
    assert is_gone(stubborn.process.pid)


def test_what_a_child_writes_bears_its_name_and_a_signal_is_called_by_its_name(
    capfd: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []
    child = python(
        "fake Slack",
        "import os, signal, sys; print('to one'); sys.stdout.flush(); print('to the other', file=sys.stderr);"
        "sys.stderr.flush(); os.kill(os.getpid(), signal.SIGKILL)",
    )
    supervisor = Supervisor([child], say=said.append, name_lines=True, grace_seconds=15)
    watcher = watch(supervisor, lambda: bool(said))
    supervisor.run()
    watcher.join()
    assert said[0].startswith("fake Slack ended with SIGKILL;")
    heard: list[str] = []

    def both_are_there() -> bool:
        heard.append(capfd.readouterr().err)
        text = "".join(heard)
        return "fake Slack | to one\n" in text and "fake Slack | to the other\n" in text

    eventually("both lines come out", both_are_there)


def test_a_child_ends_with_the_supervisor_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL gives the parent no chance to stop it: it has to notice by itself."""
    number = tmp_path / "child"
    child = (
        "import os, threading\n"
        "from handrail.cli.processes import end_with_supervisor\n"
        "end_with_supervisor()\n"
        f"open({str(number)!r}, 'w').write(str(os.getpid()))\n"
        "threading.Event().wait()"
    )
    supervises = (
        "import sys; from handrail.cli.processes import Child, Supervisor\n"
        f"Supervisor([Child('child', [sys.executable, '-c', {child!r}])], say=print, grace_seconds=15).run()"
    )
    parent = Child(
        "parent",
        [sys.executable, "-c", supervises],
    )
    parent.start()
    assert parent.process is not None
    eventually("the child is there", lambda: number.exists() and number.read_text() != "")
    parent.process.kill()
    parent.process.wait()
    eventually("the child has ended", lambda: is_gone(int(number.read_text())))
