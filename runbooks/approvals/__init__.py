"""Approvals: asking people about a plan, their answers, and what ends a question without one."""

from runbooks.approvals.asking import Question, ask
from runbooks.approvals.closing import close_open, expire_due, lost_standing, recheck_votes, void
from runbooks.approvals.deciding import DecisionResult, Verdict, decide, input_specs, may_decide
from runbooks.approvals.rows import read

__all__ = [
    "DecisionResult",
    "Question",
    "Verdict",
    "ask",
    "close_open",
    "decide",
    "expire_due",
    "input_specs",
    "lost_standing",
    "may_decide",
    "read",
    "recheck_votes",
    "void",
]
