"""Action types are found by name, and no name is taken twice."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Effect
from runbooks.steps import registry
from runbooks.steps.noop import Noop


class Impostor(Noop):
    spec = ActionSpec(name="noop", title="Not that one", inputs_schema={}, effect=Effect.READ)


class NotAnAction:
    pass


def test_a_built_in_action_is_found_with_its_spec() -> None:
    assert isinstance(registry.get("noop"), Noop)
    assert registry.specs()["noop"].effect is Effect.READ


def test_an_unknown_action_is_refused_by_name() -> None:
    with pytest.raises(registry.UnknownAction, match=r"'no\.such'"):
        registry.get("no.such")


def test_a_second_action_of_the_same_name_is_refused() -> None:
    registry.load()
    with pytest.raises(registry.DuplicateAction, match="Handrail itself"):
        registry.register(Impostor)


def test_registering_the_same_class_again_changes_nothing() -> None:
    before = registry.get("noop")
    registry.register(Noop)
    assert registry.get("noop") is before


def test_a_plugin_that_is_not_an_action_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("bad", f"{__name__}:NotAnAction", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: NotAnAction)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    registry.load.cache_clear()
    with pytest.raises(registry.BadPlugin, match="not an Action class"):
        registry.load()
    monkeypatch.undo()
    registry.load.cache_clear()
    registry.load()
