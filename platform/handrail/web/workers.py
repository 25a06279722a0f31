"""Workers: which processes work, of which version, with what in hand; and which pools nobody serves."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from handrail.shared.actors import Actor
from handrail.web.cursors import by_number
from handrail.web.pages import page, shown
from runbooks.queries.workers import listed_workers, pool_views, versions_alive, worker_views

PAGE_SIZE = 50


@page("GET")
def workers(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The page: the pools first, for a pool without a worker is what needs somebody."""
    rows = listed_workers().order_by("stopped_at", "kind", "host", "pid", "pk")
    offset, previous, following = by_number(request, rows.count(), PAGE_SIZE)
    views = worker_views(rows[offset : offset + PAGE_SIZE], actor)
    pools = pool_views()
    context = {
        "workers": views,
        "pools": pools,
        "unserved": [pool for pool in pools if not pool.is_well and (pool.ready or pool.name == "default")],
        "versions": versions_alive(views),
        "previous_url": previous,
        "next_url": following,
    }
    return shown(request, "web/workers.html", context)
