"""Signed webhooks to whoever wants to know."""
