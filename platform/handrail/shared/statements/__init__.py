"""Statements written by hand for what is done most often: built once, prepared once by PostgreSQL's server."""
