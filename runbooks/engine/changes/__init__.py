"""How each kind of event changes what is known of a run."""

from runbooks.engine.changes import blocks, people, runs, steps
from runbooks.engine.changes.registry import CHANGES, needless_probes

__all__ = ["CHANGES", "blocks", "needless_probes", "people", "runs", "steps"]
