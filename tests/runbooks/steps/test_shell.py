"""shell.run runs a program with nothing of the worker's, tells what it says, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handrail.catalog.models import RunnerPool
from runbooks.steps.base import ActionContext, Failure, Success
from runbooks.steps.processes import CONFINE
from runbooks.steps.shell import ShellRun
from tests.runbooks.steps.conftest import Heard

pytestmark = pytest.mark.django_db
MakeContext = Callable[..., ActionContext]


@pytest.fixture
def pool(db: None) -> RunnerPool:
    return RunnerPool.objects.update_or_create(name="default", defaults={"allow_shell": True})[0]


def run(context: ActionContext, **inputs: Any) -> Success | Failure:
    return ShellRun().run(inputs, context)


def failure(outcome: Success | Failure) -> Failure:
    assert isinstance(outcome, Failure), outcome
    return outcome


def living(group: int) -> list[str]:
    """The processes of the group that are not dead: whoever is init reaps the orphans when it likes."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, _, pgrp = rest.split()[:3]
        if int(pgrp) == group and state not in "ZX":
            found.append(name)
    return found


def gone(group: int | None) -> bool:
    """Whether all of the group is dead soon: a kill takes effect a moment later, on a busy machine some more."""
    assert group is not None
    until = time.monotonic() + 10
    while living(group) and time.monotonic() < until:
        pass
    return not living(group)


def test_it_is_off_until_an_operator_allows_the_pool(make_context: MakeContext) -> None:
    RunnerPool.objects.all().delete()
    assert failure(run(make_context(), argv=["true"])).code == "not_allowed"
    RunnerPool.objects.create(name="default")
    assert failure(run(make_context(), argv=["true"])).code == "not_allowed"


def test_argv_reaches_the_program_unread_by_any_shell(pool: RunnerPool, make_context: MakeContext) -> None:
    outcome = run(make_context(), argv=["printf", "%s|", "a b", "$(id)", "; rm -rf /", "*"])
    assert isinstance(outcome, Success)
    assert outcome.outputs["stdout"] == "a b|$(id)|; rm -rf /|*|"
    assert outcome.outputs["exit_code"] == 0


def test_a_script_takes_its_parameters_from_the_environment(
    pool: RunnerPool, make_context: MakeContext, heard: Heard
) -> None:
    outcome = run(make_context(), script='echo "$SERVICE"\necho oops >&2', env={"SERVICE": "$(id) `id`"})
    assert isinstance(outcome, Success)
    assert heard.text("stdout") == "$(id) `id`\n"
    assert heard.text("stderr") == "oops\n"


def test_nothing_of_the_workers_environment_is_seen(
    pool: RunnerPool, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDRAIL_DATABASE_URL", "postgres://user:hunter2@db/handrail")
    outcome = run(make_context(), argv=["env"])
    assert isinstance(outcome, Success)
    names = {line.partition("=")[0] for line in str(outcome.outputs["stdout"]).splitlines()}
    assert names - {"PWD", "SHLVL", "_", "LC_CTYPE"} == {
        "PATH", "LANG", "HOME", "TMPDIR", "HANDRAIL_RUN_ID", "HANDRAIL_STEP", "HANDRAIL_IDEMPOTENCY_KEY",
    }  # fmt: skip


def test_an_exit_status_is_a_failure_with_the_last_words(pool: RunnerPool, make_context: MakeContext) -> None:
    outcome = failure(run(make_context(), script="echo 'no such host' >&2; exit 3"))
    assert (outcome.code, outcome.uncertain) == ("exit_code", False)
    assert outcome.outputs["exit_code"] == 3
    assert "status 3: no such host" in outcome.message


def test_a_program_that_is_not_there_is_named(pool: RunnerPool, make_context: MakeContext) -> None:
    assert failure(run(make_context(), argv=["no-such-program"])).code == "program_not_found"
    assert failure(run(make_context(), argv=["./relative"])).code == "invalid_input"


def test_a_timeout_kills_the_whole_group_and_leaves_a_doubt(
    pool: RunnerPool, make_context: MakeContext, heard: Heard
) -> None:
    outcome = failure(run(make_context(seconds=0.6), script="sleep 100 & sleep 100 & echo started; wait"))
    assert (outcome.code, outcome.uncertain) == ("timeout", True)
    assert heard.text() == "started\n"
    group, after = heard.groups
    assert group is not None
    assert after is None
    assert gone(group)


def test_a_stopped_run_kills_the_program(pool: RunnerPool, make_context: MakeContext, heard: Heard) -> None:
    context = make_context()
    threading.Timer(0.5, lambda: setattr(heard, "cancelled", True)).start()
    outcome = failure(run(context, argv=["sleep", "100"]))
    assert (outcome.code, outcome.uncertain) == ("cancelled", True)
    assert gone(heard.groups[0])


def test_what_a_program_leaves_in_the_background_ends_with_it(
    pool: RunnerPool, make_context: MakeContext, heard: Heard
) -> None:
    outcome = run(make_context(), script="sleep 100 & echo done")
    assert isinstance(outcome, Success)
    assert gone(heard.groups[0])


A_WORKER = """
import os, subprocess, sys
argv = [sys.executable, "-I", "-S", sys.argv[1], "60", str(os.getpid()), *sys.argv[2:]]
subprocess.run(argv, start_new_session=True)
"""
"""Does what a worker does with a program, until it is killed."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of the death of a parent")
def test_when_the_worker_is_killed_the_program_and_its_children_end() -> None:
    program = ("sh", "-c", "cut -d' ' -f5 /proc/$$/stat; sleep 100 & sleep 100")
    with subprocess.Popen(
        [sys.executable, "-c", A_WORKER, str(CONFINE), *program], stdout=subprocess.PIPE, text=True
    ) as worker:
        assert worker.stdout is not None
        group = int(worker.stdout.readline())
        assert living(group)
        worker.kill()
        assert gone(group)


def test_a_program_may_tell_its_whole_group_something(pool: RunnerPool, make_context: MakeContext) -> None:
    script = "trap 'echo cleaned; trap - TERM; exit 3' TERM\nsleep 100 &\nkill 0\nwait"
    outcome = failure(run(make_context(), script=script))
    assert (outcome.code, outcome.outputs["exit_code"], outcome.outputs["stdout"]) == (
        "exit_code",
        3,
        "cleaned\n",
    )


def test_a_program_killed_by_somebody_else_leaves_a_doubt(
    pool: RunnerPool, make_context: MakeContext
) -> None:
    outcome = failure(run(make_context(), script="kill -9 $$"))
    assert (outcome.code, outcome.uncertain, outcome.outputs["exit_code"]) == ("killed", True, -9)


def test_a_secret_is_hidden_in_what_the_program_says_even_in_pieces(
    pool: RunnerPool, make_context: MakeContext, heard: Heard
) -> None:
    script = (
        'printf "%.6s" "$TOKEN"; sleep 0.1; printf "%s\\n" "${TOKEN#??????}"; printf "%s" "$TOKEN" | base64'
    )
    outcome = run(make_context(secrets=("s3cr3t-token",)), script=script, env={"TOKEN": "s3cr3t-token"})
    assert isinstance(outcome, Success)
    assert heard.text() == outcome.outputs["stdout"] == "[redacted]\n[redacted]\n"


def test_a_secret_is_refused_on_the_command_line(pool: RunnerPool, make_context: MakeContext) -> None:
    outcome = failure(run(make_context(secrets=("s3cr3t-token",)), argv=["echo", "--token=s3cr3t-token"]))
    assert outcome.code == "invalid_input"
    assert "`env`" in outcome.message


def test_of_endless_output_the_end_is_kept_and_nothing_is_held_back(
    pool: RunnerPool, make_context: MakeContext, heard: Heard
) -> None:
    outcome = run(make_context(), script="head -c 3000000 /dev/zero | tr '\\0' x; echo end")
    assert isinstance(outcome, Success)
    assert outcome.outputs["truncated"] is True
    assert str(outcome.outputs["stdout"]).endswith("end\n")
    assert len(str(outcome.outputs["stdout"])) == 64 * 1024
    # The log of the attempt bounds what it is told: see test_logs.
    assert len(heard.text()) == 3_000_004
    assert max(len(text) for _, text in heard.log) <= 2 * 64 * 1024


def test_standard_input_is_given_and_otherwise_empty(pool: RunnerPool, make_context: MakeContext) -> None:
    assert run(make_context(), argv=["cat"], stdin="hello").outputs["stdout"] == "hello"
    assert run(make_context(), argv=["cat"]).outputs["stdout"] == ""  # and it does not wait


def test_privileges_are_given_up(pool: RunnerPool, make_context: MakeContext) -> None:
    status = str(run(make_context(), argv=["cat", "/proc/self/status"]).outputs["stdout"])
    assert "NoNewPrivs:\t1" in status
    assert run(make_context(), script="ulimit -c").outputs["stdout"] == "0\n"


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"argv": []},
        {"argv": ["a\0b"]},
        {"argv": ["-rf"]},
        {"argv": ["true"], "script": "true"},
        {"argv": "true"},
        {"argv": ["true"], "env": {"LD_PRELOAD": "/tmp/x.so"}},
        {"argv": ["true"], "env": {"A B": "1"}},
        {"argv": ["true"], "env": {"PATH": "/tmp"}},
        {"script": "echo ${{ inputs.x }}"},
        {"argv": ["true"], "shell": True},
    ],
)
def test_inputs_that_cannot_be_meant_are_refused(
    pool: RunnerPool, make_context: MakeContext, inputs: dict[str, Any]
) -> None:
    assert failure(run(make_context(), **inputs)).code == "invalid_input"
