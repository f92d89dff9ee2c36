"""The registry in a bucket beside boto3 itself: a large model there and back, and lists and lookups among many versions.

Run it: `make bench-registry`. The server is Ceph where it is installed, else moto; both sides use the same one. The peer
sends and fetches one file of the same size with boto3's own transfers, and checks no sum; the registry hashes what it sends,
makes a version of it, and verifies every byte that it loads.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks.table import Row, alternate, publish
from infra.production import ceph
from tasks.registry import open_registry
from tasks.registry.manifest import KIND
from tasks.registry.names import version_id
from tasks.registry.seals import Seals
from tasks.registry.store import VERSIONS, Series
from tests.s3_server import BUCKET, Server, ceph_server, moto_server

MEGABYTE = 1_000_000
WRITERS = 8
LOOKUPS = 50


def main(arguments: Sequence[str] | None = None) -> None:
    """Transfers in turns, then the lists."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registry")
    parser.add_argument("--megabytes", type=int, default=200, help="size of the model")
    parser.add_argument("--versions", type=int, default=10_000, help="versions among which is looked up")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--server", choices=("ceph", "moto"), help="by default Ceph where it is installed")
    parser.add_argument("--folder", type=Path, help="where the results go; by default with the others")
    asked = parser.parse_args(arguments)
    kind = asked.server or ("moto" if ceph.missing() else "ceph")
    with tempfile.TemporaryDirectory(prefix="equipoise-benchmark-") as folder, served(kind, Path(folder)) as server:
        rows = transfers(server, Path(folder), asked.megabytes, asked.runs) + lookups(asked.versions, asked.runs)
    where = {"folder": asked.folder} if asked.folder else {}
    publish(
        "registry",
        "The registry in a bucket",
        rows,
        notes=[
            f"Server: {kind}, on the same machine. Model: one file of {asked.megabytes} MB; what boto3 sends and fetches is not verified.",
            f"Lists and lookups: of {asked.versions:,} versions; a lookup asks the server each time where the alias points.",
        ],
        command="make bench-registry",
        **where,
    )


@contextlib.contextmanager
def served(kind: str, folder: Path) -> Iterator[Server]:
    """The server, and the environment that leads to it."""
    with ceph_server(folder / "ceph") if kind == "ceph" else moto_server() as server:
        before = dict(os.environ)
        os.environ.update(server.environment)
        try:
            yield server
        finally:
            os.environ.clear()
            os.environ.update(before)


def transfers(server: Server, folder: Path, megabytes: int, runs: int) -> list[Row]:
    """MB/s of the registry and of boto3, in turns."""
    client, size = server.client(), megabytes * MEGABYTE
    number = iter(range(10**6))

    def fresh() -> Path:
        """Another file each time, so that nothing can be there already."""
        path = folder / "model.safetensors"
        block = os.urandom(MEGABYTE)
        with path.open("wb") as file:
            for i in range(megabytes):
                file.write(block[i:] + block[:i])
        return path

    def timed(act: Callable[[], Any]) -> float:
        began = time.perf_counter()
        act()
        return size / MEGABYTE / (time.perf_counter() - began)

    def raw_up() -> float:
        path, key = fresh(), f"raw/{next(number)}"
        speed = timed(lambda: client.upload_file(str(path), BUCKET, key))
        client.delete_object(Bucket=BUCKET, Key=key)
        return speed

    def up() -> float:
        path, name = fresh(), f"up{next(number)}"
        registry = open_registry(f"s3://{BUCKET}/up")
        speed = timed(lambda: registry.publish(name, {"predictor/weights.safetensors": path}, name, {}))
        _forget(client, f"up/{name}/")
        return speed

    client.upload_file(str(fresh()), BUCKET, "raw/one")
    open_registry(f"s3://{BUCKET}/down").publish("model", {"w.safetensors": folder / "model.safetensors"}, "run", {})

    def raw_down() -> float:
        return timed(lambda: client.download_file(BUCKET, "raw/one", str(folder / "raw")))

    def down() -> float:
        return timed(lambda: open_registry(f"s3://{BUCKET}/down").load("model", "v1"))

    found = alternate({"boto3, sends": raw_up, "publish": up, "boto3, fetches": raw_down, "load, verified": down}, runs)
    promised = {"publish": "boto3, sends", "load, verified": "boto3, fetches"}
    return [
        Row(label, values, "MB/s", peer=promised.get(label), ratio_at_least=0.7 if label in promised else None)
        for label, values in found.items()
    ]


def lookups(versions: int, runs: int) -> list[Row]:
    """Seconds of a list of all versions, and milliseconds of a lookup, by a registry that nothing is known to yet."""
    url = f"s3://{BUCKET}/many"
    registry = open_registry(url)
    metrics = dict.fromkeys(("accuracy", "balanced_accuracy", "roc_auc", "ece", "brier", "log_loss", "macro_f1"), 0.5)
    summary = {"dataset": "lending", "recipe": "none", "learner": "mlp", "verdict": "pass", "metrics": metrics}
    registry.publish("adult", {"params.json": b"{}"}, "run-1", summary)
    first, store, index = registry.manifest("adult", "v1"), registry.store, registry._index("adult")

    def write(number: int) -> None:
        record = first.model_copy(update={"version": version_id(number), "run": f"run-{number}"})
        store.create(Series("adult", VERSIONS), number, Seals().seal(KIND, record.model_dump(mode="json")))

    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(write, range(2, versions + 1)))
    for number in range(16, versions + 1, 16):
        index.complete(number)
    registry.promote("adult", version_id(versions))

    def listed() -> float:
        began = time.perf_counter()
        if len(open_registry(url).listing("adult")) != versions:
            raise RuntimeError("not all versions are listed")
        return time.perf_counter() - began

    def looked_up(known: bool) -> float:
        asked, taken = open_registry(url), []
        if known:
            asked.resolve("adult", "champion")
        for _ in range(LOOKUPS):
            asked = asked if known else open_registry(url)
            began = time.perf_counter()
            asked.resolve("adult", "champion")
            taken.append(1000 * (time.perf_counter() - began))
        return statistics.median(taken)

    found = alternate(
        {"list": listed, "alias": lambda: looked_up(True), "alias, first time": lambda: looked_up(False)}, runs
    )
    return [
        Row(f"list of {versions:,} versions", found["list"], "s", at_most=1.0),
        Row("an alias", found["alias"], "ms", at_most=20.0),
        Row("an alias, by a registry just opened", found["alias, first time"], "ms", at_most=20.0),
    ]


def _forget(client: Any, prefix: str) -> None:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    for page in pages:
        for item in page.get("Contents", ()):
            client.delete_object(Bucket=BUCKET, Key=item["Key"])


if __name__ == "__main__":
    main()
