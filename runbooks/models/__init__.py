"""Runbooks, their immutable versions, runs and everything that a run leaves behind."""

from runbooks.models.approval import Approval, Escalation, Vote
from runbooks.models.run import RefusedStart, Run, RunEvent
from runbooks.models.runbook import Runbook, RunbookVersion, Schedule, ScheduleTick
from runbooks.models.safety import Circuit, KillSwitch, TokenBucket
from runbooks.models.step import Artifact, LogLine, StepAttempt, StepRun
from runbooks.models.worker import Worker

__all__ = [
    "Approval",
    "Artifact",
    "Circuit",
    "Escalation",
    "KillSwitch",
    "LogLine",
    "RefusedStart",
    "Run",
    "RunEvent",
    "Runbook",
    "RunbookVersion",
    "Schedule",
    "ScheduleTick",
    "StepAttempt",
    "StepRun",
    "TokenBucket",
    "Vote",
    "Worker",
]
