"""Runbooks of every kind of step, nested as deep as a reader would follow, for Hypothesis to choose from."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from runbooks.language.definition import (
    ApprovalStep,
    Call,
    Case,
    Effect,
    FailStep,
    ForEachStep,
    GroupStep,
    ManualStep,
    OnFailure,
    ParallelStep,
    Probe,
    Retry,
    Runbook,
    SetStep,
    Step,
    SubrunStep,
    SwitchStep,
    WaitStep,
    WaitUntilStep,
)
from tests.runbooks.engine.world import action, runbook

make_group: Callable[..., Step] = GroupStep
make_loop: Callable[..., Step] = ForEachStep
make_switch: Callable[..., Step] = SwitchStep
make_parallel: Callable[..., Step] = ParallelStep
THRICE = Retry(max_attempts=3, initial_interval=5.0, jitter="none")


def simple(kind: str, name: str, timeout: float | None) -> Step:
    """A step that is neither a call nor holds others."""
    made: dict[str, Step] = {
        "set": SetStep(id=name, values={"x": 1}),
        "wait": WaitStep(id=name, for_=20.0),
        "wait_until": WaitUntilStep(
            id=name,
            call=Call("noop"),
            until="result.ok",
            sustained=10.0,
            interval=5.0,
            timeout=timeout or 60.0,
        ),
        "approval": ApprovalStep(id=name, prompt="?", on_reject="continue" if timeout else "fail"),
        "manual": ManualStep(id=name, prompt="Do it.", timeout=timeout),
        "runbook": SubrunStep(id=name, runbook="r", timeout=timeout),
    }
    return made[kind]


SIMPLE = ("set", "wait", "wait_until", "approval", "manual", "runbook")
BLOCKS = ("group", "parallel", "switch", "for_each")


@st.composite
def steps(draw: st.DrawFn, depth: int = 2, prefix: str = "s") -> tuple[Step, ...]:
    """One to three steps; blocks hold others down to ``depth``."""
    found: list[Step] = []
    for n in range(draw(st.integers(1, 3))):
        name = f"{prefix}{n}"
        kinds = ["action", "action", *SIMPLE, "fail"] + ([*BLOCKS] * 2 if depth else [])
        kind = draw(st.sampled_from(kinds))
        common: dict[str, object] = {
            "when": draw(st.sampled_from([None, None, None, "false"])),
            "continue_on_error": draw(st.booleans()),
        }
        if kind == "action":
            found.append(
                action(
                    name,
                    compensate=draw(st.sampled_from([Call("noop"), Call("noop"), None])),
                    probe=Probe(Call("noop"), "result.ok") if draw(st.booleans()) else None,
                    idempotent=draw(st.booleans()),
                    effect=draw(st.sampled_from([Effect.REVERSIBLE, Effect.IRREVERSIBLE, Effect.READ])),
                    retry=draw(st.sampled_from([None, THRICE])),
                    **common,
                )
            )
        elif kind in BLOCKS:
            found.append(draw(block(kind, name, depth, common)))
        elif kind != "fail":
            found.append(simple(kind, name, draw(st.sampled_from([None, 20.0]))))
        elif draw(st.integers(0, 3)) == 0:
            found.append(FailStep(id=name, message="No."))
    return tuple(found)


@st.composite
def block(draw: st.DrawFn, kind: str, name: str, depth: int, common: dict[str, object]) -> Step:
    """A step that holds steps."""
    timeout = draw(st.sampled_from([None, 30.0]))
    if kind == "switch":
        cases = tuple(
            Case(draw(st.sampled_from(["true", "false"])), draw(steps(depth - 1, f"{name}_{case}_")))
            for case in range(draw(st.integers(1, 2)))
        )
        other = draw(st.sampled_from([None, (action(f"{name}_else"),)]))
        return make_switch(id=name, cases=cases, default=other, timeout=timeout, **common)
    inner = draw(steps(depth - 1, f"{name}_"))
    if kind == "group":
        failure = OnFailure(
            draw(st.sampled_from([True, True, False])), draw(st.sampled_from(["continue", "fail"]))
        )
        return make_group(id=name, steps=inner, on_failure=failure, timeout=timeout, **common)
    if kind == "parallel":
        limit, fast = draw(st.sampled_from([None, 1, 2])), draw(st.booleans())
        return make_parallel(
            id=name, steps=inner, concurrency=limit, fail_fast=fast, timeout=timeout, **common
        )
    return make_loop(
        id=name,
        items=draw(st.sampled_from(["[]", "[1, 2]", "[1, 2, 3]"])),
        steps=inner,
        concurrency=draw(st.integers(1, 3)),
        on_item_failure=draw(st.sampled_from(["fail", "continue"])),
        timeout=timeout,
        **common,
    )


@st.composite
def undoable(draw: st.DrawFn) -> Runbook:
    """A plain runbook of calls that can be undone, some of them in a group, for those who stop it to undo."""
    made = [
        action(
            f"u{n}",
            compensate=Call("noop"),
            probe=draw(st.sampled_from([None, Probe(Call("noop"), "result.ok")])),
            idempotent=draw(st.booleans()),
            schedule_to_close_timeout=draw(st.sampled_from([None, None, 60.0])),
        )
        for n in range(draw(st.integers(2, 5)))
    ]
    cut = draw(st.integers(0, len(made) - 1))
    group = make_group(
        id="g", steps=tuple(made[cut:]), on_failure=OnFailure(draw(st.booleans()), "fail"), timeout=None
    )
    return runbook(*made[:cut], group, finally_=draw(st.sampled_from([(), (action("finally_1"),)])))


@st.composite
def runbooks(draw: st.DrawFn) -> Runbook:
    """A runbook with or without what runs on failure and at the end."""
    return runbook(
        *draw(steps()),
        on_failure=draw(st.sampled_from([(), (action("on_failure_1"),)])),
        finally_=draw(
            st.sampled_from([(), (action("finally_1"), action("finally_2", continue_on_error=True))])
        ),
        outputs=draw(st.sampled_from([{}, {"said": "${{ steps.s0.status }}"}])),
    )
