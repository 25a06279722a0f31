"""Who goes first: containment before people, people before schedules. A lower number goes first."""

from __future__ import annotations

CONTAINMENT = 2
"""What an alert or an incident has started."""

PEOPLE = 5
"""What a person, or a program through the API, has started."""

SCHEDULED = 8
"""What the clock has started: it can wait, and waits for the others where a pool is full."""
