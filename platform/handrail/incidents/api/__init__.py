"""Incidents over REST: thin views over the queries and the actions."""
