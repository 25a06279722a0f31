"""prometheus.query gives the one value there is, says when there is none, and passes Prometheus' errors on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from handrail.accounts.models import Project
from handrail.catalog.models import Connection
from runbooks.steps.base import ActionContext, Failure, Success
from runbooks.steps.prometheus import PrometheusQuery

pytestmark = pytest.mark.django_db


@pytest.fixture
def context(
    project: Project, httpserver: HTTPServer, make_context: Callable[..., ActionContext]
) -> ActionContext:
    Connection.objects.create(
        project=project,
        name="prometheus",
        base_url=httpserver.url_for("/prom"),
        allowed_networks=["127.0.0.0/8"],
    )
    return make_context(project)


def ask(context: ActionContext, httpserver: HTTPServer, answer: Any, status: int = 200) -> Success | Failure:
    httpserver.expect_request("/prom/api/v1/query", query_string={"query": "up"}).respond_with_json(
        answer, status=status
    )
    return PrometheusQuery().run({"query": " up "}, context)


def vector(*values: str) -> dict[str, Any]:
    series = [{"metric": {"pod": str(n)}, "value": [1700000000.1, value]} for n, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": series}}


def outputs(outcome: Success | Failure) -> dict[str, Any]:
    assert isinstance(outcome, Success), outcome
    return dict(outcome.outputs)


def test_one_series_has_a_value(context: ActionContext, httpserver: HTTPServer) -> None:
    found = outputs(ask(context, httpserver, vector("0.031")))
    assert found["value"] == 0.031
    assert found["result"] == [{"metric": {"pod": "0"}, "value": [1700000000.1, "0.031"]}]


def test_a_scalar_has_a_value(context: ActionContext, httpserver: HTTPServer) -> None:
    scalar = {"status": "success", "data": {"resultType": "scalar", "result": [1700000000, "7"]}}
    assert outputs(ask(context, httpserver, scalar))["value"] == 7.0


@pytest.mark.parametrize(("values", "count"), [([], 0), (["1", "2"], 2), (["NaN"], 1), (["+Inf"], 1)])
def test_what_has_not_one_finite_value_has_none(
    context: ActionContext, httpserver: HTTPServer, values: list[str], count: int
) -> None:
    found = outputs(ask(context, httpserver, vector(*values)))
    assert found["value"] is None
    assert (found["count"], found["empty"]) == (count, count == 0)


@pytest.mark.parametrize(
    ("status", "kind", "code", "retryable"),
    [
        (400, "bad_data", "invalid_input", False),
        (422, "execution", "invalid_input", False),
        (503, "timeout", "timeout", True),
        (500, "internal", "server_error", True),
    ],
)
def test_an_error_of_prometheus_is_passed_on_in_its_words(
    context: ActionContext, httpserver: HTTPServer, status: int, kind: str, code: str, retryable: bool
) -> None:
    outcome = ask(context, httpserver, {"status": "error", "errorType": kind, "error": "parse error"}, status)
    assert isinstance(outcome, Failure)
    assert (outcome.code, outcome.retryable) == (code, retryable)
    assert "parse error" in outcome.message


@pytest.mark.parametrize(
    "answer",
    [[], {}, "x", {"status": "success"}, {"status": "success", "data": {"resultType": "x", "result": []}}],
)
def test_an_answer_that_is_not_prometheus_is_refused(
    context: ActionContext, httpserver: HTTPServer, answer: Any
) -> None:
    outcome = ask(context, httpserver, answer)
    assert isinstance(outcome, Failure)
    assert outcome.code == "bad_response"


def test_without_a_connection_it_says_so(
    make_context: Callable[..., ActionContext], project: Project
) -> None:
    outcome = PrometheusQuery().run({"query": "up"}, make_context(project))
    assert isinstance(outcome, Failure)
    assert outcome.code == "connection_not_found"


def test_an_empty_query_is_refused(make_context: Callable[..., ActionContext]) -> None:
    outcome = PrometheusQuery().run({"query": "  "}, make_context())
    assert isinstance(outcome, Failure)
    assert outcome.code == "invalid_input"
