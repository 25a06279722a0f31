"""`handrail fakes`: the fake Slack and the sample production, for demos and for trying things out."""

from __future__ import annotations

import os
import signal
import threading

import click

from handrail.cli.processes import end_with_supervisor
from handrail.config.environment import base_url, split_bind


@click.command()
@click.option(
    "--bind", required=True, help="host:port of the fake Slack; the sample production takes the next port."
)
def fakes(bind: str) -> None:
    """Serve the fake Slack (with a page to click in) and the sample production, until it is told to stop."""
    from handrail.demo import production
    from handrail.demo.slack import server as slack
    from handrail.demo.slack.callbacks import App

    end_with_supervisor()
    host, port = split_bind(bind, name="--bind")
    interactivity = f"{base_url()}/integrations/slack/interactivity"
    app = App(interactivity, os.environ.get("HANDRAIL_SLACK_SIGNING_SECRET", ""))
    servers = [
        slack.make_server(host, port, token=os.environ.get("HANDRAIL_SLACK_BOT_TOKEN", ""), app=app),
        production.make_server(host, port + 1),
    ]
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: done.set())
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    done.wait()
    for server in servers:
        server.shutdown()
        server.server_close()
