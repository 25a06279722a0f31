"""What strangers send: bodies, headers and whole requests that nobody well-meaning would write."""

from __future__ import annotations

import gzip
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=x"


@dataclass(frozen=True, slots=True)
class Body:
    """One body with its content type and more headers."""

    name: str
    content: bytes
    kind: str = JSON
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def is_readable(self) -> bool:
        """Whether a source that reads any JSON object finds an alert in it, and is right."""
        return self.name.startswith(("wrong types", "a lone surrogate"))


def bodies() -> list[Body]:
    """Malformed, deep, wrongly encoded, wrongly typed."""
    deep = 50_000
    entity = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'
    nuls = b'--x\r\nContent-Disposition: form-data; name="\0"\r\n\r\n\0\r\n--x--\r\n'
    return [
        Body("empty", b""),
        Body("half an object", b'{"alerts": ['),
        Body("null", b"null"),
        Body("a number", b"1e999"),
        Body("a number of digits without end", b"[" + b"9" * 20_000 + b"]"),
        Body("deep lists", b"[" * deep + b"]" * deep),
        Body("deep objects", b'{"a":' * deep + b"1" + b"}" * deep),
        Body("invalid UTF-8", b'{"version": "4", "alerts": ["\xff\xfe\xc0"]}'),
        Body("UTF-16", json.dumps({"version": "4"}).encode("utf-16")),
        Body("a lone surrogate", b'{"version": "\\ud800", "alerts": [{"labels": {"alertname": "\\udfff"}}]}'),
        Body("NUL", b'{"version": "4\\u0000", "alerts": []}'),
        Body("NaN", b'{"version": NaN}'),
        Body("the same key twice", b'{"version": "4", "version": "5"}'),
        Body("said to be gzip, is not", b"{}", headers={"Content-Encoding": "gzip"}),
        Body("a bomb", gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"}),
        Body("an unknown charset", b"{}", "application/json; charset=klingon"),
        Body("a content type that is none", b"{}", ";;;=\x7f"),
        Body("XML", entity, "text/xml"),
        Body("fields without end", "&".join(f"a{n}=1" for n in range(5_000)).encode(), FORM),
        Body("broken percents", b"username=%ZZ%00%FF&password=%&payload=%7B", FORM),
        Body("a multipart without its boundary", b"nothing", "multipart/form-data"),
        Body("a multipart that breaks off", b'--x\r\nContent-Disposition: form-data; name="a', MULTIPART),
        Body("a multipart of NULs", nuls, MULTIPART),
        *(Body(f"wrong types {n}", json.dumps(document).encode()) for n, document in enumerate(_documents())),
    ]


def _documents() -> Iterator[object]:
    """Documents that begin like Alertmanager's, and then differ."""
    alert = {"status": "firing", "labels": {"alertname": "a"}, "startsAt": "2026-01-01T00:00:00Z"}
    for alerts in ({}, "x", [1], [None], [{"labels": []}]):
        yield {"version": "4", "status": "firing", "alerts": alerts}
    for change in ({"status": 7}, {"labels": {"a": {"b": 1}}}, {"startsAt": 10**400}):
        yield {"version": "4", "status": "firing", "alerts": [{**alert, **change}]}


HUGE = Body("huge", b'{"version": "4", "padding": "' + b"x" * 5_000_000 + b'"}')
"""Larger than any address takes."""


def slack_payloads() -> list[bytes]:
    """Bodies that would pass for Slack's when they are signed."""
    deep = 50_000
    payloads: list[object] = [
        None,
        [],
        7,
        {},
        {"type": None},
        {"type": "block_actions"},
        {"type": "block_actions", "user": None, "actions": None},
        {"type": "block_actions", "user": {"id": "U"}, "team": [], "actions": [None]},
        {"type": "block_actions", "user": {"id": "U\0"}, "actions": [{"action_id": "approval.approve"}]},
        {
            "type": "block_actions",
            "user": {"id": 7},
            "actions": [{"action_id": "approval.approve", "value": 7}],
        },
        {
            "type": "view_submission",
            "view": {"state": {"values": []}, "private_metadata": "{", "callback_id": 1},
        },
        {"type": "view_submission", "user": {"id": "U"}, "view": {"callback_id": "approval.decide"}},
        {"type": "unheard_of", "user": {"id": "x" * 100_000}},
    ]
    encoded = [urlencode({"payload": json.dumps(payload)}).encode() for payload in payloads]
    return [
        *encoded,
        b"",
        b"payload=",
        b"payload=%7B",
        b"payload=%FF%FE",
        b"payload=" + b"%5B" * deep,
        b"\xff\xfe\x00",
        b"other=1&" * 1_000,
        b"ssl_check=1&token=x",
    ]


@dataclass(frozen=True, slots=True)
class Wire:
    """Speaks HTTP by hand, as badly as wanted."""

    base_url: str

    def send(self, *parts: bytes) -> int:
        """Send the bytes; the status of the answer, or 0 where the connection was closed without any."""
        target = urlsplit(self.base_url)
        with socket.create_connection((target.hostname or "", target.port or 80), timeout=30) as line:
            try:
                for part in parts:
                    line.sendall(part)
                # Nothing more comes: who waits for it may give up.
                line.shutdown(socket.SHUT_WR)
                answer = line.recv(64)
            except OSError:
                return 0
        words = answer.split(b" ", 2)
        return int(words[1]) if len(words) > 1 and words[1][:3].isdigit() else 0

    def half(self, path: str) -> socket.socket:
        """A request whose body never comes; the caller closes it."""
        target = urlsplit(self.base_url)
        line = socket.create_connection((target.hostname or "", target.port or 80), timeout=30)
        line.sendall(self.head(path, "Content-Length: 1000") + b'{"version"')
        return line

    def head(self, path: str, *headers: str, method: str = "POST") -> bytes:
        """The head of a request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {urlsplit(self.base_url).netloc}", *headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def absurd(self, path: str) -> Iterator[bytes]:
        """Requests that are hardly requests, to be sent whole."""
        host = f"Host: {urlsplit(self.base_url).netloc}"
        for headers in (
            ("Content-Length: -1",),
            ("Content-Length: 99999999999999999999999999",),
            ("Content-Length: 2", "Content-Length: 3"),
            ("Transfer-Encoding: chunked", "Content-Length: 2"),
            ("Transfer-Encoding: nonsense",),
            ("Authorization: Bearer \xff\xfe",),
            ("Authorization: Bearer " + "x" * 8_000,),
            ("Authorization: Basic ====",),
            ("Cookie: sessionid=" + "\xe9" * 200,),
            ("Cookie: " + ";" * 5_000,),
            ("X-Slack-Signature: v0=\xe9", "X-Slack-Request-Timestamp: 1e9"),
            ("X-Slack-Signature: v0=" + "0" * 64, "X-Slack-Request-Timestamp: " + "9" * 400),
            ("Accept: " + "a/b," * 1_500,),
            ("Accept-Language: " + "x-" * 3_000,),
            ("If-Modified-Since: \xff",),
            ("Range: bytes=9-1",),
            ("X-Forwarded-For: " + "1.1.1.1," * 800,),
            ("traceparent: " + "0" * 5_000,),
            ("Referer: http://[::",),
            ("Origin: null",),
            tuple(f"X-{n}: 1" for n in range(500)),
        ):
            yield self.head(path, *headers, "Connection: close") + b"{}"
        yield f"POST {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode()
        yield f"POST {path} HTTP/1.1\r\nConnection: close\r\n\r\n".encode()
        yield f"POST {path}%00%ff%c0 HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n".encode()
        yield f"POST {path}?{'a=1&' * 5_000} HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n".encode()
        yield f"GET {path}?cursor=%00&after=9999999999999999999&state=%ff HTTP/1.1\r\n{host}\r\n\r\n".encode()
        yield (
            f"POST {path}?state=".encode()
            + b"\xff"
            + f" HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n".encode()
        )
        yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        yield b"GET / HTTP/9.9\r\n\r\n"
        yield b"\x00" * 1_000 + b"\r\n\r\n"

    def chunked(self, path: str, size: int, pieces: int) -> tuple[bytes, ...]:
        """A body in chunks, without any length told before."""
        piece = b"%x\r\n%s\r\n" % (size, b"x" * size)
        head = self.head(path, "Transfer-Encoding: chunked", f"Content-Type: {JSON}", "Connection: close")
        return (head, *[piece] * pieces, b"0\r\n\r\n")
