"""Slack: approval cards, the incident's messages, and the callbacks of its buttons."""
