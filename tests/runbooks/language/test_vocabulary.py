"""The words of the language: its schema, its reference page, and those of the engine and of the alerts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import jsonschema_rs

from handrail.alerts.events import Severity
from handrail.alerts.models import Alert, Source
from handrail.incidents.models import Incident
from runbooks.engine.transitions import RunStatus, StepStatus
from runbooks.execution.facts import alert_names, incident_names
from runbooks.language import ActionSpec, json_schema, parse
from runbooks.language.document import DOCUMENT
from runbooks.language.kinds import COMMON, KINDS
from runbooks.language.scope import ALERT_FIELDS, INCIDENT_FIELDS, RUN_STATUSES, SEVERITIES, STEP_STATUSES
from runbooks.language.syntax import FUNCTIONS
from runbooks.language.tokens import MACROS
from tests.runbooks.language.samples import SAMPLE


def test_the_schema_is_valid_and_accepts_what_the_parser_accepts(actions: Mapping[str, ActionSpec]) -> None:
    schema = json_schema(actions)
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.Draft202012Validator(schema)
    document = parse(SAMPLE, actions=actions).document
    assert [error.message for error in validator.iter_errors(document)] == []
    wrong = parse(SAMPLE.replace("connection: traffic", "conection: traffic"), actions=actions).document
    assert not validator.is_valid(wrong)
    unknown = parse(SAMPLE.replace("uses: noop", "uses: nope"), actions=actions).document
    assert not validator.is_valid(unknown)


def test_every_field_of_the_schema_is_described(actions: Mapping[str, ActionSpec]) -> None:
    schema = json_schema(actions)
    for name in KINDS:
        for field, part in schema["$defs"][f"kind_{name}"]["properties"].items():
            assert part["description"], (name, field)


def test_a_schema_given_out_may_be_changed_without_harm(actions: Mapping[str, ActionSpec]) -> None:
    json_schema(actions)["properties"].clear()
    assert json_schema(actions)["properties"]


def test_the_words_of_the_language_are_the_words_of_the_engine_and_of_the_alerts() -> None:
    assert sorted(Severity) == sorted(SEVERITIES)
    assert sorted(StepStatus) == sorted(STEP_STATUSES)
    assert sorted(RunStatus) == sorted(RUN_STATUSES)


def test_what_may_be_read_of_alerts_and_incidents_is_what_runs_are_given() -> None:
    alert = Alert(source=Source(name="prometheus"), started_at=datetime.now(UTC))
    assert sorted(alert_names(alert)) == sorted(ALERT_FIELDS)
    assert sorted(incident_names(Incident())) == sorted(INCIDENT_FIELDS)


def test_the_reference_page_names_every_field_and_function() -> None:
    page = (Path(__file__).parents[3] / "docs/reference/runbook-language.md").read_text()
    names = {*DOCUMENT, *COMMON, *KINDS, *FUNCTIONS, *MACROS, *ALERT_FIELDS, *INCIDENT_FIELDS, *STEP_STATUSES}
    for kind in KINDS.values():
        names |= set(kind.fields)
    assert sorted(name for name in names if f"`{name}`" not in page) == []
