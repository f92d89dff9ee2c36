"""Real S3 servers on loopback for tests and benchmarks, each a process of its own: moto, and Ceph where it is installed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.production.ceph import GATEWAY, Ceph
from infra.production.settings import S3, Settings
from infra.production.supervisor import Supervisor

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 120.0
BUCKET = "models"


@dataclass
class Server:
    """A server that answers at `endpoint` to whoever has `environment`."""

    kind: str
    endpoint: str
    environment: Mapping[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    kill_and_start: Callable[[], None] | None = None
    """kill -9 of what answers, where that keeps nothing, and a new start."""

    def client(self) -> Any:
        """A plain boto3 client."""
        import boto3
        from botocore.config import Config

        session = boto3.Session(
            self.environment["AWS_ACCESS_KEY_ID"], self.environment["AWS_SECRET_ACCESS_KEY"], region_name="us-east-1"
        )
        return session.client("s3", endpoint_url=self.endpoint, config=Config(s3={"addressing_style": "path"}))

    def stop(self) -> None:
        """All of it goes, the newest process first."""
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def moto_server() -> Iterator[Server]:
    """moto, with a bucket; it keeps everything in memory."""
    port = free_port()
    words = [sys.executable, "-m", "infra.production.memory_s3", str(port)]
    process = subprocess.Popen(words, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server = Server("moto", f"http://127.0.0.1:{port}", environment(port, "key", "moto-secret"), [process])
    with _running(server):
        yield server


@contextlib.contextmanager
def ceph_server(root: Path) -> Iterator[Server]:
    """The production set's Ceph, with its objects in memory, and a bucket. Its gateway can be killed: it keeps nothing."""
    port = free_port()
    settings = Settings(state=root, s3=S3(use="ceph", port=port))
    root.mkdir(parents=True, exist_ok=True)
    with Supervisor(root / "logs", lambda _: None) as supervisor:
        keys = Ceph(settings, supervisor, in_memory=True).start()
        server = Server("ceph", f"http://127.0.0.1:{port}", environment(port, *keys))
        server.kill_and_start = lambda: supervisor.start_again(GATEWAY)
        server.client().create_bucket(Bucket=BUCKET)
        yield server


def environment(port: int, key: str, secret: str) -> dict[str, str]:
    """What AWS's standard chain takes the server and the credentials from."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }


@contextlib.contextmanager
def _running(server: Server) -> Iterator[None]:
    with _ended(server):
        _wait_for_port(int(server.endpoint.rpartition(":")[2]), server.processes[-1])
        server.client().create_bucket(Bucket=BUCKET)
        yield


@contextlib.contextmanager
def _ended(server: Server) -> Iterator[None]:
    try:
        yield
    finally:
        server.stop()


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None, f"the server ended with {process.returncode}"
            assert time.monotonic() < end, f"nothing listens on port {port}"
            time.sleep(0.05)
