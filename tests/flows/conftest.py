"""Installations for the flows: one a module, on the backend that its tests ask for."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from pytest_django.plugin import DjangoDbBlocker

from tests.flows.harness import Installation, Nursery, installation
from tests.flows.services import Backend

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def backend(request: pytest.FixtureRequest) -> Backend:
    """Given by the module's parameters."""
    found: Backend = request.param
    return found


@pytest.fixture(scope="module")
def settings_of_installation() -> dict[str, str]:
    """More environment variables; a module overrides it."""
    return {}


@pytest.fixture(scope="module")
def started() -> tuple[str, ...]:
    """The processes that run from the beginning; a module overrides it."""
    return ("worker", "sweeper", "web")


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Filled databases, to be copied."""
    made = Nursery(tmp_path_factory.mktemp("nursery"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def handrail(
    backend: Backend,
    nursery: Nursery,
    settings_of_installation: dict[str, str],
    started: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: DjangoDbBlocker,
) -> Iterator[Installation]:
    """A running installation. Its tests each use a service of their own."""
    home = tmp_path_factory.mktemp(backend.name)
    settings = settings_of_installation
    with (
        django_db_blocker.unblock(),
        installation(home, backend, nursery, start=started, **settings) as made,
    ):
        yield made


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Flows are marked as such."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.flow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the installation's processes said goes with a failure."""
    report = yield
    made = getattr(item, "funcargs", {}).get("handrail")
    if report.failed and isinstance(made, Installation):
        report.sections += [(f"the log of {name}", text) for name, text in made.logs()]
    return report
