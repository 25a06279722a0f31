"""Every action type that this installation knows: the built-in ones, and those of installed plugins."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from runbooks.language.actions import ActionSpec
from runbooks.steps.base import Action
from runbooks.steps.http import HttpRequest
from runbooks.steps.incident import IncidentUpdate
from runbooks.steps.incident_declare import IncidentDeclare
from runbooks.steps.noop import Noop
from runbooks.steps.prometheus import PrometheusQuery
from runbooks.steps.shell import ShellRun

AnyAction = Action[Any]
"""An action whose inputs' type is its own affair: callers go through :meth:`Action.bind`."""

ENTRY_POINT_GROUP = "handrail.actions"

BUILT_IN: tuple[type[AnyAction], ...] = (
    HttpRequest,
    PrometheusQuery,
    ShellRun,
    IncidentUpdate,
    IncidentDeclare,
    Noop,
)


class DuplicateAction(Exception):
    """Two action types have the same name."""


class UnknownAction(LookupError):
    """No action type has this name: the package that brings it is not installed on this worker."""


class BadPlugin(Exception):
    """An entry point of the group ``handrail.actions`` is not an :class:`Action` class."""


ACTIONS: dict[str, AnyAction] = {}
"""All action types by name: filled by :func:`load` on first use, and by :func:`register`."""


def register(action_class: type[AnyAction]) -> None:
    """Add an action type of a part of Handrail itself, such as ``slack.post``: called by the wiring."""
    _add(action_class, "Handrail itself")


@cache
def load() -> None:
    """Add the built-in action types and those of installed packages, once a process."""
    for action_class in BUILT_IN:
        _add(action_class, "Handrail itself")
    for point in entry_points(group=ENTRY_POINT_GROUP):
        _add(_plugin(point), f"the entry point {point.name} = {point.value}")


def _add(action_class: type[AnyAction], origin: str) -> None:
    name = action_class.spec.name
    taken = ACTIONS.get(name)
    if type(taken) is action_class:
        return
    if taken is not None:
        raise DuplicateAction(
            f"The action {name!r} of {origin} has the name of {type(taken).__module__}: remove one."
        )
    ACTIONS[name] = action_class()


def _plugin(point: EntryPoint) -> type[AnyAction]:
    loaded = point.load()
    if not (isinstance(loaded, type) and issubclass(loaded, Action)):
        raise BadPlugin(f"The entry point {point.name} = {point.value} is not an Action class.")
    return loaded


def get(name: str) -> AnyAction:
    """The action type with this name, or :class:`UnknownAction`."""
    load()
    try:
        return ACTIONS[name]
    except KeyError:
        raise UnknownAction(f"No action type is called {name!r} here.") from None


def is_known(name: str) -> bool:
    """Whether this process can perform the action."""
    load()
    return name in ACTIONS


def specs() -> Mapping[str, ActionSpec]:
    """What the language needs to know of all action types."""
    load()
    return MappingProxyType({name: action.spec for name, action in sorted(ACTIONS.items())})
