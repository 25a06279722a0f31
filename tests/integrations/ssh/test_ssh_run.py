"""ssh.run against a real SSH server: exact words, pinned keys, and doubt only where there is doubt."""

from __future__ import annotations

import asyncio
import base64
import socket
import threading
from dataclasses import replace
from typing import Any

import asyncssh
import pytest

from handrail.accounts.models import Project
from handrail.catalog import actions
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.transport import Dialer
from handrail.shared.actors import Actor
from handrail.shared.errors import Invalid
from integrations.ssh.steps import SshRun
from runbooks.language import parse
from runbooks.queries.readiness import readiness_of
from runbooks.steps import registry
from runbooks.steps.base import ActionContext, Failure, InvalidInputs, Success
from tests import factories
from tests.integrations.conftest import GiveSecret
from tests.integrations.outcomes import failure, success
from tests.integrations.ssh.conftest import Host, Process
from tests.runbooks.steps.conftest import Heard, MakeContext

pytestmark = pytest.mark.django_db


def run(context: ActionContext, dialer: Dialer | None = None, **inputs: Any) -> Success | Failure:
    return SshRun(dialer).bind({"connection": "web-1", **inputs}).execute(context)


HOSTILE = ["$(id)", "a b", "'", '"', ";reboot", "`id`", "\\", "*", "~", "a\nb", "é", "", "!!", "$HOME", "-n"]


def test_every_argument_arrives_as_it_was_written(
    connection: Connection, host: Host, context: ActionContext
) -> None:
    outputs = success(run(context, argv=["printf", "%s\\001", "--", *HOSTILE])).outputs
    assert str(outputs["stdout"]).split("\x01")[-len(HOSTILE) - 1 : -1] == HOSTILE
    assert outputs["exit_code"] == 0


def test_a_script_has_its_parameters_as_variables(
    connection: Connection, host: Host, context: ActionContext
) -> None:
    value = "x'; touch /tmp/never; echo '"
    outputs = success(run(context, script='echo "[$NAME]"; cat', env={"NAME": value}, stdin="given")).outputs
    assert outputs["stdout"] == f"[{value}]\ngiven"


def test_a_failing_program_says_its_status_and_its_last_words(
    connection: Connection, context: ActionContext, heard: Heard
) -> None:
    outcome = failure(run(context, script="echo one; echo no space left >&2; exit 3"))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == ("exit_code", True, False)
    assert outcome.outputs["exit_code"] == 3
    assert "no space left" in outcome.message
    assert (heard.text("stdout"), heard.text("stderr")) == ("one\n", "no space left\n")


def test_a_program_that_ends_at_once_is_heard_all_the_same(
    connection: Connection, host: Host, context: ActionContext
) -> None:
    async def behave(process: Process) -> None:
        process.stdout.write(b"here\n")
        process.exit(0)

    host.behave = behave
    # About every second one has ended before anybody looks for the first time.
    assert [success(run(context, argv=["x"])).outputs["stdout"] for _ in range(12)] == ["here\n"] * 12


def test_what_is_heard_is_bounded_and_redacted(
    connection: Connection, project: Project, make_context: MakeContext
) -> None:
    context = make_context(project, secrets=("hunter2hunter2",))
    outcome = success(run(context, argv=["cat"], stdin="x" * 200_000 + "hunter2hunter2"))
    assert len(str(outcome.outputs["stdout"])) == 64 * 1024
    assert outcome.outputs["truncated"] is True
    assert str(outcome.outputs["stdout"]).endswith("x[redacted]")


@pytest.mark.parametrize("secret", ["hunter2", "it's a 'quoted' secret"])
@pytest.mark.parametrize("script", [None, "cat"])
def test_a_secret_is_refused_as_an_argument_and_nothing_is_sent(
    connection: Connection,
    host: Host,
    project: Project,
    make_context: MakeContext,
    secret: str,
    script: str | None,
) -> None:
    given: dict[str, Any] = {"script": script, "env": {"TOKEN": secret}}
    if script is None:
        given = {"argv": ["echo", secret]}
    outcome = failure(run(make_context(project, secrets=(secret,)), **given))
    assert (outcome.code, host.commands) == ("invalid_input", [])
    assert "stdin" in outcome.message


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"argv": ["-x"]}, "cannot begin"),
        ({"argv": []}, "empty"),
        ({"argv": ["a"], "script": "b"}, "one of the two"),
        ({"script": "echo ${{ inputs.x }}"}, "static"),
        ({"script": "x", "env": {"LD_PRELOAD": "y"}}, "LD_PRELOAD"),
        ({"argv": ["a\0b"]}, "NUL"),
        ({"argv": ["a"], "host": "x"}, "host"),
    ],
)
def test_what_cannot_be_run_is_refused_in_words(inputs: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputs, match=words):
        SshRun().bind({"connection": "web-1", **inputs})


def test_a_value_that_looks_like_an_option_never_becomes_one() -> None:
    source = (
        "apiVersion: handrail/v1\nkind: Runbook\nmetadata: {id: x, title: X}\ninputs: {unit: {type: string}}\n"
        "steps:\n  - {id: a, uses: ssh.run, with: {connection: web-1, argv: ['${{ inputs.unit }}', restart]}}\n"
    )
    assert any(
        "must be written in the runbook" in str(p) for p in parse(source, actions=registry.specs()).problems
    )


def test_only_the_programs_of_the_connection_run(
    connection: Connection, host: Host, context: ActionContext
) -> None:
    Connection.objects.update(options={**connection.options, "programs": ["systemctl"]})
    assert failure(run(context, argv=["reboot"])).code == "not_allowed"
    assert failure(run(context, script="systemctl restart x")).code == "not_allowed"
    assert "would be refused" in SshRun().bind({"connection": "web-1", "argv": ["reboot"]}).preview(context)
    assert host.commands == []


def test_the_preview_is_the_line_that_the_host_reads(
    connection: Connection, host: Host, context: ActionContext
) -> None:
    call = SshRun().bind({"connection": "web-1", "argv": ["echo", "two words"]})
    assert call.preview(context) == f"Run on handrail@127.0.0.1:{host.port}: echo 'two words'"
    assert call.target() == "web-1"


def test_another_host_key_is_refused_before_anything_is_said(
    connection: Connection, host: Host, context: ActionContext
) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()
    Connection.objects.update(options={**connection.options, "host_keys": [other]})
    outcome = failure(run(context, argv=["true"]))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == ("host_key_refused", False, False)
    assert host.commands == []


def test_a_host_key_that_is_none_is_said_before_anything_is_sent(
    connection: Connection, host: Host, context: ActionContext
) -> None:
    cut = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + b"half of it").decode()
    Connection.objects.update(options={**connection.options, "host_keys": [f"ssh-ed25519 {cut}"]})
    outcome = failure(run(context, argv=["true"]))
    assert (outcome.code, outcome.uncertain, host.commands) == ("host_key_refused", False, [])
    assert "no public key" in outcome.message


def test_a_key_that_is_not_let_in_is_read_once_more(
    connection: Connection, host: Host, context: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()]
    monkeypatch.setattr("integrations.ssh.steps.secret_of", lambda connection, learn: keys[0])
    assert failure(run(context, argv=["true"])).code == "authentication_failed"
    keys.append(host.private())
    monkeypatch.setattr("integrations.ssh.steps.secret_of", lambda connection, learn: keys.pop(0))
    assert success(run(context, argv=["true"])).outputs["exit_code"] == 0


def test_a_secret_that_is_no_key_is_said_so(
    connection: Connection, context: ActionContext, give_secret: GiveSecret
) -> None:
    give_secret("not a key at all")
    outcome = failure(run(context, argv=["true"]))
    assert outcome.code == "secret_not_found"
    assert "not a key at all" not in outcome.message


def _nowhere(host: str, port: int) -> list[str]:
    raise OSError("no such name")


def test_where_nobody_is_nothing_has_happened(
    connection: Connection, host: Host, context: ActionContext
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        Connection.objects.update(base_url=f"ssh://127.0.0.1:{free.getsockname()[1]}")
        refused = failure(run(context, argv=["true"]))
    assert (refused.code, refused.retryable, refused.uncertain) == ("connect_failed", True, False)
    lost = failure(run(context, Dialer(resolve=_nowhere), argv=["true"]))
    assert (lost.code, lost.uncertain) == ("dns_failed", False)
    Connection.objects.update(allowed_networks=[])
    assert failure(run(context, argv=["true"])).code == "address_refused"
    Connection.objects.update(kind="http")
    assert failure(run(context, argv=["true"])).code == "not_allowed"
    Connection.objects.all().delete()
    assert failure(run(context, argv=["true"])).code == "connection_not_found"


def test_a_host_that_does_not_speak_ssh_costs_no_more_than_the_time_to_log_in(
    connection: Connection, context: ActionContext
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        Connection.objects.update(base_url=f"ssh://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.2)
        outcome = failure(run(context, argv=["true"]))
    assert (outcome.code, outcome.retryable, outcome.uncertain) == ("timeout", True, False)


async def _cut(process: Process) -> None:
    process.stdout.write(b"half")
    process.get_extra_info("connection").abort()


async def _killed(process: Process) -> None:
    process.exit_with_signal("KILL")


@pytest.mark.parametrize(("behave", "code"), [(_cut, "connection_lost"), (_killed, "killed")])
def test_what_broke_off_after_it_began_is_uncertain(
    connection: Connection, host: Host, context: ActionContext, behave: Any, code: str
) -> None:
    host.behave = behave
    outcome = failure(run(context, argv=["true"]))
    assert (outcome.code, outcome.uncertain) == (code, True)


class Told:
    """Notices the signal that the client sends."""

    def __init__(self) -> None:
        self.signals: list[str] = []

    async def __call__(self, process: Process) -> None:
        told = asyncio.Event()

        def hear(signal: str) -> None:
            self.signals.append(signal)
            told.set()

        process.signal_received = hear
        await told.wait()
        process.exit(143)


def test_a_stopped_run_does_not_wait_for_a_host_that_never_starts_the_program(
    connection: Connection, context: ActionContext, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(*_: object) -> None:
        heard.cancelled = True
        await asyncio.Event().wait()

    monkeypatch.setattr("integrations.ssh.client._start", hangs)
    outcome = failure(run(context, argv=["true"]))
    assert (outcome.code, outcome.uncertain) == ("cancelled", True)


def test_a_stopped_run_ends_its_program(
    connection: Connection, host: Host, context: ActionContext, heard: Heard
) -> None:
    told = Told()
    host.behave = told

    def stop() -> None:
        host.started.wait(20)
        heard.cancelled = True

    stopper = threading.Thread(target=stop)
    stopper.start()
    outcome = failure(run(context, argv=["sleep", "1000"]))
    stopper.join()
    assert (outcome.code, outcome.uncertain, outcome.retryable) == ("cancelled", True, False)
    assert told.signals == ["TERM"]


def test_a_program_that_takes_too_long_is_told_to_end(
    connection: Connection, host: Host, project: Project, make_context: MakeContext
) -> None:
    told = Told()
    host.behave = told
    outcome = failure(run(make_context(project, seconds=0.5), argv=["sleep", "1000"]))
    assert (outcome.code, outcome.uncertain) == ("timeout", True)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"options": {}}, "needs the option"),
        ({"options": {"user": "x; id"}}, "account"),
        ({"options": {"user": "x", "host_keys": ["ssh-ed25519 AAAA"]}}, "ssh-keyscan"),
        ({"options": {"usr": "x"}}, "no option 'usr'"),
        ({"authentication": "bearer"}, "key"),
        ({"base_url": "https://web-1"}, "ssh://"),
        ({"base_url": "ssh://web-1/path"}, "ends with its host and port"),
        ({"allowed_methods": ["GET"]}, "limits of http"),
        ({"kind": "telnet"}, "The kind is one of"),
    ],
)
def test_a_connection_that_does_not_hold_together_is_refused(
    project: Project, admin: Actor, host: Host, changes: dict[str, Any], problem: str
) -> None:
    fields: dict[str, Any] = {
        "kind": "ssh",
        "base_url": "ssh://web-1:22",
        "authentication": "key",
        "secret_reference": "local:key",
        "options": {"user": "handrail", "host_keys": [host.public()], "programs": ["systemctl"]},
    }
    actions.create_connection(project, "good", actor=admin, **fields)
    with pytest.raises(Invalid, match=problem):
        actions.create_connection(project, "bad", actor=admin, **{**fields, **changes})


def test_without_its_library_it_says_what_to_install(
    connection: Connection, context: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = replace(SshRun.spec, unavailable="pip install 'handrail[ssh]'")
    monkeypatch.setattr(SshRun, "spec", missing)
    outcome = SshRun().run({"connection": "web-1", "argv": ["true"]}, context)
    assert failure(outcome).code == "not_installed"
    source = (
        "apiVersion: handrail/v1\nkind: Runbook\nmetadata: {id: x, title: X}\n"
        "steps:\n  - {id: a, uses: ssh.run, with: {connection: web-1, argv: [uptime]}}\n"
    )
    parsed = parse(source, actions=registry.specs())
    assert [(p.severity, "handrail[ssh]" in p.message) for p in parsed.problems] == [("warning", True)]


NEEDY = """
apiVersion: handrail/v1
kind: Runbook
metadata: {id: restart, title: Restart}
steps:
  - {id: look, uses: http.request, with: {connection: web-1}}
  - {id: act, uses: ssh.run, with: {connection: web-1, argv: [uptime]}}
  - {id: page, uses: pagerduty.trigger, with: {connection: nowhere, summary: x}}
"""


def test_readiness_names_missing_libraries_and_connections_of_the_wrong_kind(
    connection: Connection, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    runbook = factories.runbook(project, text=NEEDY)
    checks = {check.title: check.missing for check in readiness_of(runbook)}
    assert checks["Connections: nowhere, web-1"] == (
        "Missing: nowhere. An operator of the project can create them. "
        "http.request needs a connection of the kind http; web-1 is of the kind ssh."
    )
    assert "The library of ssh.run" not in checks
    monkeypatch.setattr(SshRun, "spec", replace(SshRun.spec, unavailable="pip install it"))
    checks = {check.title: check.missing for check in readiness_of(runbook)}
    assert checks["The library of ssh.run"] == "pip install it"
