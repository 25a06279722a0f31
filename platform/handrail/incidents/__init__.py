"""Incidents: lifecycle, timeline, metrics, postmortems."""
