"""Handrail: runbook automation and incident response."""
