"""Runbooks: the language, the engine and everything that runs them."""
