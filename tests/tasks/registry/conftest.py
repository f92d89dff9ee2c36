"""The places that a registry can live in; every test of the conformance suite runs on each of them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

from infra.production import ceph as ceph_s3
from tasks.registry import Published, Registry, open_registry
from tasks.registry.s3 import layout
from tasks.registry.store import ALIASES, VERSIONS, Series
from tests.s3_server import BUCKET, Server, ceph_server, moto_server


class Place(Protocol):
    """A registry that does not exist yet, and the raw access to what it will hold with which a test damages it."""

    kind: str
    url: str

    def registry(self) -> Registry:
        """A registry that knows nothing yet."""

    def another(self) -> Place:
        """One more, elsewhere."""

    def everything(self) -> list[str]:
        """Everything there is, hidden things too, but for what the place itself needs."""

    def of_file(self, name: str, version: int, path: str) -> str:
        """The key of a version's file."""

    def of_manifest(self, name: str, version: int) -> str:
        """The key of a version's manifest."""

    def of_move(self, name: str, number: int) -> str:
        """The key of a move of an alias."""

    def read(self, key: str) -> bytes:
        """What is there."""

    def overwrite(self, key: str, content: bytes) -> None:
        """Change or add something behind the registry's back."""

    def remove(self, key: str) -> None:
        """Take something away."""


@dataclass
class FilePlace:
    """A folder."""

    root: Path
    kind = "file"

    @property
    def url(self) -> str:
        return f"file://{self.root}"

    def registry(self) -> Registry:
        return open_registry(self.url)

    def another(self) -> FilePlace:
        return FilePlace(self.root.with_name(f"{self.root.name}-other"))

    def everything(self) -> list[str]:
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.rglob("*") if p.is_file())

    def of_file(self, name: str, version: int, path: str) -> str:
        return f"{name}/versions/v{version}/{path}"

    def of_manifest(self, name: str, version: int) -> str:
        return self.of_file(name, version, "manifest.json")

    def of_move(self, name: str, number: int) -> str:
        return f"{name}/aliases/{number:08d}.json"

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def overwrite(self, key: str, content: bytes) -> None:
        path = self.root / key
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def remove(self, key: str) -> None:
        (self.root / key).unlink()


@dataclass
class S3Place:
    """A prefix in a bucket of a running server."""

    server: Server
    prefix: str
    client: Any = field(repr=False)
    kind = "s3"

    @property
    def url(self) -> str:
        return f"s3://{BUCKET}/{self.prefix}"

    def registry(self) -> Registry:
        return open_registry(self.url)

    def another(self) -> S3Place:
        return S3Place(self.server, f"{self.prefix}-other", self.client)

    def everything(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{self.prefix}/")
        found = [item["Key"].removeprefix(f"{self.prefix}/") for page in pages for item in page.get("Contents", ())]
        return [key for key in found if key != layout.MARKER]

    def of_file(self, name: str, version: int, path: str) -> str:
        manifest = self.registry().manifest(name, f"v{version}")
        return layout.file_key(name, manifest.stored, manifest.files[path].sha256)

    def of_manifest(self, name: str, version: int) -> str:
        return layout.key_of(Series(name, VERSIONS), version)

    def of_move(self, name: str, number: int) -> str:
        return layout.key_of(Series(name, ALIASES), number)

    def read(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}")["Body"].read()
        return content

    def overwrite(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}", Body=content)

    def remove(self, key: str) -> None:
        self.client.delete_object(Bucket=BUCKET, Key=f"{self.prefix}/{key}")


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    """moto's S3 server."""
    with moto_server() as server:
        yield server


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Ceph's S3 server, where it is installed."""
    missing = ceph_s3.missing()
    if missing is not None:
        pytest.skip(f"{missing} is not installed; on Debian: apt-get install ceph-mon ceph-osd radosgw")
    with ceph_server(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@contextlib.contextmanager
def at(server: Server, tmp_path: Path) -> Iterator[S3Place]:
    """A place there that no other test uses, and the environment that leads to it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        patch.delenv("AWS_PROFILE", raising=False)
        yield S3Place(server, tmp_path.name, server.client())


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where the system has one: there it costs nothing that every record is forced to the disk."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=shared, prefix="equipoise-") as made:
        yield Path(made)


@pytest.fixture(params=["file", "moto", "ceph"])
def place(request: pytest.FixtureRequest, tmp_path: Path, memory: Path) -> Iterator[Place]:
    """An empty place of each kind."""
    if request.param == "file":
        yield FilePlace(memory / "registry")
    else:
        with at(request.getfixturevalue(request.param), tmp_path) as found:
            yield found


@pytest.fixture
def folder(tmp_path: Path) -> FilePlace:
    """An empty folder, for what is true of folders alone."""
    return FilePlace(tmp_path / "registry")


@pytest.fixture
def bucket(moto: Server, tmp_path: Path) -> Iterator[S3Place]:
    """An empty place in moto's bucket, for what is true of buckets alone."""
    with at(moto, tmp_path) as found:
        yield found


Publish = Callable[..., Published]


@pytest.fixture
def publish() -> Publish:
    """Publish a small version; `content` tells versions and their runs apart."""

    def made(registry: Registry, name: str = "adult", content: str = "a", run: str | None = None) -> Published:
        files: dict[str, Path | bytes] = {
            "predictor/weights.safetensors": content.encode() * 1000,
            "params.json": f'{{"seed": "{content}"}}'.encode(),
            "report.html": b"<p>report</p>",
        }
        return registry.publish(name, files, run=run or f"run-{content}", summary={"balanced_accuracy": 0.8})

    return made
