"""A registry in a bucket when things break: servers and networks that fail at any request, writers and servers that are killed."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.errors import EquipoiseError, InputError
from tasks.registry import Registry, open_registry
from tasks.registry.s3 import client
from tests.fault_proxy import FAULTS, FULL, UNCONDITIONAL, Proxy, Request, proxy
from tests.s3_server import BUCKET, REPOSITORY, Server, free_port

CONTENT = {"predictor/weights.safetensors": b"w" * 1000, "params.json": b"{}"}
LARGE = 40 << 20


@pytest.fixture(scope="module")
def faulty(moto: Server) -> Iterator[Proxy]:
    """moto behind a proxy that fails when it is told to."""
    with proxy(int(moto.endpoint.rpartition(":")[2])) as running:
        yield running


@pytest.fixture
def through(faulty: Proxy, bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Registry]]:
    """Opens registries behind the proxy, by prefix."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.endpoint)
    monkeypatch.setattr(client, "LONGEST_PAUSE_SECONDS", 0.05)
    faulty.begin()
    yield lambda prefix: open_registry(f"s3://{BUCKET}/{bucket.prefix}/{prefix}")
    faulty.begin()


def job(registry: Registry) -> bytes:
    """What a registration does: a version, the champion, and a look at it."""
    version = registry.publish("adult", CONTENT, run="r", summary={}).version
    registry.promote("adult", version, why="better")
    return (registry.load("adult", "champion").directory / "predictor/weights.safetensors").read_bytes()


def check_whole(registry: Registry) -> None:
    """All that is visible is whole, whatever it is."""
    for name in registry.names():
        for version in registry.versions(name):
            registry.load(name, version)
    moves = registry.history("adult")
    assert [move.number for move in moves] == list(range(1, len(moves) + 1))


def check_done_once(registry: Registry) -> None:
    """One version, one move."""
    assert registry.versions("adult") == ["v1"]
    assert registry.aliases("adult") == {"champion": "v1"}
    assert len(registry.history("adult")) == 1


def requests_of_a_job(faulty: Proxy, registry: Registry) -> list[Request]:
    faulty.begin()
    assert job(registry) == CONTENT["predictor/weights.safetensors"]
    return list(faulty.seen)


def test_a_fault_at_any_one_request_is_survived(faulty, through):
    """500, 503, connections cut before, after and in the middle of any request, slow answers: tried again, and done once."""
    requests = requests_of_a_job(faulty, through("undisturbed"))
    others = itertools.cycle(fault for fault in FAULTS if fault != "lost")
    tried = survived = 0
    for request in requests:
        # That an answer is lost is the hardest, as the work is done: every write meets it.
        fault = "lost" if request.method == "PUT" else next(others)
        tried += 1
        prefix = f"{fault}-{request.number}"
        faulty.begin(lambda r, at=request.number, f=fault: f if r.number == at else None)
        assert job(through(prefix)) == CONTENT["predictor/weights.safetensors"]
        faulty.begin()
        check_done_once(through(prefix))
        survived += 1
    print(f"faults at one of {len(requests)} requests: survived {survived} / {tried}")
    assert survived == tried > 15


def test_a_server_that_goes_away_at_any_request_leaves_a_whole_registry(faulty, through, monkeypatch):
    """From some request on nothing gets through any more: the error says so, and a rerun finishes the job once."""
    requests = requests_of_a_job(faulty, through("undisturbed"))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    kinds = itertools.cycle(("cut", "500", "lost"))
    tried = survived = 0
    for position in range(len(requests)):
        tried += 1
        fault, prefix = next(kinds), f"gone-{position}"
        faulty.begin(lambda r, at=position, f=fault: f if r.number >= at else None)
        with pytest.raises(EquipoiseError, match=rf"(?s)registry s3://.*{prefix}.*run again"):
            job(through(prefix))
        faulty.begin()
        check_whole(through(prefix))
        job(through(prefix))
        check_done_once(through(prefix))
        survived += 1
    print(f"server gone from one of {len(requests)} requests on: survived {survived} / {tried}")
    assert survived == tried > 15


def test_a_server_that_is_full_is_named_and_nothing_is_registered(faulty, through):
    registry = through("full")
    faulty.begin(lambda r: FULL if r.method == "PUT" and "/uploads/" in r.path else None)
    with pytest.raises(
        EquipoiseError, match=r"507 InsufficientStorage\. There is no space left\. Nothing was registered"
    ):
        job(registry)
    faulty.begin()
    assert through("full").names() == []


def test_a_server_that_does_not_answer_is_given_up(faulty, through, monkeypatch):
    monkeypatch.setattr(client, "READ_SECONDS", 0.2)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    faulty.begin(lambda _: "slow")
    with pytest.raises(EquipoiseError, match=r"Read timeout.*run again"):
        through("silent").names()


def test_a_server_that_ignores_conditions_is_refused_before_anything_is_written(faulty, through):
    faulty.begin(lambda _: UNCONDITIONAL)
    for act in (lambda r: job(r), lambda r: r.probe()):
        with pytest.raises(InputError, match="ignores `If-None-Match"):
            act(through("unconditional"))
    assert through("unconditional").names() == []


def test_a_bucket_that_keeps_versions_is_refused(bucket):
    bucket.client.create_bucket(Bucket="versioned")
    bucket.client.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    with pytest.raises(InputError, match="without versioning"):
        open_registry("s3://versioned/x").probe()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file that goes in parts."""
    path = tmp_path / "weights.safetensors"
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for number in range(LARGE >> 20):
            file.write(block[number:] + block[:number])
    return path


PUBLISHER = """
import sys
from pathlib import Path
from tasks.registry import open_registry
files = {"predictor/weights.safetensors": Path(sys.argv[2]), "params.json": b"{}"}
print(open_registry(sys.argv[1]).publish("adult", files, run="r", summary={}).version)
"""


def sent_parts(requests: list[Request]) -> list[Request]:
    return [r for r in requests if r.method == "PUT" and "partNumber=" in r.path]


def test_a_writer_killed_while_it_sends_a_large_file_leaves_nothing_and_goes_on_where_it_was(
    faulty, through, large, bucket
):
    """SIGKILL after some parts; the next one sends the others alone."""
    registry = through("large")
    parts = LARGE // (8 << 20)
    begun: list[subprocess.Popen[str]] = []

    def kill_after_two(request: Request) -> str | None:
        if "partNumber=" not in request.path or len(sent_parts(faulty.seen)) <= 2:
            return None
        begun[0].send_signal(signal.SIGKILL)
        begun[0].wait()
        return "cut"

    faulty.begin(kill_after_two)
    command = [sys.executable, "-c", PUBLISHER, registry.url, str(large)]
    begun.append(subprocess.Popen(command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE))
    assert begun[0].communicate()[0] == ""
    assert begun[0].returncode == -signal.SIGKILL
    assert registry.names() == []
    faulty.begin()
    published = registry.publish("adult", {"predictor/weights.safetensors": large, "params.json": b"{}"}, "r", {})
    assert published.version == "v1"
    again = len(sent_parts(faulty.seen))
    print(f"killed after 2 of {parts} parts: {again} were sent afterwards")
    assert 0 < again < parts
    loaded = registry.load("adult", "v1")
    assert (loaded.directory / "predictor/weights.safetensors").read_bytes() == large.read_bytes()
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=BUCKET, Prefix=bucket.prefix)


def test_parts_survive_faults_and_a_source_that_changes_is_refused(faulty, through, large):
    registry = through("parts")
    kinds = itertools.cycle(("500", None, "lost", None, None, "cut", None))
    faulty.begin(lambda r: next(kinds) if "uploadId" in r.path else None)
    registry.publish("adult", {"w.safetensors": large}, "r", {})
    faulty.begin()
    assert (registry.load("adult", "v1").directory / "w.safetensors").read_bytes() == large.read_bytes()

    def touch(request: Request) -> None:
        if "partNumber=1&" in request.path or request.path.endswith("partNumber=1"):
            with large.open("r+b") as file:
                file.write(b"other")

    faulty.begin(touch)
    with pytest.raises(InputError, match="changed while it was being registered"):
        registry.publish("adult", {"w.safetensors": large}, "other", {})
    assert registry.versions("adult") == ["v1"]


@contextlib.contextmanager
def killable(server: Server) -> Iterator[tuple[str, Callable[[], None]]]:
    """The endpoint of what can be killed in front of a server's storage, and what kills it (-9) and starts it again.

    With Ceph it is the gateway itself; moto keeps everything in its one process, so there it is a proxy's.
    """
    port = int(server.endpoint.rpartition(":")[2])
    if server.kill_and_start is not None:
        yield server.endpoint, server.kill_and_start
        return
    front = free_port()

    def begin() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fault_proxy", str(front), str(port)],
            cwd=REPOSITORY,
            stderr=subprocess.DEVNULL,
        )
        while True:
            with contextlib.suppress(OSError):
                __import__("socket").create_connection(("127.0.0.1", front), 1).close()
                return process
            time.sleep(0.05)

    running = [begin()]

    def restart() -> None:
        running[0].kill()
        running[0].wait()
        running[0] = begin()

    try:
        yield f"http://127.0.0.1:{front}", restart
    finally:
        running[0].kill()
        running[0].wait()


@pytest.fixture(params=["moto", "ceph"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


KILLS = 3


def test_the_server_killed_during_uploads_and_promotions(server, tmp_path, large, monkeypatch):
    """kill -9 while a large file is on its way, and while the champion goes back and forth: nothing is lost or done twice."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "10")
    with killable(server) as (endpoint, kill):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        registry = open_registry(f"s3://{BUCKET}/{tmp_path.name}")
        registry.publish("adult", CONTENT, "small", {})
        done: list[str] = []
        direct, survived = server.client(), 0
        for n in range(KILLS):
            work = threading.Thread(
                target=lambda n=n: done.append(registry.publish("adult", {"w.safetensors": large}, f"l{n}", {}).version)
            )
            work.start()
            while work.is_alive() and "Uploads" not in direct.list_multipart_uploads(
                Bucket=BUCKET, Prefix=tmp_path.name
            ):
                time.sleep(0.005)
            kill()
            work.join()
            survived += len(done) == n + 1
        print(f"server killed during an upload: survived {survived} / {KILLS}")
        assert done == ["v2", "v3", "v4"]
        told: list[tuple[str, int]] = []

        def back_and_forth() -> None:
            for n in range(12):
                version = f"v{1 + n % 2}"
                move = (
                    registry.promote("adult", version, "challenger")
                    if n % 2
                    else registry.promote("adult", "v1", f"a{n}")
                )
                assert move is not None or n % 2
                if move is not None:
                    told.append((move.to_version, move.number))

        work = threading.Thread(target=back_and_forth)
        work.start()
        for _ in range(KILLS):
            time.sleep(0.3)
            kill()
        work.join()
        history = [(move.to_version, move.number) for move in registry.history("adult")]
        print(f"server killed during promotions: survived {KILLS if history == told else 0} / {KILLS}")
        assert history == told
        assert [n for _, n in history] == list(range(1, len(history) + 1))
        check_whole(registry)


def test_a_full_disk_of_the_reader_is_named(bucket, publish, monkeypatch, tmp_path):
    import resource

    registry = bucket.registry()
    registry.publish("adult", {"w.safetensors": b"x" * 1_000_000}, "r", {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(EquipoiseError, match=r"(?s)cannot be fetched into .*set TMPDIR"):
            registry.load("adult", "v1")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    registry.load("adult", "v1")
