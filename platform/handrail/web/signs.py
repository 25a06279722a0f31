"""The vocabulary of signs: the word, icon and colour tone of each state and severity, on every page alike."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sign:
    """How a state looks: `tone` a CSS suffix (`tone-ok`), `icon` a name in the sprite, `word` what is read."""

    tone: str
    icon: str
    word: str


NEUTRAL_ICON = "circle"

SIGNS: dict[str, Sign] = {
    # steps
    "pending": Sign("neutral", "circle-dashed", "not started"),
    "ready": Sign("neutral", "circle-dot", "ready"),
    "claimed": Sign("running", "loader", "starting"),
    "executing": Sign("running", "loader", "running"),
    "running": Sign("running", "loader", "running"),
    "awaiting_approval": Sign("waiting", "hand", "waiting for approval"),
    "awaiting_human": Sign("waiting", "user", "waiting for a person"),
    "waiting": Sign("waiting", "hourglass", "waiting"),
    "retrying": Sign("waiting", "refresh", "retrying"),
    "ok": Sign("ok", "check", "ok"),
    "succeeded": Sign("ok", "check", "succeeded"),
    "done": Sign("ok", "check", "done"),
    "failed": Sign("failed", "x", "failed"),
    "timed_out": Sign("failed", "timer", "timed out"),
    "skipped": Sign("skipped", "skip-forward", "skipped"),
    "cancelled": Sign("skipped", "ban", "cancelled"),
    "canceled": Sign("skipped", "ban", "cancelled"),
    "undone": Sign("undone", "undo", "undone"),
    "compensated": Sign("undone", "undo", "undone"),
    "compensating": Sign("undone", "undo", "undoing"),
    "compensation_failed": Sign("failed", "octagon-x", "undo failed"),
    "uncertain": Sign("unknown", "circle-help", "outcome unknown"),
    "unknown": Sign("unknown", "circle-help", "outcome unknown"),
    # runs
    "created": Sign("neutral", "circle-dashed", "created"),
    "queued": Sign("neutral", "clock", "queued"),
    "cancelling": Sign("waiting", "circle-stop", "stopping"),
    "stopping": Sign("waiting", "circle-stop", "stopping"),
    "stopped": Sign("skipped", "circle-stop", "stopped"),
    "frozen": Sign("waiting", "circle-pause", "frozen"),
    "paused": Sign("waiting", "circle-pause", "paused"),
    "handed_over": Sign("waiting", "hand", "handed over"),
    "completed": Sign("ok", "check", "completed"),
    "recovered": Sign("ok", "check", "recovered"),
    "not_recovered": Sign("failed", "x", "not recovered"),
    # incidents
    "triage": Sign("failed", "flame", "triage"),
    "open": Sign("failed", "flame", "open"),
    "triggered": Sign("failed", "flame", "triggered"),
    "detected": Sign("failed", "flame", "detected"),
    "acknowledged": Sign("waiting", "eye", "acknowledged"),
    "investigating": Sign("waiting", "search", "investigating"),
    "identified": Sign("waiting", "search", "identified"),
    "contained": Sign("running", "shield-check", "contained"),
    "mitigated": Sign("running", "shield-check", "mitigated"),
    "monitoring": Sign("running", "activity", "monitoring"),
    "resolved": Sign("ok", "circle-check", "resolved"),
    "closed": Sign("skipped", "archive", "closed"),
    "reopened": Sign("failed", "flame", "reopened"),
    "merged": Sign("skipped", "link", "merged"),
    # circuits
    "circuit.open": Sign("failed", "octagon-alert", "open"),
    "circuit.kept": Sign("failed", "hand", "kept open"),
    "circuit.half_open": Sign("waiting", "eye", "being tried"),
    "circuit.closed": Sign("ok", "check", "closed"),
    # alerts
    "firing": Sign("failed", "bell", "firing"),
    "silenced": Sign("skipped", "ban", "silenced"),
    # approvals
    "approval.pending": Sign("waiting", "hand", "waiting for approval"),
    "approve": Sign("ok", "check", "approved"),
    "deny": Sign("failed", "x", "denied"),
    "requested": Sign("waiting", "hand", "asked"),
    "approved": Sign("ok", "check", "approved"),
    "denied": Sign("failed", "x", "denied"),
    "rejected": Sign("failed", "x", "rejected"),
    "expired": Sign("failed", "timer", "expired"),
    "void": Sign("skipped", "ban", "void"),
    "voided": Sign("skipped", "ban", "void"),
    "withdrawn": Sign("skipped", "undo", "withdrawn"),
    # versions and postmortems
    "draft": Sign("neutral", "pencil", "draft"),
    "in_review": Sign("waiting", "eye", "in review"),
    "amended": Sign("ok", "pencil", "amended"),
    "published": Sign("ok", "upload", "published"),
    "live": Sign("ok", "play", "live"),
    "canary": Sign("waiting", "git-branch", "canary"),
    "retired": Sign("skipped", "archive", "retired"),
    # deliveries and the machine room
    "received": Sign("running", "inbox", "received"),
    "processed": Sign("ok", "check", "processed"),
    "sending": Sign("running", "loader", "sending"),
    "sent": Sign("ok", "check", "sent"),
    "dead": Sign("failed", "octagon-x", "given up"),
    "letter.open": Sign("failed", "octagon-x", "waits for somebody"),
    "letter.retried": Sign("ok", "refresh", "tried again"),
    "letter.settled": Sign("ok", "check", "settled"),
    "letter.discarded": Sign("skipped", "archive", "discarded"),
    "accepted": Sign("ok", "check", "accepted"),
    "duplicate": Sign("skipped", "copy", "duplicate"),
    "invalid": Sign("failed", "octagon-alert", "invalid"),
    "worker.alive": Sign("ok", "check", "alive"),
    "worker.draining": Sign("waiting", "hourglass", "draining"),
    "worker.silent": Sign("unknown", "circle-help", "silent"),
    "worker.stopped": Sign("skipped", "ban", "stopped"),
    "up": Sign("ok", "check", "up"),
    "down": Sign("failed", "x", "down"),
    "lost": Sign("unknown", "circle-help", "lost"),
}

# Graph nodes know eight states; every finer state of a step is drawn as one of them.
GRAPH_STATES = {
    "ok": "ok",
    "running": "running",
    "waiting": "waiting",
    "failed": "failed",
    "skipped": "skipped",
    "undone": "undone",
    "unknown": "unknown",
    "neutral": "pending",
}


@dataclass(frozen=True)
class Severity:
    """How a severity looks: `word` is read out, `solid` fills the badge."""

    tone: str
    word: str
    solid: bool = False


SEVERITIES: dict[str, Severity] = {
    "sev1": Severity("failed", "SEV1", solid=True),
    "sev2": Severity("failed", "SEV2"),
    "sev3": Severity("waiting", "SEV3"),
    "sev4": Severity("running", "SEV4"),
    "sev5": Severity("neutral", "SEV5"),
    "critical": Severity("failed", "critical", solid=True),
    "error": Severity("failed", "error"),
    "high": Severity("failed", "high"),
    "warning": Severity("waiting", "warning"),
    "medium": Severity("waiting", "medium"),
    "low": Severity("running", "low"),
    "info": Severity("running", "info"),
    "none": Severity("neutral", "none"),
}


def sign_of(state: object, kind: str = "") -> Sign:
    """The sign of a state, of a `kind` ("approval") where the same word means different things.

    A word that is not listed is shown as it is, in grey, so that a new state never breaks a page.
    """
    key = _key(state)
    return (
        SIGNS.get(f"{kind}.{key}")
        or SIGNS.get(key)
        or Sign("neutral", NEUTRAL_ICON, key.replace("_", " ") or "not known")
    )


def severity_of(value: object) -> Severity:
    """The look of a severity: a name ("critical", "sev2") or a number 1..5."""
    key = _key(value)
    key = f"sev{key}" if key.isdigit() else key
    return SEVERITIES.get(key) or Severity("neutral", key or "not known")


def graph_state_of(state: object) -> str:
    """A step's state as the graph knows it: ok, running, waiting, failed, skipped, undone, unknown, pending."""
    return GRAPH_STATES[sign_of(state).tone]


def _key(value: object) -> str:
    # A TextChoices member and a plain string both name the state by their value.
    return str(getattr(value, "value", value) or "").strip().lower().replace("-", "_").replace(" ", "_")
