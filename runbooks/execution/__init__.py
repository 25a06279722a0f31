"""Runs executed: claim, gate, effect, complete, sweep. Only this package writes the state of runs and steps."""
