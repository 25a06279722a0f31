"""Signed webhooks to whoever wants to know, and webhooks from whoever may start a runbook."""
