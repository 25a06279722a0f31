"""The shape of a whole runbook: its fields beside the steps, and the builder of the typed definition."""

from __future__ import annotations

from collections.abc import Mapping

from runbooks.language import build, fields
from runbooks.language.actions import ActionSpec
from runbooks.language.definition import Concurrency, Dedupe, Json, RateLimit, Runbook, Step, Trigger
from runbooks.language.fields import Schema
from runbooks.language.kinds import KINDS
from runbooks.language.problems import path_text
from runbooks.language.reading import Fields
from runbooks.language.yaml import Document

API_VERSION = "handrail/v1"
STEP_LISTS = ("steps", "on_failure", "finally")

_STEP_LIST = {"type": "array", "items": {"$ref": "#/$defs/step"}, "maxItems": 200}

_DEDUPE = fields.record(
    "How repeated triggers are told apart.",
    {
        "key": fields.template("Triggers with the same key are the same.", most=500),
        "window": fields.duration("For how long after a start."),
        "on_duplicate": fields.choice("What a repeated trigger does.", ["attach", "skip", "start"]),
    },
    ["key"],
)

TRIGGER = fields.record(
    "What starts the runbook by itself.",
    {
        "id": fields.step_id("The trigger's name, unique in the runbook.")
        | {
            "pattern": r"^[a-z][a-z0-9_-]{0,62}$",
            "x-say": "a name of a-z, 0-9, _ and - that begins with a letter",
        },
        "on": fields.choice("What it listens to.", ["alert", "incident", "schedule", "webhook"]),
        "when": fields.expression("Only when this is true."),
        "inputs": fields.mapping("The run's inputs; strings may hold ${{ }}.", most=50),
        "dedupe": _DEDUPE,
        "mode": fields.choice(
            "shadow: plan and record only; suggest: a human presses Start; enforce: start.",
            ["shadow", "suggest", "enforce"],
        ),
        "cron": fields.text(
            "Five fields: minute, hour, day of month, month, day of week.", most=100, least=1
        ),
        "timezone": fields.text("A name such as Europe/Berlin.", most=60, least=1),
        "catch_up": fields.duration("How late a run may still start, after an outage of Handrail."),
    },
    ["id", "on"],
)

DOCUMENT: dict[str, Schema] = {
    "apiVersion": {"const": API_VERSION, "description": "The version of this language."},
    "kind": {"const": "Runbook", "description": "What the document is."},
    "metadata": fields.record(
        "What people see.",
        {
            "id": fields.slug("The runbook's name in addresses, unique in its project."),
            "title": fields.text("What it is called.", most=200, least=1),
            "description": fields.text("What it does, and when to use it.", most=5_000),
            "owner": fields.patterned(
                "Who looks after it: team:<slug> or user:<name>.",
                r"^(?:team|user):[^\s:]{1,150}$",
                "team:<slug> or user:<name>",
            ),
            "labels": fields.mapping("Free labels.", fields.text("A value.", most=200), most=50),
        },
        ["id", "title"],
    ),
    "inputs": fields.INPUTS,
    "secrets": fields.mapping(
        "References to secrets by name; their values are read inside the worker only.",
        fields.patterned(
            "A reference.",
            r"^[a-z][a-z0-9]*:\S{1,300}$",
            "a reference such as local:name, env:HANDRAIL_SECRET_NAME or file:path",
        ),
        most=50,
        names=fields.step_id("A name for expressions: secrets.<name>."),
    ),
    "triggers": fields.items("What starts the runbook by itself.", TRIGGER, most=20),
    "concurrency": fields.record(
        "How many runs with the same key may be live at once.",
        {
            "key": fields.template("Runs with the same key count together.", most=500),
            "limit": fields.whole("How many.", least=1, most=1_000),
            "on_conflict": fields.choice("What another run does.", ["queue", "attach", "skip", "replace"]),
        },
        ["key"],
    ),
    "rate_limit": fields.record(
        "How many runs with the same key may start in a while.",
        {
            "key": fields.template("Runs with the same key count together.", most=500),
            "max_runs": fields.whole("How many.", least=1, most=10_000),
            "per": fields.duration("In how long."),
            "on_exceed": fields.choice("What happens beyond.", ["page", "skip", "fail", "queue"]),
        },
        ["key", "max_runs", "per"],
    ),
    "runner": fields.RUNNER,
    "timeout": fields.duration("How long a run may take."),
    "defaults": fields.record(
        "For every step that calls an action and does not say otherwise.",
        {
            "timeout": fields.duration("How long one attempt may take."),
            "schedule_to_start_timeout": fields.SCHEDULE_TO_START,
            "schedule_to_close_timeout": fields.SCHEDULE_TO_CLOSE,
            "retry": fields.RETRY,
        },
    ),
    "steps": {**_STEP_LIST, "minItems": 1, "description": "What is done, in order."},
    "outcome": fields.mapping(
        "Is production well? Names with conditions, apart from whether the steps succeeded.",
        fields.expression("True when it is well."),
        most=20,
        names=fields.step_id("A name such as recovered."),
    ),
    "outputs": fields.mapping(
        "What a run gives to the runbook that started it; strings may hold ${{ }}.",
        most=50,
        names=fields.step_id("A name: steps.<id>.outputs.<name>."),
    ),
    "on_failure": {**_STEP_LIST, "description": "Steps that run when the run fails."},
    "finally": {**_STEP_LIST, "description": "Steps that always run, cancelled runs included."},
}

REQUIRED = ("apiVersion", "kind", "metadata", "steps")


def build_runbook(document: Document, data: Mapping[str, Json], actions: Mapping[str, ActionSpec]) -> Runbook:
    """The definition of a document in which no errors were found; ``data`` is its root."""
    return _Assembly(document, actions, Fields(data)).runbook()


class _Assembly:
    """Puts one document together."""

    def __init__(self, document: Document, actions: Mapping[str, ActionSpec], top: Fields) -> None:
        self.document = document
        self.actions = actions
        self.top = top
        self.defaults = top.below("defaults")

    def runbook(self) -> Runbook:
        """The whole."""
        top, about = self.top, self.top.below("metadata")
        concurrency, rate = top.maybe_below("concurrency"), top.maybe_below("rate_limit")
        return Runbook(
            id=about.text("id"),
            title=about.text("title"),
            description=about.text("description"),
            owner=about.text("owner"),
            labels=about.texts("labels"),
            inputs=build.inputs(top),
            secrets=top.texts("secrets"),
            triggers=tuple(_trigger(found) for found in top.each("triggers")),
            concurrency=_concurrency(concurrency) if concurrency else None,
            rate_limit=_rate_limit(rate) if rate else None,
            pool=top.below("runner").text("pool", "default"),
            timeout=top.maybe_seconds("timeout"),
            steps=self.steps(top, "steps", ()),
            outcome={
                name: Fields(top.mapping("outcome")).expression(name) for name in top.mapping("outcome")
            },
            outputs=dict(top.mapping("outputs")),
            on_failure=self.steps(top, "on_failure", ()),
            finally_=self.steps(top, "finally", ()),
        )

    def steps(self, holder: Fields, name: str, path: tuple[str | int, ...]) -> tuple[Step, ...]:
        """The steps of one list."""
        return tuple(self.step(found, (*path, name, n)) for n, found in enumerate(holder.each(name)))

    def step(self, found: Fields, path: tuple[str | int, ...]) -> Step:
        """One step with those inside it."""
        kind = KINDS[found.text("kind", "action")]
        node = self.document.find(path)
        shared = build.common(
            found,
            self.defaults,
            calls=kind.calls,
            line=node.span.line if node else 0,
            path=path_text(path),
        )
        inside: dict[tuple[str | int, ...], tuple[Step, ...]] = {}
        for place in kind.lists(found.data):
            holder = self.document.find((*path, *place[:-1]))
            if holder is not None and isinstance(holder.data, dict) and place[-1] in holder.data:
                inside[place] = self.steps(Fields(holder.data), str(place[-1]), (*path, *place[:-1]))
        return kind.build(shared, found, build.Site(self.actions, inside))


def _trigger(found: Fields) -> Trigger:
    dedupe = found.maybe_below("dedupe")
    return Trigger(
        id=found.text("id"),
        on=found.text("on"),
        when=found.maybe_expression("when"),
        inputs=dict(found.mapping("inputs")),
        dedupe=Dedupe(
            key=dedupe.template("key"),
            window=dedupe.seconds("window", 1800.0),
            on_duplicate=dedupe.text("on_duplicate", "attach"),
        )
        if dedupe
        else None,
        mode=found.text("mode", "enforce"),
        cron=found.maybe_text("cron"),
        timezone=found.maybe_text("timezone"),
        catch_up=found.seconds("catch_up", 600.0),
    )


def _concurrency(found: Fields) -> Concurrency:
    return Concurrency(
        key=found.template("key"),
        limit=found.whole("limit", 1),
        on_conflict=found.text("on_conflict", "queue"),
    )


def _rate_limit(found: Fields) -> RateLimit:
    return RateLimit(
        key=found.template("key"),
        max_runs=found.whole("max_runs", 1),
        per=found.seconds("per", 0.0),
        on_exceed=found.text("on_exceed", "page"),
    )
