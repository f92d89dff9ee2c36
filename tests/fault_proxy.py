"""An HTTP proxy on loopback that passes requests on to a real server, and fails as servers and networks do when told to.

`python -m tests.fault_proxy PORT UPSTREAM_PORT` passes everything on: a server's front as a process that can be killed.
"""

from __future__ import annotations

import contextlib
import http.client
import http.server
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Fault = str
FAULTS: dict[Fault, str] = {
    "500": "the server fails",
    "503": "the server is overloaded",
    "cut": "the connection ends before the request arrives",
    "lost": "the request is carried out, and the connection ends before the answer",
    "half": "the connection ends in the middle of the answer",
    "slow": "the answer takes its time",
}
FULL = "507"
UNCONDITIONAL = "unconditional"
"""Not a fault to survive: what a server does that does not know If-None-Match."""

CODES = {"500": "InternalError", "503": "SlowDown", "507": "InsufficientStorage"}
SLOWNESS_SECONDS = 0.4
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "date", "server"}


@dataclass(frozen=True)
class Request:
    """What came: its number from 0, what it asks for, and how it begins."""

    number: int
    method: str
    path: str


Plan = Callable[[Request], Fault | None]


class Proxy(http.server.ThreadingHTTPServer):
    """`plan` says which request fails, and how; `seen` is what came since it was last cleared."""

    daemon_threads = True

    def __init__(self, upstream: int, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.upstream = upstream
        self.plan: Plan = lambda _: None
        self.seen: list[Request] = []
        self.lock = threading.Lock()

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def begin(self, plan: Plan = lambda _: None) -> None:
        """Count from 0 again, with another plan."""
        with self.lock:
            self.plan, self.seen = plan, []

    def number(self, method: str, path: str) -> Request:
        """The next request."""
        with self.lock:
            request = Request(len(self.seen), method, path)
            self.seen.append(request)
            return request

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up has done what a test wanted."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.server.plan(self.server.number(self.command, self.path))
        if fault in CODES:
            self._fail(fault)
            return
        if fault == "cut":
            self._hang_up()
            return
        status, headers, content = self._ask(body, fault == UNCONDITIONAL)
        if fault == "lost":
            self._hang_up()
            return
        if fault == "slow":
            time.sleep(SLOWNESS_SECONDS)
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP - {"date", "server"}:
                self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "half":
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self._hang_up()
        elif self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass_on

    def _ask(self, body: bytes, unconditional: bool) -> tuple[int, list[tuple[str, str]], bytes]:
        """The upstream's answer. The Host stays the client's, as it is part of what was signed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() in HOP_BY_HOP - {"date"} or (unconditional and name.lower() == "if-none-match"):
                    continue
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    def _fail(self, status: str) -> None:
        content = b"" if self.command == "HEAD" else f"<Error><Code>{CODES[status]}</Code></Error>".encode()
        self.send_response_only(int(status))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _hang_up(self) -> None:
        """As a process that is gone: reset, not closed in good order."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@contextlib.contextmanager
def proxy(upstream: int) -> Iterator[Proxy]:
    """A proxy in this process."""
    with Proxy(upstream) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.shutdown()


if __name__ == "__main__":
    Proxy(int(sys.argv[2]), int(sys.argv[1])).serve_forever()
