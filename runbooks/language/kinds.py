"""The kinds of steps: for each its fields, where it holds expressions and templates, and how it is built.

A kind is added by one entry in :data:`KINDS`; nothing else in the language names kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from runbooks.language import build, fields, rates
from runbooks.language.definition import Json, Step
from runbooks.language.fields import Schema
from runbooks.language.reading import Fields

Builder = Callable[[build.Common, Fields, build.Site], Step]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of step.

    ``fields`` are the JSON Schemas of its own fields. ``expressions`` and ``templates`` name those that hold
    CEL and ``${{ }}``; ``results`` those expressions that may read ``result``. ``children`` names the fields
    that hold steps; ``cases[].steps`` are those in each item of a list. ``calls`` says that the step calls an
    action (``uses`` and ``with``), ``reads_only`` that it must be a reading one, ``repeats``
    that the steps inside are done once for each of its items.
    """

    name: str
    summary: str
    fields: Mapping[str, Schema]
    build: Builder
    required: tuple[str, ...] = ()
    expressions: tuple[str, ...] = ()
    results: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    calls: bool = False
    reads_only: bool = False
    side_by_side: bool = False
    repeats: bool = False
    any_outputs: bool = False
    outputs: str | None = None
    """The field whose keys are the names of the step's outputs."""

    def lists(self, data: Mapping[str, Json]) -> Iterator[tuple[str | int, ...]]:
        """The paths, from a step of this kind as written, of the lists of steps inside it."""
        for name in self.children:
            holder, _, inner = name.partition("[].")
            if not inner:
                yield (name,)
                continue
            items = data.get(holder)
            for n, item in enumerate(items if isinstance(items, list) else ()):
                if isinstance(item, dict):
                    yield holder, n, inner


COMMON: dict[str, Schema] = {
    "id": fields.step_id("The step's name in expressions and in the history."),
    "kind": {"description": "What kind of step it is; 'action' when 'uses' is given."},
    "title": fields.text("What people read.", most=200),
    "when": fields.expression("The step is skipped unless this is true."),
    "continue_on_error": fields.flag("Whether the run goes on when the step fails."),
    "disabled": fields.flag("Whether the step is always skipped."),
}

_STEPS = {
    "type": "array",
    "items": {"$ref": "#/$defs/step"},
    "minItems": 1,
    "maxItems": 200,
    "description": "The steps inside.",
}
_TIMEOUT = fields.duration("How long it may take.")

ACTION = Kind(
    name="action",
    summary="One call of an action.",
    fields={
        **fields.CALL,
        "effect": fields.choice("What it does to production.", ["read", "reversible", "irreversible"]),
        "idempotent": fields.flag("Whether doing it twice is the same as doing it once."),
        "timeout": fields.duration("How long one attempt may take."),
        "schedule_to_start_timeout": fields.SCHEDULE_TO_START,
        "schedule_to_close_timeout": fields.SCHEDULE_TO_CLOSE,
        "heartbeat": fields.duration(
            "How long an attempt may be silent: no progress told, no line in its log, no output."
        ),
        "retry": fields.RETRY,
        "concurrency": fields.record(
            "How many calls with the same key may be made at once, in all runs of the project.",
            {
                "key": fields.template("Calls with the same key count together.", most=500),
                "limit": fields.whole("How many (1).", least=1, most=1_000),
            },
            ["key"],
        ),
        "rate": fields.patterned("How often the target may be called.", f"^{rates.PATTERN}$", rates.WORDS),
        "circuit": fields.template(
            "The key of the circuit breaker; the target's own when left out.", most=200
        ),
        "runner": fields.RUNNER,
        "probe": fields.record(
            "A reading call that answers whether an uncertain effect has happened.",
            {
                **fields.CALL,
                "done_when": fields.expression("True when the effect has happened; reads result."),
            },
            ["uses", "done_when"],
        ),
        "compensate": fields.record("The call that undoes the step.", fields.CALL, ["uses"]),
    },
    required=("uses",),
    templates=("concurrency", "circuit"),
    calls=True,
    build=build.action,
)

GROUP = Kind(
    name="group",
    summary="Steps in order, as one.",
    fields={
        "steps": _STEPS,
        "timeout": _TIMEOUT,
        "on_failure": fields.record(
            "What happens when one of the steps failed.",
            {
                "compensate": fields.flag("Undo the steps that were done, in reverse order."),
                "then": fields.choice("Whether the run goes on.", ["continue", "fail"]),
            },
        ),
    },
    required=("steps",),
    children=("steps",),
    build=build.group,
)

PARALLEL = Kind(
    name="parallel",
    summary="Branches side by side.",
    fields={
        "steps": _STEPS,
        "timeout": _TIMEOUT,
        "concurrency": fields.whole("How many branches at once.", least=1, most=100),
        "fail_fast": fields.flag("Stop the other branches when one fails."),
    },
    required=("steps",),
    children=("steps",),
    side_by_side=True,
    build=build.parallel,
)

FOR_EACH = Kind(
    name="for_each",
    summary="Steps once for each item of a list.",
    fields={
        "items": fields.expression(
            "The list, at most 500 items.", such_as="inputs.hosts, or a list in quotes: \"['a', 'b']\""
        ),
        "as": fields.step_id("The item's name in the expressions inside (item)."),
        "steps": _STEPS,
        "concurrency": fields.whole("How many items at once (1).", least=1, most=50),
        "on_item_failure": fields.choice(
            "fail: no further item is begun, and the step fails; continue: the others are done all the same.",
            ["fail", "continue"],
        ),
        "timeout": _TIMEOUT,
    },
    required=("items", "steps"),
    expressions=("items",),
    children=("steps",),
    repeats=True,
    build=build.for_each,
)

SWITCH = Kind(
    name="switch",
    summary="The steps of the first case whose condition is true.",
    fields={
        "cases": fields.items(
            "The cases; the first whose condition is true is taken.",
            fields.record(
                "One case.",
                {"when": fields.expression("The condition of the case."), "steps": _STEPS},
                ["when", "steps"],
            ),
            least=1,
            most=50,
        ),
        "default": {**_STEPS, "description": "The steps when no condition is true."},
        "timeout": _TIMEOUT,
    },
    required=("cases",),
    children=("cases[].steps", "default"),
    build=build.switch,
)

WAIT = Kind(
    name="wait",
    summary="Waits without holding a worker.",
    fields={
        "for": fields.duration("How long."),
        "until": fields.expression(
            "The moment: an expression that gives a timestamp.", such_as="timestamp('2030-01-31T09:00:00Z')"
        ),
    },
    expressions=("until",),
    build=build.wait,
)

WAIT_UNTIL = Kind(
    name="wait_until",
    summary="Repeats a reading action until a condition has been true for long enough.",
    fields={
        **fields.CALL,
        "until": fields.expression("The condition; reads result."),
        "sustained": fields.duration("For how long it must stay true.", zero=True),
        "interval": fields.duration("The pause between two looks."),
        "timeout": fields.duration("After how long the step gives up."),
        "schedule_to_start_timeout": fields.SCHEDULE_TO_START,
        "retry": fields.RETRY,
        "runner": fields.RUNNER,
    },
    required=("uses", "until", "timeout"),
    expressions=("until",),
    results=("until",),
    calls=True,
    reads_only=True,
    build=build.wait_until,
)

_NAME = fields.text("A name.", most=150, least=1)
_PLACE = fields.text("A channel, a connection, a team or a person.", most=80, least=1)
"""No name of a Slack channel is longer, and no row of a message keeps a longer one."""

APPROVAL = Kind(
    name="approval",
    summary="Asks humans.",
    fields={
        "prompt": fields.template("The question, in one or two sentences.", most=2_000),
        "for": fields.items(
            "The later steps whose plan is shown and bound to the approval.",
            fields.text("A step id.", most=63),
            least=1,
        ),
        "approvers": fields.record(
            "Who may answer.",
            {
                "teams": fields.items("Teams.", _NAME),
                "users": fields.items("Users.", _NAME),
                "min": fields.whole("How many must approve.", least=1, most=20),
                "min_per_team": fields.mapping(
                    "How many of each team.", fields.whole("How many.", least=1, most=20), most=20
                ),
                "exclude": fields.items(
                    "Who may not (the starter never may).", fields.choice("Whom.", ["starter", "last_editor"])
                ),
            },
        ),
        "inputs": fields.INPUTS,
        "channels": fields.items(
            "Where it is asked, besides the web.",
            fields.mapping("For example slack: '#inc'.", _PLACE, most=1),
        ),
        "timeout": fields.duration("How long an answer is awaited."),
        "escalate": fields.items(
            "Whom to ask when nobody answers.",
            fields.record(
                "One escalation.",
                {
                    "after": fields.duration("After how long."),
                    "to": fields.mapping(
                        "slack: a channel, or @name for a person; pagerduty: a connection; team: who may answer, too.",
                        _PLACE,
                        most=5,
                    ),
                },
                ["after", "to"],
            ),
            most=10,
        ),
        "on_timeout": fields.choice("What no answer means; it never approves.", ["reject", "fail"]),
        "on_reject": fields.choice("What a rejection means for the run.", ["continue", "fail"]),
    },
    required=("prompt", "timeout"),
    templates=("prompt",),
    outputs="inputs",
    build=build.approval,
)

MANUAL = Kind(
    name="manual",
    summary="A person does something and confirms.",
    fields={
        "prompt": fields.template("What is to be done.", most=5_000),
        "inputs": fields.INPUTS,
        "assignees": fields.record(
            "Who may confirm; every responder of the project when it is left out.",
            {"teams": fields.items("Teams.", _NAME), "users": fields.items("Users.", _NAME)},
        ),
        "timeout": fields.duration("How long it is waited for; then the step has timed out."),
    },
    required=("prompt", "timeout"),
    templates=("prompt",),
    outputs="inputs",
    build=build.manual,
)

RUNBOOK = Kind(
    name="runbook",
    summary="Runs another runbook and waits for it.",
    fields={
        "runbook": fields.slug("Its id, in the same project."),
        "inputs": fields.mapping("Its inputs; strings may hold ${{ }}.", most=50),
        "timeout": fields.duration("How long it may take; then it is stopped."),
    },
    required=("runbook",),
    templates=("inputs",),
    any_outputs=True,
    build=build.subrun,
)

SET = Kind(
    name="set",
    summary="Computes values; they are the step's outputs.",
    fields={"values": fields.mapping("Names with values.", names=fields.step_id("A name."))},
    required=("values",),
    templates=("values",),
    outputs="values",
    build=build.set_values,
)

FAIL = Kind(
    name="fail",
    summary="Ends the run with a message.",
    fields={"message": fields.template("Why.", most=2_000)},
    required=("message",),
    templates=("message",),
    build=build.fail,
)

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        ACTION,
        GROUP,
        PARALLEL,
        FOR_EACH,
        SWITCH,
        WAIT,
        WAIT_UNTIL,
        APPROVAL,
        MANUAL,
        RUNBOOK,
        SET,
        FAIL,
    )
}

LATER_FIELDS = ("mock",)
"""Fields of steps that this version does not have."""


def kind_named(name: object) -> Kind | None:
    """The kind that a document names; a step that names none is an action."""
    return KINDS.get(name) if isinstance(name, str) else None
