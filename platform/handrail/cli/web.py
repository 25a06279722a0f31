"""`handrail web`: the web pages, the API, the hooks and the callbacks, in one process."""

from __future__ import annotations

import warnings

import click
import uvicorn

from handrail.cli import set_up_django
from handrail.cli.preloading import preload
from handrail.cli.processes import end_with_supervisor
from handrail.config.environment import read, split_bind

IDLE_SECONDS = 75
"""For how long a connection may be idle: longer than the 60 s of load balancers and proxies, which else send a request
down a connection that is being closed, and answer 502.
"""


@click.command()
def web() -> None:
    """Serve the web pages, the API, the alert hooks and Slack's callbacks at HANDRAIL_BIND."""
    host, port = split_bind(read("HANDRAIL_BIND"))
    end_with_supervisor()
    # WhiteNoise reads its files synchronously, in a thread of Django's: Django says so for each, once a place.
    warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
    set_up_django(process="web")
    preload(pages=True)
    uvicorn.run(
        "handrail.config.asgi:application",
        host=host,
        port=port,
        lifespan="off",
        access_log=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=IDLE_SECONDS,
        proxy_headers=False,
    )
