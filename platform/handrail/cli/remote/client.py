"""Speaks with the REST API: one request, or a list through all of its pages; whatever goes wrong is told in words."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import click
import httpx2

from handrail.cli.remote.credentials import Credentials, credentials
from handrail.cli.remote.errors import NotAllowed, RemoteError, Unreachable, error_of

Object = dict[str, Any]
"""A JSON object of the API."""

TIMEOUT = 30.0
"""Seconds for an answer; starting a run takes far less."""

CONNECT_TIMEOUT = 10.0

SCAN = 400
"""How many of the newest rows are looked through for a short id."""


class Client:
    """The API of one installation, with one token."""

    def __init__(self, who: Credentials | None = None) -> None:
        """``who`` is found in the environment or the user's file if it is left out."""
        self.who = who or credentials()
        self._http = httpx2.Client(
            base_url=f"{self.who.url}/api/v1/",
            headers={"Authorization": f"Bearer {self.who.token}", "Accept": "application/json"},
            timeout=httpx2.Timeout(TIMEOUT, connect=CONNECT_TIMEOUT),
        )
        context = click.get_current_context(silent=True)
        if context is not None:
            context.call_on_close(self._http.close)

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> Object:
        """One object, or one page."""
        return _object(self._ask("GET", path, params=dict(params or {})))

    def post(self, path: str, body: Mapping[str, object] | None = None, *, once: bool = False) -> Object:
        """Do something. ``once``: it starts something, and a repetition must not start it twice."""
        headers = {"Idempotency-Key": str(uuid.uuid4())} if once else {}
        return _object(self._ask("POST", path, json=dict(body or {}), headers=headers))

    def post_for_list(self, path: str, body: Mapping[str, object]) -> list[Object]:
        """Do something with several, and see what became of each."""
        return _objects(self._ask("POST", path, json=dict(body)))

    def rows(
        self, path: str, params: Mapping[str, str | int] | None = None, *, most: int = 0
    ) -> Iterator[Object]:
        """The rows of a list, page after page; ``most`` of them, or all."""
        given: dict[str, str | int] = {"limit": min(most, 200) if most else 200, **(params or {})}
        count = 0
        while True:
            page = self.get(path, given)
            for row in page["results"]:
                if most and count >= most:
                    return
                count += 1
                yield row
            if not page["next"]:
                return
            given = dict(parse_qsl(urlsplit(page["next"]).query))

    def find(self, path: str, said: str, what: str, params: Mapping[str, str | int] | None = None) -> str:
        """The id that somebody says: whole, or as pages show it, its last eight digits (of the newest rows)."""
        try:
            return str(uuid.UUID(said))
        except ValueError:
            pass
        wanted = said.lower().replace("-", "")
        if len(wanted) < 4:
            raise RemoteError(f"{said!r} names no {what}: say its id, or the last eight digits of it.")
        found = [
            str(row["id"])
            for row in self.rows(path, params, most=SCAN)
            if str(row["id"]).replace("-", "").endswith(wanted)
        ]
        return one(found, said, what)

    def _ask(self, method: str, path: str, **how: Any) -> httpx2.Response:
        try:
            answer = self._http.request(method, path, **how)
        except httpx2.TimeoutException as error:
            raise Unreachable(
                f"{self.who.url} did not answer in time. Whether it has done it, `handrail runs` shows."
            ) from error
        except httpx2.HTTPError as error:
            raise Unreachable(
                f"{self.who.url} cannot be reached: {error}. Is the address right, and does Handrail run?"
            ) from error
        if answer.is_redirect:
            place = answer.headers.get("location", "elsewhere")
            raise Unreachable(f"{self.who.url} leads on to {place}: log in at that address.")
        if answer.is_success:
            return answer
        raise error_of(answer.status_code)(_words(answer, self.who.url))


def one(found: list[str], said: str, what: str) -> str:
    """The only one; RemoteError when there is none, or several."""
    if not found:
        raise NotAllowed(f"There is no {what} {said} among those that you see.")
    if len(set(found)) > 1:
        raise RemoteError(f"{said} names {len(set(found))} {what}s: say the whole id.")
    return found[0]


def _object(answer: httpx2.Response) -> Object:
    if not answer.content:
        return {}
    found = _json(answer)
    if not isinstance(found, dict):
        raise _strange(answer)
    return cast("Object", found)


def _objects(answer: httpx2.Response) -> list[Object]:
    found = _json(answer)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise _strange(answer)
    return cast("list[Object]", found)


def _json(answer: httpx2.Response) -> object:
    try:
        return answer.json()
    except ValueError:
        return None


def _strange(answer: httpx2.Response) -> Unreachable:
    return Unreachable(f"{answer.request.url} did not answer as Handrail does. Is the address right?")


def _words(answer: httpx2.Response, url: str) -> str:
    """A refusal in words, with each of its problems; no matter who has refused."""
    status = answer.status_code
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return f"{url} answered {status} {answer.reason_phrase}".rstrip() + "."
    words = str(problem.get("detail") or problem.get("title") or f"It was refused ({status}).")
    found = problem.get("problems")
    lines = [words]
    for each in found if isinstance(found, list) else []:
        if isinstance(each, dict) and str(each.get("message", "")) not in words:
            place = each.get("name") or each.get("path") or ""
            lines.append(f"  {place}: {each.get('message', '')}")
    if status == 401:
        lines.append("  Run `handrail login` with a valid token.")
    if status == 429 and (wait := answer.headers.get("retry-after")):
        lines.append(f"  Try again in {wait} s.")
    if problem.get("code") == "owner_may_act":
        lines.append("  If you have made sure that it is dead, add --i-made-sure.")
    return "\n".join(lines)
