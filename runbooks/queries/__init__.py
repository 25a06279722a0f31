"""What one may read of runbooks, runs and approvals: scoped, in a constant number of queries, in words."""

from runbooks.queries.circumstances import Circumstance, circumstances, if_denied, if_nobody_answers
from runbooks.queries.figures import Figures, figures_of, runbook_figures
from runbooks.queries.graphs import GraphNode, GraphView, definition_graph, graph
from runbooks.queries.readiness import Check, readiness_of
from runbooks.queries.schedules import Plan, schedules_of
from runbooks.queries.scope import (
    approval_visible_to,
    approvals_for,
    approvals_visible_to,
    run_visible_to,
    runbook_visible_to,
    runbooks_visible_to,
    runs_visible_to,
)
from runbooks.queries.steps import (
    StepEvent,
    StepView,
    current_node,
    definition_or_none,
    every_view,
    history_of,
    log_of,
    read_inputs,
    steps_of,
)
from runbooks.queries.words import (
    no_worker,
    state_in_words,
    states_in_words,
    step_in_words,
    what_to_do,
    why_skipped,
)

__all__ = [
    "Check",
    "Circumstance",
    "Figures",
    "GraphNode",
    "GraphView",
    "Plan",
    "StepEvent",
    "StepView",
    "approval_visible_to",
    "approvals_for",
    "approvals_visible_to",
    "circumstances",
    "current_node",
    "definition_graph",
    "definition_or_none",
    "every_view",
    "figures_of",
    "graph",
    "history_of",
    "if_denied",
    "if_nobody_answers",
    "log_of",
    "no_worker",
    "read_inputs",
    "readiness_of",
    "run_visible_to",
    "runbook_figures",
    "runbook_visible_to",
    "runbooks_visible_to",
    "runs_visible_to",
    "schedules_of",
    "state_in_words",
    "states_in_words",
    "step_in_words",
    "steps_of",
    "what_to_do",
    "why_skipped",
]
