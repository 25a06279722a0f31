"""Builds the typed definition from a document in which no errors were found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from runbooks.language.actions import ActionSpec
from runbooks.language.definition import (
    ActionStep,
    ApprovalStep,
    Approvers,
    Call,
    Case,
    Effect,
    Escalation,
    FailStep,
    ForEachStep,
    GroupStep,
    InputSpec,
    InputType,
    ManualStep,
    OnFailure,
    ParallelStep,
    Probe,
    Retry,
    SetStep,
    Slots,
    Step,
    SubrunStep,
    SwitchStep,
    WaitStep,
    WaitUntilStep,
)
from runbooks.language.durations import seconds
from runbooks.language.encodings import marked
from runbooks.language.reading import Fields


class Common(TypedDict):
    """The fields that every step has."""

    id: str
    title: str
    when: str | None
    timeout: float | None
    schedule_to_start_timeout: float | None
    schedule_to_close_timeout: float | None
    retry: Retry | None
    continue_on_error: bool
    disabled: bool
    pool: str | None
    line: int
    path: str


@dataclass(frozen=True, slots=True)
class Site:
    """What a builder needs besides the step's own fields.

    ``inside`` are the built steps of its child lists, by their paths from the step.
    """

    actions: Mapping[str, ActionSpec]
    inside: Mapping[tuple[str | int, ...], tuple[Step, ...]]


def common(step: Fields, defaults: Fields, *, calls: bool, line: int, path: str) -> Common:
    """The shared fields. The runbook's ``defaults`` are for steps that call an action."""

    def limit(name: str) -> float | None:
        own = step.maybe_seconds(name)
        return defaults.maybe_seconds(name) if own is None and calls else own

    return Common(
        id=step.text("id"),
        title=step.text("title"),
        when=step.maybe_expression("when"),
        timeout=limit("timeout"),
        schedule_to_start_timeout=limit("schedule_to_start_timeout"),
        schedule_to_close_timeout=limit("schedule_to_close_timeout"),
        retry=retry(step.maybe_below("retry"), defaults.maybe_below("retry")) if calls else None,
        continue_on_error=step.flag("continue_on_error"),
        disabled=step.flag("disabled"),
        pool=step.below("runner").maybe_text("pool"),
        line=line,
        path=path,
    )


def retry(own: Fields | None, default: Fields | None) -> Retry | None:
    """The step's policy; fields that it leaves out come from ``defaults.retry``."""
    if own is None and default is None:
        return None
    merged = Fields({**(default.data if default else {}), **(own.data if own else {})})
    usual = Retry()
    return Retry(
        max_attempts=merged.whole("max_attempts", usual.max_attempts),
        initial_interval=merged.seconds("initial_interval", usual.initial_interval),
        backoff=merged.number("backoff", usual.backoff),
        max_interval=merged.seconds("max_interval", usual.max_interval),
        jitter=merged.text("jitter", usual.jitter),
        only_on=merged.words("only_on"),
        not_on=merged.words("not_on"),
    )


def call(found: Fields, site: Site) -> Call:
    """A call of an action; its inputs are marked with the encodings that the action asks for."""
    uses = found.text("uses")
    spec = site.actions[uses]
    return Call(uses=uses, with_=marked(found.mapping("with"), spec.encodings, spec.static_inputs))


def action(shared: Common, step: Fields, site: Site) -> Step:
    """An action step; effect and idempotence come from the action unless the step says otherwise."""
    own = call(step, site)
    effect, idempotent = site.actions[own.uses].effect_for(own.with_)
    probe = step.maybe_below("probe")
    undo = step.maybe_below("compensate")
    slots = step.maybe_below("concurrency")
    return ActionStep(
        **shared,
        call=own,
        effect=Effect(step.text("effect", effect)),
        idempotent=step.flag("idempotent") if step.has("idempotent") else idempotent,
        heartbeat=step.maybe_seconds("heartbeat"),
        concurrency=Slots(slots.template("key"), slots.whole("limit", 1)) if slots else None,
        rate=step.text("rate"),
        circuit=step.template("circuit") if step.has("circuit") else None,
        probe=Probe(call(probe, site), probe.expression("done_when")) if probe else None,
        compensate=call(undo, site) if undo else None,
    )


def group(shared: Common, step: Fields, site: Site) -> Step:
    """A group."""
    wanted = step.below("on_failure")
    on_failure = OnFailure(compensate=wanted.flag("compensate"), then=wanted.text("then", OnFailure().then))
    return GroupStep(**shared, steps=site.inside["steps",], on_failure=on_failure)


def parallel(shared: Common, step: Fields, site: Site) -> Step:
    """Branches side by side."""
    return ParallelStep(
        **shared,
        steps=site.inside["steps",],
        concurrency=step.maybe_whole("concurrency"),
        fail_fast=step.flag("fail_fast"),
    )


def for_each(shared: Common, step: Fields, site: Site) -> Step:
    """Steps for each item."""
    return ForEachStep(
        **shared,
        items=step.expression("items"),
        steps=site.inside["steps",],
        as_=step.text("as", "item"),
        concurrency=step.whole("concurrency", 1),
        on_item_failure=step.text("on_item_failure", "fail"),
    )


def switch(shared: Common, step: Fields, site: Site) -> Step:
    """The first case that holds."""
    return SwitchStep(
        **shared,
        cases=tuple(
            Case(case.expression("when"), site.inside["cases", n, "steps"])
            for n, case in enumerate(step.each("cases"))
        ),
        default=site.inside.get(("default",)),
    )


def wait(shared: Common, step: Fields, _site: Site) -> Step:
    """A pause."""
    return WaitStep(**shared, for_=step.maybe_seconds("for"), until=step.maybe_expression("until"))


def wait_until(shared: Common, step: Fields, site: Site) -> Step:
    """A repeated look. How long it may take in all is its ``timeout``."""
    shared["schedule_to_close_timeout"] = None
    return WaitUntilStep(
        **shared,
        call=call(step, site),
        until=step.expression("until"),
        sustained=step.seconds("sustained", 0.0),
        interval=step.seconds("interval", 15.0),
    )


def approval(shared: Common, step: Fields, _site: Site) -> Step:
    """A question to humans."""
    who = step.below("approvers")
    usual = Approvers()
    return ApprovalStep(
        **shared,
        prompt=step.template("prompt"),
        guards=step.words("for"),
        approvers=Approvers(
            teams=who.words("teams"),
            users=who.words("users"),
            min=who.whole("min", usual.min),
            min_per_team={
                team: who.below("min_per_team").whole(team, 1) for team in who.mapping("min_per_team")
            },
            exclude=tuple(dict.fromkeys((*usual.exclude, *who.words("exclude")))),
        ),
        inputs=inputs(step),
        channels=tuple(
            {key: str(value) for key, value in channel.data.items()} for channel in step.each("channels")
        ),
        escalate=tuple(
            Escalation(after=one.seconds("after", 0.0), to=one.texts("to")) for one in step.each("escalate")
        ),
        on_timeout=step.text("on_timeout", "reject"),
        on_reject=step.text("on_reject", "fail"),
    )


def manual(shared: Common, step: Fields, _site: Site) -> Step:
    """Something that a person does."""
    who = step.below("assignees")
    return ManualStep(
        **shared,
        prompt=step.template("prompt"),
        inputs=inputs(step),
        teams=who.words("teams"),
        users=who.words("users"),
    )


def subrun(shared: Common, step: Fields, _site: Site) -> Step:
    """A run of another runbook."""
    return SubrunStep(**shared, runbook=step.text("runbook"), inputs=dict(step.mapping("inputs")))


def set_values(shared: Common, step: Fields, _site: Site) -> Step:
    """Computed values."""
    return SetStep(**shared, values=dict(step.mapping("values")))


def fail(shared: Common, step: Fields, _site: Site) -> Step:
    """An end with a message."""
    return FailStep(**shared, message=step.template("message"))


def inputs(holder: Fields) -> tuple[InputSpec, ...]:
    """The typed inputs of a runbook or an approval."""
    return tuple(input_spec(name, found) for name, found in holder.named("inputs"))


def input_spec(name: str, found: Fields) -> InputSpec:
    """One input; the default of a duration is in seconds, of a number a float, as a run will see it."""
    kind = InputType(found.text("type"))
    default = found.data.get("default")
    if isinstance(default, (str, int, float)) and not isinstance(default, bool):
        if kind is InputType.DURATION:
            default = seconds(default)
        elif kind is InputType.NUMBER and not isinstance(default, str):
            default = float(default)
    return InputSpec(
        name=name,
        type=kind,
        description=found.text("description"),
        required=found.flag("required"),
        default=default,
        has_default=found.has("default"),
        pattern=found.maybe_text("pattern"),
        values=found.words("values"),
        min=found.maybe_number("min"),
        max=found.maybe_number("max"),
        max_length=found.maybe_whole("max_length"),
        secret=found.flag("secret"),
    )
