"""PagerDuty: events that page people, and notes and states of incidents there."""
