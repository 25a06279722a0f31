"""The fake Slack's HTTP face: Web API, response URLs, a control API for programs, and a page for people."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from email.message import Message as Headers
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

from handrail.demo.serving import PatientServer
from handrail.demo.slack import page
from handrail.demo.slack.blocks import problems_of_blocks
from handrail.demo.slack.callbacks import App, Clicks, NoSuch
from handrail.demo.slack.limits import Fault, Limits
from handrail.demo.slack.methods import FORM_ONLY, METHODS, Refused, add_note
from handrail.demo.slack.workspace import Note, Workspace

MAX_BODY = 1_000_000
LIVE_SECONDS = 20.0
SCOPES = (
    "chat:write",
    "chat:write.public",
    "channels:read",
    "groups:read",
    "channels:history",
    "groups:history",
)
"""What the workspace gave to the app."""


@dataclass(frozen=True, slots=True)
class FakeSlack:
    """One fake Slack: its state, its limits and how it reaches the app. ``token`` is the app's bot token."""

    workspace: Workspace
    limits: Limits
    clicks: Clicks
    token: str
    scopes: tuple[str, ...] = SCOPES


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    slack: FakeSlack
    server_version = "FakeSlack/1"
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """The page, its style and script, and the reads of the control API."""
        url = urlsplit(self.path)
        query = dict(parse_qsl(url.query))
        if url.path == "/":
            with self.slack.workspace.lock:
                html = page.render(self.slack.workspace, query.get("channel", ""), query.get("user", ""))
            self._send(200, html.encode(), "text/html; charset=utf-8")
        elif url.path in page.ASSETS:
            content, kind = page.ASSETS[url.path]
            self._send(200, content.encode(), kind)
        elif url.path == "/api/fake/messages":
            self._json(200, self._messages(query))
        elif url.path == "/api/fake/live":
            self._json(200, self._live(query))
        else:
            self._json(404, {"ok": False, "error": "not_found"})

    def do_POST(self) -> None:
        """Web API calls, answers to response URLs, and what people and programs do."""
        path = urlsplit(self.path).path
        arguments = self._arguments()
        if arguments is None:
            return
        if path.startswith("/api/fake/"):
            self._control(path.removeprefix("/api/fake/"), arguments)
        elif path.startswith("/api/"):
            self._method(path.removeprefix("/api/"), arguments)
        elif path.startswith("/response/"):
            self._respond(path.removeprefix("/response/"), arguments)
        elif path.startswith("/do/"):
            self._do(path.removeprefix("/do/"), arguments)
        else:
            self._json(404, {"ok": False, "error": "not_found"})

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Silence: Handrail's own log tells what was called."""

    # -- the Web API ------------------------------------------------------------------------------

    def _method(self, name: str, arguments: dict[str, Any]) -> None:
        fault = self.slack.limits.fault(name)
        if fault is not None:
            retry = {"Retry-After": str(fault.retry_after)} if fault.retry_after else {}
            self._json(fault.status, {"ok": False, "error": fault.error or "ratelimited"}, retry)
            return
        refused = self._unauthorised()
        if refused:
            self._json(200, {"ok": False, "error": refused})
            return
        method = METHODS.get(name)
        if method is None:
            self._json(200, {"ok": False, "error": "unknown_method"})
            return
        wait = self.slack.limits.refuse(name, str(arguments.get("channel", "")))
        if wait:
            self._json(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": str(wait)})
            return
        workspace = self.slack.workspace
        if name in FORM_ONLY and self.headers.get_content_type() == "application/json":
            arguments = {}
        try:
            with workspace.lock:
                workspace.calls.append((name, str(arguments.get("channel", ""))))
                answer = method(workspace, arguments)
        except Refused as refusal:
            details = {"response_metadata": {"messages": refusal.messages}} if refusal.messages else {}
            self._json(200, {"ok": False, "error": refusal.code, **details})
            return
        self._json(200, {"ok": True, **answer}, {"X-OAuth-Scopes": ",".join(self.slack.scopes)})

    def _unauthorised(self) -> str:
        header = self.headers.get("Authorization", "")
        if not header.startswith("Bearer "):
            return "not_authed"
        return "" if header.removeprefix("Bearer ") == self.slack.token else "invalid_auth"

    def _respond(self, token: str, arguments: dict[str, Any]) -> None:
        workspace = self.slack.workspace
        with workspace.lock:
            target = workspace.response_urls.get(token)
            if target is None:
                self._json(404, {"ok": False, "error": "used_url"})
                return
            channel, user, _ = target
            blocks = arguments.get("blocks") or []
            if problems_of_blocks(blocks):
                self._json(400, {"ok": False, "error": "invalid_blocks"})
                return
            note = Note(channel, user, workspace.new_ts(), str(arguments.get("text", "")), blocks)
            add_note(workspace, note)
        self._send(200, b"ok", "text/plain")

    # -- what programs do -------------------------------------------------------------------------

    def _messages(self, query: dict[str, str]) -> dict[str, Any]:
        workspace = self.slack.workspace
        with workspace.lock:
            channel = workspace.channel(query.get("channel", ""))
            wanted = channel.id if channel else None
            return {
                "messages": [
                    asdict(m)
                    for m in workspace.messages
                    if wanted in (None, m.channel) and query.get("ts", m.ts) == m.ts
                ],
                "ephemeral": [asdict(n) for n in workspace.notes if query.get("user", n.user) == n.user],
                "views": [asdict(v) for v in workspace.views.values()],
                "received": [asdict(r) for r in workspace.received],
                "version": workspace.version,
            }

    def _live(self, query: dict[str, str]) -> dict[str, Any]:
        """Answer when something has changed since ``version``, or after a while."""
        seen = int(query.get("version") or -1) if query.get("version", "0").isdecimal() else -1
        self.slack.workspace.wait_for(lambda workspace: workspace.version != seen, LIVE_SECONDS)
        return {"version": self.slack.workspace.version}

    def _control(self, act: str, arguments: dict[str, Any]) -> None:
        text = {name: value for name, value in arguments.items() if isinstance(value, str)}
        try:
            if act == "click":
                answer = self.slack.clicks.click(
                    user=text.get("user", ""),
                    channel=text.get("channel", ""),
                    ts=text.get("ts", ""),
                    action_id=text.get("action_id", ""),
                )
            elif act == "submit":
                values = arguments.get("values", {})
                answer = self.slack.clicks.submit(
                    user=text.get("user", ""), values=values if isinstance(values, dict) else {}
                )
            elif act == "fail":
                self._order_fault(arguments)
                return
            else:
                self._json(404, {"ok": False, "error": "unknown_act"})
                return
        except NoSuch as error:
            self._json(409, {"ok": False, "error": str(error)})
            return
        self._json(200, {"ok": answer.status == 200, "status": answer.status, "body": answer.body})

    def _order_fault(self, arguments: dict[str, Any]) -> None:
        """``{method, status, error, retry_after, times}``: answer the method's next calls like this."""
        fault = Fault(
            status=int(arguments.get("status", 200)),
            error=str(arguments.get("error", "")),
            retry_after=int(arguments.get("retry_after", 0)),
            times=int(arguments.get("times", 1)),
        )
        self.slack.limits.faults[str(arguments.get("method", ""))] = fault
        self._json(200, {"ok": True})

    # -- what people do on the page ---------------------------------------------------------------

    def _do(self, act: str, arguments: dict[str, Any]) -> None:
        if self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            self._json(403, {"ok": False, "error": "another site's form"})
            return
        user, channel = str(arguments.get("user", "")), str(arguments.get("channel", ""))
        try:
            if act == "click":
                self.slack.clicks.click(
                    user=user,
                    channel=channel,
                    ts=str(arguments.get("ts", "")),
                    action_id=str(arguments.get("action_id", "")),
                )
            elif act == "submit":
                values = {name: str(value) for name, value in arguments.items()}
                self.slack.clicks.submit(user=user, values=values)
            elif act == "close":
                self.slack.clicks.close(user=user)
        except NoSuch as error:
            with self.slack.workspace.lock:
                note = Note(channel, user, self.slack.workspace.new_ts(), str(error), [])
                add_note(self.slack.workspace, note)
        self.send_response(303)
        self.send_header("Location", f"/?channel={quote(channel)}&user={quote(user)}#latest")
        self.send_header("Content-Length", "0")
        self.end_headers()

    # -- reading and writing ----------------------------------------------------------------------

    def _arguments(self) -> dict[str, Any] | None:
        """The arguments of a POST; None when it was refused already."""
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            self._json(413, {"ok": False, "error": "request_too_large"})
            return None
        body = self.rfile.read(int(length))
        arguments = read_arguments(self.headers, body)
        if arguments is None:
            self._json(200, {"ok": False, "error": "invalid_json"})
        return arguments

    def _json(self, status: int, data: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(data).encode(), "application/json; charset=utf-8", headers)

    def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", page.POLICY)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def read_arguments(headers: Headers, body: bytes) -> dict[str, Any] | None:
    """Arguments from a JSON or a form body, as the Web API accepts both; None for JSON that is no object."""
    if headers.get_content_type() == "application/json":
        try:
            parsed = json.loads(body or b"{}")
        except ValueError:
            return None
        return parsed if isinstance(parsed, dict) else None
    form = parse_qs(body.decode(errors="replace"), keep_blank_values=True)
    return {name: ",".join(values) for name, values in form.items()}


def make_server(host: str, port: int, *, token: str, app: App) -> Server:
    """A server of a new fake Slack; port 0 takes a free one. Call ``serve_forever`` on it.

    ``token`` is the bot token that the app must bring; ``app`` says where its interactivity endpoint is. The
    server's ``slack`` attribute is the :class:`FakeSlack`, for tests in the same process.
    """
    return Server((host, port), token, app)


class Server(PatientServer):
    """A threading server that knows its fake Slack."""

    def __init__(self, address: tuple[str, int], token: str, app: App) -> None:
        """Bind; nothing is answered before ``serve_forever``."""
        workspace = Workspace()
        super().__init__(address, Handler)
        host, port = self.server_address[0], self.server_address[1]
        self.base_url = f"http://{host!s}:{port}"
        self.limits = Limits(workspace.clock)
        self._workspace, self._token = workspace, token
        self.reach(app)

    def reach(self, app: App) -> None:
        """Send the callbacks to ``app`` from now on."""
        clicks = Clicks(self._workspace, app, self.base_url)
        self.slack = FakeSlack(self._workspace, self.limits, clicks, self._token)
        self.RequestHandlerClass = type("BoundHandler", (Handler,), {"slack": self.slack})


def serve(host: str, port: int, *, token: str, interactivity_url: str, signing_secret: str) -> None:
    """Serve a fake Slack until the process is told to stop."""
    with make_server(host, port, token=token, app=App(interactivity_url, signing_secret)) as server:
        server.serve_forever()
