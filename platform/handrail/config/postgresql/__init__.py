"""Django's PostgreSQL, with a pool that hands out no connection on which the server has hung up."""
