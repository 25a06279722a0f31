"""A page that is open follows what happens, for as long as its reader is signed in and may look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient, Client
from pytest_django import DjangoAssertNumQueries

from handrail.accounts.models import Project, RoleAssignment, User
from handrail.accounts.permissions import synchronise
from handrail.shared.clock import now
from handrail.web import live
from handrail.web.run_live import run_marks
from runbooks.models import LogLine, Run
from tests import factories
from tests.web import scene as scenes
from tests.web.scene import Scene

Browse = Callable[[User], Client]


async def events(stream: AsyncIterator[bytes], until: str) -> str:
    """What the stream says until it has said ``until``."""
    said = ""
    async with asyncio.timeout(10):
        async for part in stream:
            said += part.decode()
            if until in said:
                return said
    return said


@pytest.mark.django_db(transaction=True)
def test_a_live_page_is_told_what_changed_and_that_it_is_over() -> None:
    scene = scenes.scene()
    run = scenes.run(scene)
    step = scenes.step(run, "error_rate", "executing")

    async def follow() -> str:
        client = AsyncClient()
        await client.aforce_login(scene.viewer)
        page = await client.get(f"/runs/{run.pk}/")
        place = page.context["place"]
        answer = await client.get(f"/runs/{run.pk}/live/?last_event_id={place}")
        assert answer["Content-Type"].startswith("text/event-stream")
        stream = answer.streaming_content
        said = await events(stream, "up to date")
        await sync_to_async(LogLine.objects.create)(step=step, n=1, attempt=1, at=now(), text="hello")
        said += await events(stream, "data: step\n")
        await sync_to_async(Run.objects.filter(pk=run.pk).update)(
            revision=9, is_open=False, state="succeeded"
        )
        return said + await events(stream, "event: end")

    said = asyncio.run(follow())
    assert said.count("event: refresh") == 2
    assert "words sub actions graph steps facts stop held idle needs step over" in said
    assert said.endswith(live.END)


def close_out(viewer: User, browser: Client) -> None:
    User.objects.filter(pk=viewer.pk).update(is_active=False)


def lose_the_role(viewer: User, browser: Client) -> None:
    RoleAssignment.objects.filter(user=viewer).delete()
    for project in Project.objects.all():
        synchronise(project, viewer)


def sign_out(viewer: User, browser: Client) -> None:
    browser.post("/sign-out/")


def have_another_password(viewer: User, browser: Client) -> None:
    viewer.set_password("another correct horse")
    viewer.save()


@pytest.mark.parametrize("loss", [close_out, lose_the_role, sign_out, have_another_password])
@pytest.mark.django_db(transaction=True)
def test_a_stream_ends_with_the_session_and_with_the_right_to_look(
    loss: Callable[[User, Client], None],
) -> None:
    scene = scenes.scene()
    run = scenes.run(scene)
    browser = Client()
    browser.force_login(scene.viewer)

    async def follow() -> str:
        client = AsyncClient()
        client.cookies = browser.cookies
        stream = (await client.get(f"/runs/{run.pk}/live/")).streaming_content
        said = await events(stream, "event: ready")
        await sync_to_async(loss)(scene.viewer, browser)
        await sync_to_async(Run.objects.filter(pk=run.pk).update)(revision=9)
        return said + await events(stream, "never said")

    said = asyncio.run(follow())
    assert said.endswith("event: refresh\ndata: *\n\n")
    assert "words" not in said.partition("event: ready")[2].partition("\n\n")[2], "nothing more is told"


@pytest.mark.django_db
def test_a_look_costs_six_queries(
    scene: Scene, browse: Browse, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    run = scenes.run(scene)
    request = browse(scene.viewer).get(f"/runs/{run.pk}/").wsgi_request
    viewer = factories.actor(User.objects.get(pk=request.user.pk))
    look = live.signed_in_look(request, lambda: run_marks(viewer, run.pk))
    with django_assert_num_queries(6):
        look()
