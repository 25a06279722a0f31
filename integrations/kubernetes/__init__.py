"""Kubernetes: a few verbs on named resources, over the API itself, with a server-side dry run of each."""
