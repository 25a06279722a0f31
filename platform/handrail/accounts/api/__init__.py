"""Projects, people, tokens and the audit trail over REST: thin views over the queries and the actions."""
