"""email.send: through the outbox to a real SMTP server, once, encrypted, to whom the connection allows."""

from __future__ import annotations

import email
import smtplib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.policy import default
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from handrail.accounts.models import Project
from handrail.catalog.models import Connection
from handrail.catalog.outgoing.transport import Dialer
from handrail.outbox.errors import Retry, Undeliverable
from handrail.outbox.models import OutboxMessage
from handrail.outbox.sending import deliver_due
from integrations.email import sending
from integrations.email.steps import EmailSend
from runbooks.steps.base import ActionContext, InvalidInputs, Outcome
from tests.integrations.conftest import SECRET, GiveSecret
from tests.integrations.faults import dripping
from tests.integrations.outcomes import failure, success
from tests.runbooks.steps.conftest import MakeContext

pytestmark = pytest.mark.django_db


@dataclass
class Mailbox:
    """What the server has taken, and what it says to recipients and to data."""

    taken: list[Envelope] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    port: int = 0

    async def handle_RCPT(
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refusal = self.answers.get(address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        assert session.ssl is not None
        self.taken.append(envelope)
        return self.answers.get("DATA", "250 OK")

    def mails(self) -> list[email.message.EmailMessage]:
        return [
            email.message_from_bytes(taken.original_content or b"", policy=default) for taken in self.taken
        ]


def written(mail: email.message.EmailMessage) -> str:
    return str(mail.get_content()).replace("\r\n", "\n")


def _authenticate(server: Any, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"handrail", b"pass:word")
    return AuthResult(success=good, handled=False)


@pytest.fixture(scope="module")
def _server() -> Iterator[tuple[Mailbox, trustme.CA]]:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("mail.example").configure_cert(context)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    box = Mailbox(port=port)
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=port,
        tls_context=context,
        require_starttls=True,
        authenticator=_authenticate,
        auth_required=True,
    )
    controller.start()
    yield box, authority
    controller.stop()


@pytest.fixture
def dialer(monkeypatch: pytest.MonkeyPatch) -> Dialer:
    """The name of the mail server leads to this machine."""
    found = Dialer(resolve=lambda host, port: ["127.0.0.1"])
    monkeypatch.setattr(sending, "Dialer", lambda: found)
    return found


@pytest.fixture
def box(
    _server: tuple[Mailbox, trustme.CA], project: Project, give_secret: GiveSecret, dialer: Dialer
) -> Mailbox:
    box, authority = _server
    box.taken.clear()
    box.answers.clear()
    give_secret("handrail:pass:word")
    Connection.objects.create(
        project=project,
        name="mail",
        kind="smtp",
        base_url=f"smtp://mail.example:{box.port}",
        authentication="basic",
        secret_reference=SECRET,
        allowed_networks=["127.0.0.0/8"],
        options={
            "from": "handrail@example.com",
            "recipients": ["@example.com", "boss@elsewhere.example"],
            "certificate_authority": authority.cert_pem.bytes().decode(),
        },
        timeout_seconds=5,
    )
    return box


def send(context: ActionContext, **inputs: Any) -> Outcome:
    given = {
        "connection": "mail",
        "to": "ada@example.com",
        "subject": "Down",
        "text": "It is down.",
        **inputs,
    }
    return EmailSend().run(given, context)


def test_a_mail_leaves_through_the_outbox_once(box: Mailbox, context: ActionContext) -> None:
    first = success(send(context, to=["ada@example.com", "boss@elsewhere.example"])).outputs
    assert deliver_due() == 2
    assert send(context, to=["ada@example.com", "boss@elsewhere.example"]) == success(send(context, to=[
        "ada@example.com", "boss@elsewhere.example"
    ]))  # fmt: skip
    assert deliver_due() == 0
    assert sorted(taken.rcpt_tos[0] for taken in box.taken) == ["ada@example.com", "boss@elsewhere.example"]
    mail = box.mails()[0]
    assert mail["Message-ID"] == first["message_id"]
    assert mail["To"] == "ada@example.com, boss@elsewhere.example"
    assert (mail["From"], mail["Subject"], mail["Auto-Submitted"]) == (
        "handrail@example.com", "Down", "auto-generated",
    )  # fmt: skip
    assert written(mail) == "It is down.\n"


def test_what_a_sender_sends_twice_bears_the_same_message_id(box: Mailbox, context: ActionContext) -> None:
    send(context)
    message = OutboxMessage.objects.get()
    sending.send(message)
    sending.send(message)
    assert len({mail["Message-ID"] for mail in box.mails()}) == 1
    assert len(box.taken) == 2


def test_secrets_are_hidden_and_a_subject_stays_one_line(
    box: Mailbox, project: Project, make_context: MakeContext
) -> None:
    context = make_context(project, secrets=("hunter2",))
    success(send(context, subject="Down\r\nBcc: all@example.com", text="key hunter2, grüße\n.\nend"))
    deliver_due()
    [mail] = box.mails()
    assert mail["Subject"] == "Down Bcc: all@example.com"
    assert mail["Bcc"] is None
    assert written(mail) == "key [redacted], grüße\n.\nend\n"
    assert "hunter2" not in str(OutboxMessage.objects.get().payload)


@pytest.mark.parametrize(
    "inputs",
    [
        {"to": []},
        {"to": "Ada <ada@example.com>"},
        {"to": "ada@example.com\nx"},
        {"to": "-ada@exa mple.com"},
        {"to": ["a@example.com"] * 2 + [f"a{n}@example.com" for n in range(60)]},
        {"subject": " "},
        {"text": ""},
        {"text": "x" * 200_000},
        {"cc": "x@example.com"},
    ],
)
def test_inputs_that_do_not_fit_are_refused(inputs: dict[str, Any]) -> None:
    given = {"connection": "mail", "to": "ada@example.com", "subject": "x", "text": "x"}
    with pytest.raises(InvalidInputs):
        EmailSend().bind({**given, **inputs})


def test_only_whom_the_connection_allows_is_written_to(box: Mailbox, context: ActionContext) -> None:
    outcome = failure(send(context, to=["ada@example.com", "eve@evil.example"]))
    assert (outcome.code, OutboxMessage.objects.count()) == ("not_allowed", 0)
    assert "eve@evil.example" in outcome.message
    send(context)
    Connection.objects.update(options={**Connection.objects.get().options, "recipients": ["@other.example"]})
    with pytest.raises(Undeliverable, match="any more"):
        sending.send(OutboxMessage.objects.get())
    Connection.objects.all().delete()
    with pytest.raises(Undeliverable, match="no connection"):
        sending.send(OutboxMessage.objects.get())


@pytest.mark.parametrize(
    ("place", "answer", "refusal"),
    [
        ("ada@example.com", "450 4.2.0 try later", Retry),
        ("ada@example.com", "550 5.1.1 no such user", Undeliverable),
        ("DATA", "451 4.3.0 disk full", Retry),
        ("DATA", "554 5.7.1 looks like spam", Undeliverable),
    ],
)
def test_the_servers_codes_decide_whether_it_is_tried_again(
    box: Mailbox, context: ActionContext, place: str, answer: str, refusal: type[Exception]
) -> None:
    box.answers[place] = answer
    send(context)
    with pytest.raises(refusal, match=answer[10:]):
        sending.send(OutboxMessage.objects.get())


def test_a_wrong_password_is_mended_by_people_and_tried_again(
    box: Mailbox, context: ActionContext, give_secret: GiveSecret
) -> None:
    give_secret("handrail:wrong")
    send(context)
    with pytest.raises(Retry, match="user and password"):
        sending.send(OutboxMessage.objects.get())
    assert box.taken == []


def _nowhere(host: str, port: int) -> list[str]:
    raise OSError("no such name")


def test_faults_on_the_way_are_tried_again(box: Mailbox, context: ActionContext, dialer: Dialer) -> None:
    send(context)
    message = OutboxMessage.objects.get()
    with pytest.raises(Retry, match="cannot be resolved"):
        sending.deliver(message, Dialer(resolve=_nowhere))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        Connection.objects.update(
            base_url=f"smtp://mail.example:{silent.getsockname()[1]}", timeout_seconds=0.3
        )
        with pytest.raises(Retry, match="broke off"):
            sending.deliver(message, dialer)
    with pytest.raises(Retry, match="Cannot connect"):
        sending.deliver(message, dialer)
    Connection.objects.update(allowed_networks=[])
    with pytest.raises(Retry, match="may not reach"):
        sending.deliver(message, dialer)


def test_a_greeting_that_drips_does_not_outlive_the_time(
    box: Mailbox, context: ActionContext, dialer: Dialer
) -> None:
    send(context)
    with dripping(b"2", 0.1) as port:
        Connection.objects.update(base_url=f"smtp://mail.example:{port}", timeout_seconds=0.5)
        began = time.monotonic()
        with pytest.raises(Retry):
            sending.deliver(OutboxMessage.objects.get(), dialer)
    assert time.monotonic() - began < 5


def test_a_certificate_of_another_name_gets_no_password(
    box: Mailbox, context: ActionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(smtplib.SMTP, "login", lambda self, *given: said.append("password"))
    Connection.objects.update(base_url=f"smtp://other.example:{box.port}")
    send(context)
    with pytest.raises(Retry, match="certificate"):
        sending.send(OutboxMessage.objects.get())
    assert said == []


def test_a_password_is_never_sent_without_tls(box: Mailbox, context: ActionContext) -> None:
    Connection.objects.update(options={**Connection.objects.get().options, "plain": True})
    send(context)
    with pytest.raises(Undeliverable, match="for all to read"):
        sending.send(OutboxMessage.objects.get())


def test_the_preview_says_who_would_read_what(box: Mailbox, context: ActionContext) -> None:
    given = {"connection": "mail", "to": "ada@example.com", "subject": "Down", "text": "x"}
    assert EmailSend().bind(given).preview(context) == "E-mail ada@example.com: Down"
    refused = EmailSend().bind({**given, "to": "eve@evil.example"}).preview(context)
    assert "would be refused" in refused
