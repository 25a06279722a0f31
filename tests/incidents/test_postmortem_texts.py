"""The draft's sentences: each leans on events that exist, none can be forged by text, all stories are told."""

from __future__ import annotations

import html as html_module
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from handrail.incidents.metrics import Timestamps
from handrail.incidents.postmortems import telling
from handrail.incidents.postmortems.compose import SECTIONS, compose
from handrail.incidents.postmortems.facts import Event, Facts
from handrail.incidents.postmortems.runs import waits
from handrail.incidents.postmortems.telling import MAX_TIMELINE
from handrail.incidents.postmortems.wording import quoted

START = datetime(2026, 11, 22, 10, 2, tzinfo=UTC)


class Story:
    """Builds an incident's timeline, an event a minute."""

    def __init__(self, **facts: Any) -> None:
        self.events: list[Event] = []
        self.facts = facts

    def add(
        self, kind: str, text: str = "", /, *, by_human: bool = False, actor: str = "engine", **data: Any
    ) -> Story:
        n = len(self.events) + 1
        at = START + timedelta(minutes=n)
        self.events.append(
            Event(
                id=f"e{n}", n=n, kind=kind, text=text or kind, at=at, actor=actor, human=by_human, data=data
            )
        )
        return self

    def opened(self, **data: Any) -> Story:
        return self.add("incident.opened", severity="SEV2", **data)

    def fired(self, name: str = "HighErrorRate") -> Story:
        return self.add("alert.fired", alert="a1", title=name, severity="critical", source="alertmanager")

    def run(self, *steps: tuple[str, dict[str, Any]], state: str = "succeeded") -> Story:
        facts = {"run": "r1", "runbook": "high-error-rate", "version": 7}
        self.add("run.started", **facts)
        for kind, data in steps:
            self.add(kind, **{**facts, "step": "shift", "title": "Shift traffic", **data})
        return self.add("run.finished", **facts, state=state, duration=240.0)

    def resolved(self, *, human: bool = False) -> Story:
        return self.add(
            "incident.resolved", by_human=human, actor="ada" if human else "sweeper", reason="all is quiet"
        )

    def told(self) -> Facts:
        end = next((event.at for event in reversed(self.events) if event.kind == "incident.resolved"), None)
        given: dict[str, Any] = {
            "name": "INC-12",
            "title": "High error rate on checkout",
            "severity": "SEV2",
            "status": "resolved",
            "service": "checkout",
            "environment": "eu-1",
            "commander": "",
            "flaps": 0,
            "times": Timestamps(started=START, detected=START + timedelta(seconds=40), resolved=end),
            **self.facts,
        }
        return Facts(events=self.events, **given)


def text_of(facts: Facts, key: str = "") -> str:
    """The lines without Markdown's escapes, of one section or of all."""
    lines = [line.text for section in compose(facts) if key in ("", section.key) for line in section.lines]
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", "\n".join(lines))


def check_evidence(facts: Facts) -> None:
    known = {event.id for event in facts.events}
    for section in compose(facts):
        for line in section.lines:
            assert line.text.strip()
            if line.prompt:
                assert not line.events
            else:
                assert line.events, line.text
                assert set(line.events) <= known


MAIN = (
    Story(
        times=Timestamps(
            started=START,
            detected=START + timedelta(seconds=40),
            acknowledged=START + timedelta(minutes=3),
            contained=START + timedelta(minutes=9),
            resolved=START + timedelta(minutes=12),
        )
    )
    .opened()
    .fired()
    .add("incident.acknowledged", by_human=True, actor="ada")
    .run(
        ("step.succeeded", {"duration": 2.0}),
        ("approval.asked", {"title": "Fail over", "step": "ask"}),
        (
            "approval.decided",
            {
                "title": "Fail over",
                "step": "ask",
                "decision": "approved",
                "by": "lin",
                "waited_seconds": 125.0,
            },
        ),
    )
    .add("incident.contained", by="high-error-rate v7")
    .add("alert.resolved", alert="a1", seen_count=214)
    .resolved()
)


def test_the_main_story_is_told_from_the_alert_to_the_resolution() -> None:
    facts = MAIN.told()
    summary = text_of(facts, "summary")
    assert "On 22 November 2026 at 10:02:00 UTC, HighErrorRate began on checkout in eu-1;" in summary
    assert "alertmanager told of it after 40 s." in summary
    assert "Runbook high-error-rate v7 succeeded after 4 min." in summary
    assert "It was contained by high-error-rate v7 after 9 min." in summary
    assert "It was resolved by itself after 12 min, as all is quiet." in summary
    assert "“Fail over” was approved by lin after 2 min 5 s" in text_of(facts, "containment")
    assert "2 min 5 s of 12 min (17%) were spent waiting for approval" in text_of(facts, "went_badly")
    assert "Acknowledged after 2 min 20 s by ada" in text_of(facts, "header")
    assert "HighErrorRate fired for 8 min (at worst critical, sent 214 times)" in text_of(facts, "impact")
    assert "Affected: checkout in eu-1" in text_of(facts, "impact")
    check_evidence(facts)


def test_without_runs_it_says_so_and_suggests_a_runbook() -> None:
    facts = Story().opened().fired().resolved().told()
    assert "No runbook ran" in text_of(facts, "containment")
    assert "Write a runbook for HighErrorRate" in text_of(facts, "action_items")
    assert "Acknowledged by nobody" in text_of(facts, "header")
    assert "No human acknowledged it" in text_of(facts, "went_badly")
    check_evidence(facts)


def test_flaps_denials_expiries_and_unknown_outcomes_are_named() -> None:
    steps: list[tuple[str, dict[str, Any]]] = [
        ("step.retrying", {"error": {"message": "connection reset"}}),
        ("step.failed", {"error": {"message": "no such region"}, "duration": 3}),
        ("step.uncertain", {"title": "Fail over"}),
        ("step.decided", {"title": "Fail over", "choice": "done", "by": "lin", "reason": "I looked"}),
        ("step.compensated", {}),
        (
            "approval.decided",
            {"decision": "denied", "by": "lin", "reason": "too early", "waited_seconds": 600},
        ),
        ("approval.expired", {"title": "Again"}),
    ]
    facts = (
        Story(flaps=2).opened().fired().run(*steps, state="failed").add("incident.reopened").resolved().told()
    )
    badly = text_of(facts, "went_badly")
    for words in (
        "“Shift traffic” failed",
        "“Shift traffic” had to be repeated",
        "Nobody knew whether “Fail over” had happened",
        "“Shift traffic” was denied by lin: too early",
        "Nobody answered the question of “Again” in time",
        "It came back 2 times after it was resolved",
    ):
        assert words in badly
    contained = text_of(facts, "containment")
    assert "“Fail over” was settled as done by lin: I looked" in contained
    assert "“Shift traffic” was undone" in contained
    items = text_of(facts, "action_items")
    assert "Find out why “Shift traffic” failed (no such region)" in items
    assert "Give “Fail over” a probe" in items
    assert "Shorten the wait" in items
    check_evidence(facts)


def test_a_person_who_noticed_first_is_named() -> None:
    facts = Story().opened(human=True).resolved(human=True).told()
    assert "A human noticed first: engine reported it" in text_of(facts, "detection")
    assert "It was resolved by ada after" in text_of(facts, "summary")
    assert "A human noticed it before any alert did" in text_of(facts, "went_badly")
    check_evidence(facts)


def test_who_acknowledged_is_who_did_it_at_that_time_and_not_the_next_person() -> None:
    seen = Timestamps(started=START, detected=START, acknowledged=START + timedelta(minutes=1))
    reported = Story(times=seen).add("incident.opened", by_human=True, actor="ann", human=True)
    facts = reported.add("incident.mitigated", by_human=True, actor="bob").told()
    assert "Acknowledged after 1 min by ann" in text_of(facts, "header")
    fired = Story(times=seen).opened().fired().add("incident.mitigated", by_human=True, actor="bob")
    facts = fired.add("incident.corrected", by_human=True, actor="lin").told()
    assert "Acknowledged after 1 min\n" in text_of(facts, "header") + "\n"
    check_evidence(facts)


def test_of_two_containments_the_one_that_held_is_told() -> None:
    times = Timestamps(started=START, detected=START, contained=START + timedelta(minutes=5))
    story = Story(times=times, flaps=1).opened().add("incident.contained", by="shift v1").resolved()
    story.add("incident.reopened").add("incident.contained", by="restart v2").resolved()
    facts = story.told()
    assert "It was contained by restart v2 after 5 min" in text_of(facts, "summary")
    well = next(section for section in compose(facts) if section.key == "went_well")
    assert [line.events for line in well.lines if "verified" in line.text] == [("e5",)]


def test_the_work_for_many_runs_grows_with_the_events_and_not_with_their_square(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[int] = []

    def counted(facts: Facts) -> list[tuple[Event, timedelta]]:
        looks.append(len(facts.events))
        return waits(facts)

    monkeypatch.setattr(telling, "waits", counted)
    story = Story().opened()
    for n in range(50):
        story.add("run.started", run=f"r{n}", runbook="high-error-rate", version=7)
    telling.containment(story.resolved().told())
    assert len(looks) == 1


def test_an_incident_without_a_timeline_gives_prompts_only() -> None:
    sections = compose(Story().told())
    assert [section.key for section in sections] == [key for key, _, _ in SECTIONS]
    assert all(line.prompt for section in sections for line in section.lines)


def test_a_very_long_timeline_stays_readable_and_says_what_it_leaves_out() -> None:
    story = Story().opened().fired()
    for _ in range(2_000):
        story.add("step.retrying", run="r1", step="x")
    for n in range(400):
        story.add("note", f"note {n}", by_human=True)
    facts = story.resolved().told()
    timeline = next(section for section in compose(facts) if section.key == "timeline")
    assert len(timeline.lines) == MAX_TIMELINE + 1
    assert "2,253 further events between" in timeline.lines[-1].text.replace("\\", "")
    check_evidence(facts)


HOSTILE = st.text(max_size=80) | st.sampled_from(
    """<script>alert(1)</script>; [x](javascript:alert(1)); # heading; a\n\n- b; `code`; ![x](http://x/y.png)
    https://evil.example/?a=b; www.evil.example; @everyone; | a | b |; \u202eesrever; &lt;b&gt;; \x00; 1. x; *b*
    [1]: http://x; ~~~; ---; <http://x>; \\""".replace("\n    ", "; ").split("; ")
)
KIND_WORDS = """incident.opened alert.fired alert.changed alert.resolved incident.severity_changed run.started
    run.finished run.stopped step.succeeded step.failed step.skipped step.uncertain step.decided approval.asked
    approval.decided approval.expired incident.acknowledged incident.reopened incident.contained incident.resolved
    incident.identified trigger.failed note a.new.kind"""
NAME_WORDS = """run runbook version step title error duration decision by reason waited_seconds alert severity source
    seen_count from to human state outcome choice"""
KINDS = st.sampled_from(KIND_WORDS.split())
NAMES = st.sampled_from(NAME_WORDS.split())
VALUES = (
    HOSTILE
    | st.none()
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.just({"message": "x"})
    | st.just([1])
)
DATA = st.dictionaries(NAMES, VALUES, max_size=8)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(KINDS, HOSTILE, DATA), max_size=25), HOSTILE)
def test_whatever_the_events_say_every_line_has_its_evidence_and_no_markup_comes_through(
    happened: list[tuple[str, str, dict[str, Any]]], title: str
) -> None:
    story = Story(title=title, service=title)
    for kind, text, data in happened:
        story.add(kind, text, by_human=data.get("human") is True, **data)
    facts = story.told()
    check_evidence(facts)
    for section in compose(facts):
        for line in section.lines:
            rendered = (
                MarkdownIt("commonmark", {"html": True})
                .enable(["table", "strikethrough"])
                .render(f"- {line.text}")
            )
            tags = set(re.findall(r"<(\w+)", rendered))
            assert tags <= {"ul", "li", "strong", "p"}, rendered


@given(HOSTILE)
def test_quoted_text_is_shown_exactly(text: str) -> None:
    rendered = MarkdownIt("commonmark", {"html": True}).renderInline(quoted(text, 500))
    assert "<" not in rendered
    shown = html_module.unescape(rendered)
    visible = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]+", " ", text)
    assert shown.split() == visible.split()
