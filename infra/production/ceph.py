"""S3 by Ceph on one machine: a monitor, one OSD in a file of the state folder, and the RADOS gateway, all on loopback."""

from __future__ import annotations

import json
import shutil
import socket
import uuid
from collections.abc import Callable

from infra.production.settings import HOST, Settings
from infra.production.supervisor import Program, Supervisor, listens, run
from models.errors import EquipoiseError

PACKAGES = ("ceph-mon", "ceph-osd", "radosgw")
GATEWAY = "radosgw"
"""The program that answers; it keeps nothing."""

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "ceph-authtool", "monmaptool")
MEMORY_BYTES = 1 << 30

IN_A_FILE = "osd objectstore = bluestore\nbluestore block size = {block}"
IN_MEMORY = "osd objectstore = memstore\nmemstore device bytes = 4294967296"

CONFIGURATION = """[global]
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
mon data avail warn = 1
mon data avail crit = 1
osd crush chooseleaf type = 0
{store}
osd memory target = {memory}
mon data = {home}/mon
osd data = {home}/osd
run dir = {home}
admin socket =
pid file =
log file = {home}/$name.log
mon cluster log file = {home}/cluster.log
setuser match path =
rgw enable usage log = false
[mon.a]
keyring = {home}/mon/keyring
[osd.0]
keyring = {home}/osd/keyring
[client]
keyring = {home}/keyring
"""


def missing() -> str | None:
    """Which of Ceph's programs is not installed, if any."""
    return next((program for program in PROGRAMS if shutil.which(program) is None), None)


class Ceph:
    """The server of one state folder. What it holds is there again at the next start, unless it is `in_memory`."""

    def __init__(self, settings: Settings, supervisor: Supervisor, in_memory: bool = False) -> None:
        self._home = settings.state / "ceph"
        self._port = settings.s3.port
        self._store = IN_MEMORY if in_memory else IN_A_FILE.format(block=settings.s3.gigabytes << 30)
        self._supervisor = supervisor
        self._environment = {"CEPH_CONF": str(self._home / "ceph.conf")}

    def start(self) -> tuple[str, str]:
        """Start the three, the first time with a cluster and a user made before; the user's key and secret."""
        whole = self._home / "whole"
        if not whole.exists():
            # Nothing was ever stored in what is not whole.
            shutil.rmtree(self._home, ignore_errors=True)
            self._make()
        self._daemon("ceph-mon", ("ceph-mon", "-i", "a", "-f"), lambda: self._says(("status",), "cluster:"))
        if not whole.exists():
            self._make_osd()
        self._daemon("ceph-osd", ("ceph-osd", "-i", "0", "-f"), lambda: self._says(("osd", "stat"), "1 up"))
        gateway = (
            "radosgw", "-f", "-n", "client.admin", "--keyring", str(self._home / "keyring"),
            f"--rgw-frontends=beast endpoint={HOST}:{self._port}",
        )  # fmt: skip
        self._daemon(GATEWAY, gateway, lambda: listens(HOST, self._port))
        keys = self._user(make=not whole.exists())
        whole.touch()
        return keys

    def _make(self) -> None:
        for folder in (self._home, self._home / "mon", self._home / "osd"):
            folder.mkdir(mode=0o700)
        fsid = str(uuid.uuid4())
        v1, v2 = _free_port(), _free_port()
        (self._home / "ceph.conf").write_text(
            CONFIGURATION.format(fsid=fsid, v1=v1, v2=v2, home=self._home, store=self._store, memory=MEMORY_BYTES),
            encoding="utf-8",
        )
        home, everything = self._home, ("--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *")
        address = f"[v2:{HOST}:{v2},v1:{HOST}:{v1}]"
        self._run("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", address, f"{home}/monmap")
        self._run(
            "ceph-authtool", "--create-keyring", f"{home}/keyring", "--gen-key", "-n", "client.admin", *everything
        )
        self._run(
            "ceph-authtool",
            "--create-keyring",
            f"{home}/mon.keyring",
            "--gen-key",
            "-n",
            "mon.",
            "--cap",
            "mon",
            "allow *",
        )
        self._run("ceph-authtool", f"{home}/mon.keyring", "--import-keyring", f"{home}/keyring")
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", f"{home}/monmap", "--keyring", f"{home}/mon.keyring")

    def _make_osd(self) -> None:
        identifier, keyring = str(uuid.uuid4()), f"{self._home}/osd/keyring"
        self._run("ceph", "osd", "new", identifier)
        self._run(
            "ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "osd.0",
            "--cap", "mon", "allow profile osd", "--cap", "osd", "allow *",
        )  # fmt: skip
        self._run("ceph", "auth", "import", "-i", keyring)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", identifier)

    def _user(self, make: bool) -> tuple[str, str]:
        """Key and secret, which Ceph makes and keeps: on a command line everybody on the machine could read them."""
        words = ("create", "--display-name=equipoise") if make else ("info",)
        user = json.loads(self._run("radosgw-admin", "user", words[0], "--uid=equipoise", *words[1:]))
        return str(user["keys"][0]["access_key"]), str(user["keys"][0]["secret_key"])

    def _daemon(self, name: str, words: tuple[str, ...], ready: Callable[[], bool]) -> None:
        self._supervisor.start(Program(name, words, ready, self._environment))

    def _says(self, question: tuple[str, ...], answer: str) -> bool:
        try:
            return answer in self._run("ceph", "--connect-timeout", "5", *question)
        except EquipoiseError:
            return False

    def _run(self, *words: str) -> str:
        return run(words, self._environment)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])
