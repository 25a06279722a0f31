"""Runbooks, runs and approvals over REST: thin views over the queries and the actions."""
