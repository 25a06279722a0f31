"""Requests take turns: no more at once than there are connections, the urgent first, and whoever hangs up is served."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handrail.config.turns import Message, Overloaded, Receive, Scope, Send, TakeTurns, Turns

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
STREAM = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
END = {"type": "http.response.body", "body": b"well"}
BODY = {"type": "http.request", "body": b"", "more_body": False}
HUNG_UP = {"type": "http.disconnect"}


async def settled() -> None:
    """Let everything go on that can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Browser:
    """Sends a request to ``application``; keeps what comes back."""

    def __init__(self, application: TakeTurns, path: str = "/", body: tuple[Message, ...] = (BODY,)) -> None:
        self.coming: asyncio.Queue[Message] = asyncio.Queue()
        for part in body:
            self.coming.put_nowait(part)
        self.answer: list[Message] = []
        scope: Scope = {"type": "http", "path": path, "headers": []}
        self.task = asyncio.create_task(application(scope, self.coming.get, self._take))

    async def _take(self, message: Message) -> None:
        self.answer.append(message)

    @property
    def status(self) -> object:
        return self.answer[0]["status"] if self.answer else None


class Django:
    """An application that reads its body and answers when it is told to."""

    def __init__(self, start: Message = START) -> None:
        self.begun: list[str] = []
        self.start = start
        self.go = asyncio.Event()
        self.heard: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.disconnect":
            return
        self.begun.append(scope["path"])
        if self.start is STREAM:
            await send(self.start)
            self.heard.append(await receive())
            return
        await self.go.wait()
        await send(self.start)
        await send(END)


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__ = test.__name__
    return run


@in_a_loop
async def test_no_more_than_there_are_turns() -> None:
    django = Django()
    application = TakeTurns(django, at_once=4)
    crowd = [Browser(application, f"/{n}") for n in range(10)]
    await settled()
    assert django.begun == ["/0", "/1"], "two of the four are kept for urgent ones"
    django.go.set()
    await settled()
    assert [browser.status for browser in crowd] == [200] * 10
    assert django.begun == [f"/{n}" for n in range(10)], "in the order of their coming"
    assert application.turns.free == 4


@in_a_loop
async def test_the_urgent_go_first() -> None:
    django = Django()
    application = TakeTurns(django, at_once=4)
    for n in range(6):
        Browser(application, f"/{n}")
    for n in range(3):
        Browser(application, f"/integrations/slack/{n}")
    await settled()
    assert django.begun[2:] == ["/integrations/slack/0", "/integrations/slack/1"]
    django.go.set()
    await settled()
    assert django.begun[4] == "/integrations/slack/2"
    assert len(django.begun) == 9


@in_a_loop
async def test_who_sends_slowly_has_no_turn_yet() -> None:
    django = Django()
    application = TakeTurns(django, at_once=1)
    slow = Browser(application, "/slow", ({"type": "http.request", "body": b"x", "more_body": True},))
    quick = Browser(application, "/quick")
    await settled()
    assert django.begun == ["/quick"]
    django.go.set()
    await settled()
    slow.coming.put_nowait(BODY)
    await settled()
    assert (quick.status, slow.status) == (200, 200)


@in_a_loop
async def test_who_hangs_up_while_sending_never_had_a_turn() -> None:
    django = Django()
    application = TakeTurns(django, at_once=1)
    Browser(application, "/", ({"type": "http.request", "body": b"x", "more_body": True}, HUNG_UP))
    await settled()
    assert (django.begun, application.turns.free) == ([], 1)


@in_a_loop
async def test_what_has_begun_is_done_though_its_sender_hung_up() -> None:
    django = Django()
    application = TakeTurns(django, at_once=1)
    gone = Browser(application, "/", (BODY, HUNG_UP))
    await settled()
    assert not gone.task.done()
    django.go.set()
    await settled()
    assert gone.status == 200
    assert application.turns.free == 1


@in_a_loop
async def test_a_stream_holds_no_turn_and_hears_that_its_reader_is_gone() -> None:
    django = Django(STREAM)
    application = TakeTurns(django, at_once=1)
    reader = Browser(application, "/live/")
    await settled()
    assert (reader.status, application.turns.free) == (200, 1)
    reader.coming.put_nowait(HUNG_UP)
    await settled()
    assert django.heard == [HUNG_UP]
    assert (reader.task.done(), application.turns.free) == (True, 1)


@in_a_loop
async def test_a_fault_gives_the_turn_back() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise ZeroDivisionError

    application = TakeTurns(broken, at_once=1)
    browser = Browser(application)
    await settled()
    assert isinstance(browser.task.exception(), ZeroDivisionError)
    assert application.turns.free == 1


@in_a_loop
async def test_beyond_the_longest_queue_people_are_sent_away() -> None:
    django = Django()
    application = TakeTurns(django, at_once=1)
    application.turns = Turns(1, kept=0, longest=2)
    crowd = [Browser(application) for _ in range(5)]
    await settled()
    assert [browser.status for browser in crowd] == [None, None, None, 503, 503]
    assert (b"retry-after", b"5") in crowd[4].answer[0]["headers"]
    django.go.set()
    await settled()
    assert [browser.status for browser in crowd] == [200, 200, 200, 503, 503]


@given(
    st.integers(1, 5).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1))),
    st.lists(st.sampled_from(["urgent", "other", "end", "cancel"]), max_size=60),
)
def test_turns_are_neither_lost_nor_doubled(size: tuple[int, int], acts: list[str]) -> None:
    at_once, kept = size

    async def play() -> None:
        turns = Turns(at_once, kept=kept, longest=5)
        waiting: list[asyncio.Task[None]] = []
        for act in acts:
            if act in ("urgent", "other"):
                waiting.append(asyncio.create_task(turns.take(urgent=act == "urgent")))
            elif act == "end":
                held = [task for task in waiting if task.done() and task.exception() is None]
                if held:
                    waiting.remove(held[0])
                    turns.give_back()
            elif waiting and not waiting[-1].done():
                waiting.pop().cancel()
            await settled()
            waiting = [task for task in waiting if not (task.done() and task.exception())]
            held_now = sum(task.done() for task in waiting)
            assert held_now + turns.free == at_once
        while waiting:
            held = [task for task in waiting if task.done()]
            assert held, "somebody always has a turn while others wait"
            waiting.remove(held[0])
            turns.give_back()
            await settled()
        assert turns.free == at_once

    asyncio.run(play())


def test_a_turn_too_many_is_refused_at_once() -> None:
    async def play() -> None:
        turns = Turns(1, kept=0, longest=0)
        await turns.take(urgent=False)
        with pytest.raises(Overloaded):
            await turns.take(urgent=True)

    asyncio.run(play())
