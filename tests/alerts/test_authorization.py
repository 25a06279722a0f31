"""Tokens and passwords of senders that cannot sign."""

from __future__ import annotations

import base64

import pytest

from handrail.alerts.errors import NotProven, UnknownSource, UnusableSecret
from handrail.alerts.sources import Credentials, SourceRegistry, TrustLevel
from integrations import INTEGRATIONS
from integrations.alertmanager.verify import verify

BEARER = Credentials(secrets=("new-token", "old-token"))
BASIC = Credentials(secrets=("pässword",), username="alertmanager")


def basic(pair: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


def test_without_a_secret_the_address_is_the_proof() -> None:
    assert verify({"Authorization": "Bearer whatever"}, Credentials()) is TrustLevel.ADDRESS


@pytest.mark.parametrize("token", ["new-token", "old-token"])
def test_both_tokens_are_valid_during_a_rotation(token: str) -> None:
    assert verify({"authorization": f"bearer {token}"}, BEARER) is TrustLevel.TOKEN


def test_a_name_and_password_are_checked() -> None:
    assert verify(basic("alertmanager:pässword"), BASIC) is TrustLevel.TOKEN


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "},
        {"Authorization": "Bearer new-tokenx"}, {"Authorization": "Bearer new-toke"},
        {"Authorization": "Basic !"},
        {"Authorization": "Bearer \ud800"}, basic("alertmanager:pässword"),
    ],
)  # fmt: skip
def test_anything_else_proves_nothing(headers: dict[str, str]) -> None:
    with pytest.raises(NotProven, match="bearer"):
        verify(headers, BEARER)


@pytest.mark.parametrize(
    "headers", [basic("alertmanager:"), basic("x:pässword"), {"Authorization": "Basic %%%"}]
)
def test_a_wrong_password_proves_nothing(headers: dict[str, str]) -> None:
    with pytest.raises(NotProven, match="basic"):
        verify(headers, BASIC)


@pytest.mark.parametrize("secrets", [("",), ("a", " "), ()])
def test_an_empty_secret_refuses_to_start(secrets: tuple[str, ...]) -> None:
    with pytest.raises(UnusableSecret, match="empty"):
        Credentials(secrets=secrets, username="someone")


def test_secrets_do_not_show_in_a_representation() -> None:
    assert "new-token" not in repr(BEARER)


@pytest.mark.parametrize("name", sorted(INTEGRATIONS))
def test_every_kind_in_the_table_loads_under_its_name(name: str) -> None:
    assert SourceRegistry(INTEGRATIONS).get(name).name == name


def test_an_unknown_kind_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownSource, match=r"did you mean alertmanager\?.*alertmanager, generic, webhook"):
        SourceRegistry(INTEGRATIONS).get("alertmanger")
