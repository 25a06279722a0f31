"""Django's PostgreSQL, with a pool that hands out no connection on which the server has hung up.

After a restart or a failover each connection that lies in a pool is dead, and each would fail one request, with a
database that is well. Django's own health check asks the server each time a connection is taken: a round trip for
every request and every hint. A server that has gone has also closed its end, which the socket tells for nothing.
"""

from __future__ import annotations

import select
from typing import Any

from django.db.backends.postgresql import base
from psycopg import Connection


class DatabaseWrapper(base.DatabaseWrapper):
    """What ``ENGINE: handrail.config.postgresql`` names."""

    pool: Any

    def get_new_connection(self, conn_params: Any) -> Any:
        """A connection of the pool whose server has not hung up, if there is one among as many as the pool holds."""
        found = super().get_new_connection(conn_params)
        for _ in range(self.pool.max_size if self.pool else 0):
            if not has_hung_up(found):
                break
            found.close()
            self.pool.putconn(found)
            found = super().get_new_connection(conn_params)
        return found


def has_hung_up(idle: Connection[Any]) -> bool:
    """Whether the server has said something on a connection on which nobody asked: then it is a goodbye."""
    poll = select.poll()
    poll.register(idle.fileno(), select.POLLIN)
    return bool(poll.poll(0))
