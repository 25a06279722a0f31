"""Coming and going."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings as loaded
from django.test import Client
from pytest_django.fixtures import Settings

from handrail.accounts import actions, identities
from handrail.accounts.actors import CONSOLE
from handrail.accounts.models import OneTimeLink, User
from handrail.audit.models import AuditEntry
from handrail.config import settings as product
from handrail.shared.clock import now
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return factories.person("ada")


def attempt(client: Client, password: str, *, username: str = "ada", **extra: str) -> int:
    return client.post("/sign-in/", {"username": username, "password": password, **extra}).status_code


def test_the_right_password_signs_in_and_leads_where_one_wanted_to_go(client: Client, ada: User) -> None:
    answer = client.post(
        "/sign-in/", {"username": "ada", "password": factories.PASSWORD, "next": "/account/"}
    )
    assert (answer.status_code, answer["Location"]) == (302, "/account/")
    assert client.get("/account/").status_code == 200
    assert AuditEntry.objects.get().action == "session.signed_in"


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "http:///x",
        "no-page",
    ],
)
def test_next_never_leads_to_another_host(client: Client, ada: User, target: str) -> None:
    answer = client.post("/sign-in/", {"username": "ada", "password": factories.PASSWORD, "next": target})
    assert answer["Location"] == "/"


def test_a_wrong_password_and_an_unknown_name_are_answered_alike(client: Client, ada: User) -> None:
    wrong = client.post("/sign-in/", {"username": "ada", "password": "wrong"})
    unknown = client.post("/sign-in/", {"username": "eve", "password": "wrong"})
    assert wrong.status_code == unknown.status_code == 401
    masked = [
        re.sub(r'value="[^"]*"|nonce="[^"]*"', "", answer.content.decode()) for answer in (wrong, unknown)
    ]
    assert masked[0] == masked[1]


def test_a_refusal_is_on_the_trail_without_the_password(client: Client, ada: User) -> None:
    attempt(client, "hunter2-hunter2")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_name, entry.address) == ("session.refused", "ada", "127.0.0.1")
    assert "hunter2" not in str(entry.data)


def test_five_wrong_passwords_lock_the_name_for_that_address_and_say_for_how_long(
    client: Client, ada: User
) -> None:
    assert [attempt(client, "wrong") for _ in range(5)] == [401, 401, 401, 401, 429]
    answer = client.post("/sign-in/", {"username": "ada", "password": factories.PASSWORD})
    assert answer.status_code == 429
    assert "Try again in 10 minutes" in answer.content.decode()
    assert 590 <= int(answer["Retry-After"]) <= 601


def test_a_lock_leaves_other_addresses_and_other_names_alone(client: Client, ada: User) -> None:
    factories.person("lin")
    for _ in range(6):
        attempt(client, "wrong")
    assert attempt(Client(REMOTE_ADDR="10.0.0.9"), factories.PASSWORD) == 302
    assert attempt(Client(), factories.PASSWORD, username="lin") == 302


def test_a_lock_ends_by_itself(client: Client, ada: User) -> None:
    for _ in range(6):
        attempt(client, "wrong")
    with time_machine.travel(now() + timedelta(minutes=10, seconds=1)):
        assert attempt(client, factories.PASSWORD) == 302


def test_an_address_that_tries_many_names_is_locked_out_as_well(client: Client, ada: User) -> None:
    for n in range(100):
        attempt(client, "wrong", username=f"name{n}")
    assert attempt(client, factories.PASSWORD) == 429


def test_the_address_comes_from_the_trusted_proxy_alone(
    client: Client, ada: User, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = 1
    client.post(
        "/sign-in/",
        {"username": "ada", "password": "wrong"},
        headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.7"},
    )
    assert AuditEntry.objects.get().address == "203.0.113.7"


def test_without_trusted_proxies_nobody_chooses_their_address(client: Client, ada: User) -> None:
    client.post("/sign-in/", {"username": "ada", "password": "wrong"}, headers={"X-Forwarded-For": "6.6.6.6"})
    assert AuditEntry.objects.get().address == "127.0.0.1"


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("", ""),
        ("a" * 100_000, "x"),
        ("ada", "x" * 100_000),
        ("ada\0", "x"),
        ("\ufffd", "x"),
        ("☃" * 150, "x"),
    ],
)
def test_hostile_input_is_refused_and_never_an_error(
    client: Client, ada: User, username: str, password: str
) -> None:
    assert attempt(client, password, username=username) in {401, 422}


def test_a_deactivated_person_cannot_sign_in_and_is_out_at_once(client: Client, ada: User) -> None:
    attempt(client, factories.PASSWORD)
    actions.deactivate_user(ada, actor=CONSOLE)
    assert client.get("/account/").status_code == 302
    assert attempt(client, factories.PASSWORD) == 401


def test_the_session_gets_a_new_id_at_sign_in(client: Client, ada: User) -> None:
    session = client.session
    session["before"] = True
    session.save()
    before = session.session_key
    attempt(client, factories.PASSWORD)
    assert client.session.session_key != before


def test_signing_out_needs_a_post_and_ends_the_session(client: Client, ada: User) -> None:
    client.force_login(ada)
    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/").status_code == 302
    assert client.get("/account/").status_code == 302
    assert AuditEntry.objects.latest("n").action == "session.signed_out"


def test_passwords_are_kept_with_argon2() -> None:
    assert product.PASSWORD_HASHERS == ["django.contrib.auth.hashers.Argon2PasswordHasher"]
    assert loaded.AUTH_PASSWORD_VALIDATORS


def path_of(link: actions.Link) -> str:
    return link.url.removeprefix(loaded.BASE_URL)


FIRST = {
    "username": "grace",
    "name": "Grace",
    "password": "a long enough secret",
    "again": "a long enough secret",
}


def test_the_owner_link_sets_name_and_password_and_signs_in_once(client: Client) -> None:
    path = path_of(actions.make_owner_link(actor=CONSOLE))
    assert client.get(path).status_code == 200
    assert client.get(path).status_code == 200, "looking does not use it up"
    assert client.post(path, FIRST).status_code == 302
    assert b"grace" in client.get("/account/").content
    assert client.get(path).status_code == 404
    assert Client().post(path, FIRST).status_code == 404
    assert attempt(Client(), FIRST["password"], username="grace") == 302


def test_a_newer_owner_link_replaces_the_older_one(client: Client) -> None:
    older = path_of(actions.make_owner_link(actor=CONSOLE))
    actions.make_owner_link(actor=CONSOLE)
    assert client.get(older).status_code == 404
    assert User.objects.filter(is_owner=True).count() == 1


def test_an_owner_link_ends_after_a_day(client: Client) -> None:
    path = path_of(actions.make_owner_link(actor=CONSOLE))
    with time_machine.travel(now() + timedelta(hours=24, seconds=1)):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"again": "another long secret"},
        {"password": "short", "again": "short"},
        {"password": "password12345", "again": "password12345"},
        {"username": "not a name!"},
    ],
)
def test_what_is_typed_wrong_does_not_use_the_link_up(client: Client, wrong: dict[str, str]) -> None:
    path = path_of(actions.make_owner_link(actor=CONSOLE))
    assert client.post(path, {**FIRST, **wrong}).status_code == 422
    assert client.post(path, FIRST).status_code == 302


def test_a_lost_password_is_replaced_by_a_link_and_other_sessions_end(client: Client, ada: User) -> None:
    attempt(client, factories.PASSWORD)
    path = path_of(actions.make_sign_in_link(ada, actor=CONSOLE))
    assert Client().post(path, {"password": FIRST["password"], "again": FIRST["again"]}).status_code == 302
    assert client.get("/account/").status_code == 302
    ada.refresh_from_db()
    assert ada.username == "ada"


def test_a_chat_account_is_linked_by_whoever_is_signed_in_and_confirms(client: Client, ada: User) -> None:
    path = path_of(actions.make_identity_link("slack", "T1", "U1", external_name="ada.chat"))
    assert client.get(path)["Location"] == f"/sign-in/?next={path}"
    assert client.post(path)["Location"] == f"/sign-in/?next={path}"
    client.force_login(ada)
    assert b"ada.chat" in client.get(path).content
    assert identities.find("slack", "T1", "U1") is None
    assert client.post(path)["Location"] == "/account/"
    assert identities.find("slack", "T1", "U1") == ada
    assert client.post(path).status_code == 404


def test_a_chat_account_of_somebody_else_is_not_taken_over(client: Client, ada: User) -> None:
    factories.linked(factories.person("lin"), "U1", "T1")
    path = path_of(actions.make_identity_link("slack", "T1", "U1"))
    client.force_login(ada)
    assert client.post(path).status_code == 409
    assert OneTimeLink.objects.get().used_at is None


def test_a_deactivated_person_no_longer_acts_from_the_chat(ada: User) -> None:
    factories.linked(ada, "U1", "T1")
    actions.deactivate_user(ada, actor=CONSOLE)
    assert identities.find("slack", "T1", "U1") is None
