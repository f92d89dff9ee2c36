"""Prefect's own server for one run, where none is set up: it starts while the run gets ready, and ends when the run ends, killed or not.

Prefect would start one itself, but only once the flow is called, from within the run's process, and it would outlive a
run that is killed. This one reads a pipe that the run holds, and ends when the pipe does.
"""

from __future__ import annotations

import atexit
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from models.errors import EquipoiseError

SECONDS_TO_STOP = 5.0
POLL_SECONDS = 0.1
HOST = "127.0.0.1"
ENVIRONMENT = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""What Prefect gives the server that it starts itself."""


class OwnServer:
    """A server on a free port of the loopback interface, in a process of its own; `wait` until it answers."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind((HOST, 0))
            self._port = int(free.getsockname()[1])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.server", str(self._port)],
            stdin=subprocess.PIPE,
            env={**os.environ, **ENVIRONMENT},
            start_new_session=True,  # Ctrl-C is for the run, which has more to tell the server before it ends
        )
        # After the threads of Prefect's client, which send their last lines when the interpreter ends.
        atexit.register(self._stop)

    @property
    def url(self) -> str:
        """The address of its API."""
        return f"http://{HOST}:{self._port}/api"

    def wait(self, seconds: float) -> None:
        """Until it answers. Raises EquipoiseError when it ends, or does not answer in time."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise EquipoiseError(
                    f"Prefect's own server ended with exit code {self._process.returncode} before it was up. "
                    "Its messages are above; `equipoise doctor` checks the installation."
                )
            if self._answers():
                return
            time.sleep(POLL_SECONDS)
        raise EquipoiseError(
            f"Prefect's own server did not answer within {seconds:g} s. Allow more time with "
            "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS, or start a server and set PREFECT_API_URL."
        )

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(HOST, self._port, timeout=5)
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _stop(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def own_server_if_none() -> OwnServer | None:
    """Start a server, and let Prefect in this process use it, unless the user has set one up."""
    from prefect.context import refresh_global_settings_context
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if settings.api.url is not None or not settings.server.ephemeral.enabled:
        return None
    server = OwnServer()
    os.environ["PREFECT_API_URL"] = server.url
    refresh_global_settings_context()
    return server


def startup_seconds() -> float:
    """How long Prefect's settings allow a server of a run's own to start."""
    from prefect.settings import get_current_settings

    return float(get_current_settings().server.ephemeral.startup_timeout_seconds)


def _end_with_the_pipe() -> None:
    """End this process when the run's end of the pipe is closed, by whatever way the run ends."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_STOP)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """The server's process."""
    threading.Thread(target=_end_with_the_pipe, daemon=True).start()
    import uvicorn

    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True, host=HOST, port=int(sys.argv[1]), log_level="error", lifespan="on",
    )  # fmt: skip


if __name__ == "__main__":
    main()
