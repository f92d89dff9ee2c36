"""Real S3 servers on loopback for tests and benchmarks, each a process of its own: moto, and Ceph where it is installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 120.0
BUCKET = "models"
CEPH_PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "ceph-authtool", "monmaptool")

CEPH_SETTINGS = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{v2},v1:127.0.0.1:{v1}]
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
ms bind ipv6 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
mon allow pool size one = true
mon max pg per osd = 2000
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 4294967296
mon data = {root}/mon
osd data = {root}/osd
run dir = {root}
admin socket = {root}/$name.$pid.asok
pid file = {root}/$name.pid
log file = {root}/$name.log
mon cluster log file = {root}/cluster.log
setuser match path =
rgw enable usage log = false
[mon.a]
keyring = {root}/mon/keyring
[osd.0]
keyring = {root}/osd/keyring
[client]
keyring = {root}/keyring
"""


@dataclass
class Server:
    """A server that answers at `endpoint` to whoever has `environment`."""

    kind: str
    endpoint: str
    environment: Mapping[str, str]
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

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
    """One monitor, one OSD in memory and the RADOS gateway, with a bucket. The gateway can be killed: it keeps nothing."""
    ports = {"v1": free_port(), "v2": free_port()}
    fsid = _uuid()
    for name in ("mon", "osd"):
        (root / name).mkdir(parents=True)
    (root / "ceph.conf").write_text(CEPH_SETTINGS.format(root=root, fsid=fsid, **ports), encoding="utf-8")
    port = free_port()
    server = Server("ceph", f"http://127.0.0.1:{port}", environment(port, "AKIDLOCAL", "ceph-secret"))
    with _ended(server):
        _start_ceph(root, fsid, ports, server)
        start_gateway(root, server, port)
        _ceph(
            root, "radosgw-admin", "user", "create", "--uid=t", "--display-name=t", "--access-key=AKIDLOCAL",
            "--secret=ceph-secret",
        )  # fmt: skip
        with _running(server):
            yield server


def start_gateway(root: Path, server: Server, port: int) -> None:
    """The RADOS gateway, once more if it was killed."""
    server.processes.append(
        _begin(
            root, "radosgw", "-f", "-n", "client.admin", "--keyring", f"{root}/keyring",
            f"--rgw-frontends=beast endpoint=127.0.0.1:{port}",
        )
    )  # fmt: skip
    _wait_for_port(port, server.processes[-1])


def ceph_missing() -> str | None:
    """Which of Ceph's programs is not installed, if any."""
    return next((program for program in CEPH_PROGRAMS if shutil.which(program) is None), None)


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


def _start_ceph(root: Path, fsid: str, ports: Mapping[str, int], server: Server) -> None:
    address = f"[v2:127.0.0.1:{ports['v2']},v1:127.0.0.1:{ports['v1']}]"
    everything = ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
    _ceph(root, "monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", address, f"{root}/monmap")
    _ceph(root, "ceph-authtool", "--create-keyring", f"{root}/keyring", "--gen-key", "-n", "client.admin", *everything)
    _ceph(
        root, "ceph-authtool", "--create-keyring", f"{root}/mon.keyring", "--gen-key", "-n", "mon.", "--cap", "mon",
        "allow *",
    )  # fmt: skip
    _ceph(root, "ceph-authtool", f"{root}/mon.keyring", "--import-keyring", f"{root}/keyring")
    _ceph(root, "ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{root}/monmap", "--keyring", f"{root}/mon.keyring")
    server.processes.append(_begin(root, "ceph-mon", "-i", "a", "-f"))
    osd = _uuid()
    _ceph(root, "ceph", "osd", "new", osd)
    _ceph(
        root, "ceph-authtool", "--create-keyring", f"{root}/osd/keyring", "--gen-key", "-n", "osd.0",
        "--cap", "mon", "allow profile osd", "--cap", "osd", "allow *",
    )  # fmt: skip
    try:
        _ceph(
            root,
            "ceph",
            "auth",
            "add",
            "osd.0",
            "-i",
            f"{root}/osd/keyring",
            "mon",
            "allow profile osd",
            "osd",
            "allow *",
        )
    except subprocess.CalledProcessError:  # `osd new` has made the key already
        _ceph(root, "ceph", "auth", "import", "-i", f"{root}/osd/keyring")
    _ceph(root, "ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
    server.processes.append(_begin(root, "ceph-osd", "-i", "0", "-f"))
    end = time.monotonic() + PATIENCE_SECONDS
    while "1 up" not in _ceph(root, "ceph", "osd", "stat"):
        assert time.monotonic() < end, "Ceph's OSD did not come up"
        time.sleep(0.3)


def _ceph(root: Path, *words: str) -> str:
    done = subprocess.run(
        words, env={**os.environ, "CEPH_CONF": f"{root}/ceph.conf"}, capture_output=True, text=True, check=True,
        timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    return done.stdout


def _begin(root: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        words, env={**os.environ, "CEPH_CONF": f"{root}/ceph.conf"}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


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


def _uuid() -> str:
    import uuid

    return str(uuid.uuid4())
