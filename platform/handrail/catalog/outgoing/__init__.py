"""Calls to the outside: through a connection that an operator made, to an address that it allows."""
