"""The source `webhook`: any JSON as it came, without what proves who sent it."""

from __future__ import annotations

import pytest

from handrail.alerts.errors import MappingError, NotProven, UnreadableBody
from handrail.alerts.events import Message
from handrail.alerts.sources import Credentials, TrustLevel
from integrations.webhook.source import SOURCE


def read(body: bytes, **headers: str) -> Message:
    [found] = SOURCE.parse(body, {name.replace("_", "-"): value for name, value in headers.items()}, {})
    assert isinstance(found, Message)
    return found


@pytest.mark.parametrize(
    ("body", "document"),
    [(b'{"ref": "main"}', {"ref": "main"}), (b"[1, null]", [1, None]), (b'"go"', "go"), (b"7", 7)],
)
def test_any_document_is_a_message(body: bytes, document: object) -> None:
    assert read(body).body == document


def test_what_no_database_keeps_is_replaced() -> None:
    assert read(rb'{"a\u0000": ["\ud800"]}').body == {
        "a\N{REPLACEMENT CHARACTER}": ["\N{REPLACEMENT CHARACTER}"]
    }


def test_headers_are_there_by_small_names_but_not_those_that_prove_who_sent_it() -> None:
    shown = read(
        b"{}",
        X_GitHub_Event="push",
        X_Event_Key="repo:push",
        Authorization="Bearer s",
        X_Gitlab_Token="s",
        X_Hub_Signature_256="sha256=s",
        X_Api_Key="s",
        Cookie="s",
        Long="x" * 5_000,
    ).headers
    assert {name: value for name, value in shown.items() if name != "long"} == {
        "x-github-event": "push",
        "x-event-key": "repo:push",
    }
    assert len(shown["long"]) == 1_000


def test_no_json_and_any_mapping_are_refused() -> None:
    with pytest.raises(UnreadableBody, match="this looks like a form"):
        read(b"ref=main")
    with pytest.raises(MappingError, match="no mapping"):
        SOURCE.parse(b"{}", {}, {"title": "body.x"})


def test_its_secret_is_asked_for_if_it_has_one() -> None:
    asked = Credentials(secrets=("a-long-token",))
    assert SOURCE.verify(b"", {}, Credentials()) is TrustLevel.ADDRESS
    assert SOURCE.verify(b"", {"Authorization": "Bearer a-long-token"}, asked) is TrustLevel.TOKEN
    with pytest.raises(NotProven):
        SOURCE.verify(b"", {"Authorization": "Bearer another"}, asked)


@pytest.mark.parametrize("name", ["Webhook-Id", "idempotency-key", "X-GitHub-Delivery"])
def test_a_delivery_is_known_by_its_senders_id(name: str) -> None:
    assert SOURCE.delivery_id({name: " 17 "}, b"") == "17"
    assert SOURCE.delivery_id({name: "x" * 500}, b"") is None
    assert SOURCE.delivery_id({}, b"") is None
