"""The registry's store in a bucket: see store.Store for what is promised, layout.py for where things are."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from models.errors import EquipoiseError, InputError
from tasks.registry.manifest import FileEntry, Manifest
from tasks.registry.private import Private, remove_abandoned
from tasks.registry.s3 import layout
from tasks.registry.s3.client import Connection, is_missing, moment_of
from tasks.registry.s3.download import fetch_file, fetch_record
from tasks.registry.s3.upload import Target, open_uploads, put_new, send
from tasks.registry.seals import Seals
from tasks.registry.sources import measured
from tasks.registry.store import VERSIONS, Fetched, Leftover, Series

FETCHERS = 8
MOST_STRANGERS = 1000
MARK = Seals().seal(
    "registry", {"format": 1, "about": "A model registry of Equipoise. Do not change what is below here."}
)


class S3Store:
    """See Store. Nothing is connected to before it is needed; threads may share it."""

    def __init__(self, url: str, place: layout.Place) -> None:
        self.url = url.rstrip("/")
        self._place = place
        self.connection = Connection(self.url)
        self._known: dict[Series, int] = {}
        self._checked = False
        self._lock = threading.Lock()

    @staticmethod
    def at(url: str, place: str) -> S3Store:
        """The store at s3://`place`; InputError if that cannot be one."""
        return S3Store(url, layout.parse_place(url, place))

    def names(self) -> list[str]:
        start = self._place.key(layout.NAMES)
        with self.connection.explained("list the models"):
            return [key.removeprefix(start) for key, _ in self._listed(start)]

    def last(self, series: Series) -> int:
        # A series has no gaps: one that has not grown since it was last looked at has no next record.
        known = self._known.get(series)
        if known is not None and not self._exists(layout.key_of(series, known + 1)):
            return known
        start = self._place.key(layout.folder_of(series))
        with self.connection.explained(f"list the {series.kind} of {series.name}"):
            found = self._first_record(start)
        if found:
            self._grown(series, found)
        return found

    def read(self, series: Series, number: int) -> bytes | None:
        key = layout.key_of(series, number)
        with self.connection.explained(f"read {key}"):
            return fetch_record(self.target(key))

    def create(self, series: Series, number: int, content: bytes) -> bool:
        self._check_conditions()
        target = self.target(layout.key_of(series, number))
        with self.connection.explained(f"write {target.key}"):
            # A try whose answer was lost meets its own work at the next: what is there is then what was to be written.
            created = put_new(target, content) or fetch_record(target) == content
        if created:
            self._grown(series, number)
        return created

    def where(self, series: Series, number: int) -> str:
        return f"{self.url}/{layout.key_of(series, number)}"

    @contextlib.contextmanager
    def writer(self, name: str, run: str) -> Iterator[_Writer]:
        self._check_conditions()
        yield _Writer(self, name, layout.upload_of(run, int(self.moment() // layout.DAY_SECONDS)))

    def fetch(self, manifest: Manifest, where: str) -> Fetched:
        directory = self._private_directory()
        present: list[str] = []

        def one(item: tuple[str, FileEntry]) -> None:
            path, entry = item
            target = self.target(layout.file_key(manifest.name, manifest.stored, entry.sha256))
            if fetch_file(target, directory / path, entry, f"{where}: '{path}'"):
                present.append(path)

        with self.connection.explained(f"read {where}"), ThreadPoolExecutor(FETCHERS) as threads:
            try:
                list(threads.map(one, sorted(manifest.files.items(), key=lambda item: -item[1].bytes)))
            except OSError as error:
                raise EquipoiseError(
                    f"{where} cannot be fetched into {directory}: {error.strerror}. Make room there, or set TMPDIR to another folder."
                ) from None
        return Fetched(directory, tuple(present))

    def probe(self) -> None:
        self._checked = False
        self._check_conditions()

    def tidy(self) -> int:
        with contextlib.suppress(OSError):
            return remove_abandoned(_area())
        return 0

    def leftovers(self, name: str, grace: float) -> list[Leftover]:
        start = self._place.key(f"{name}/{layout.UPLOADS}/")
        with self.connection.explained(f"list the uploads of {name}"):
            now = self.moment()
            whole = [(key, size, ()) for key, size in self._listed(start)]
            parts = [
                (str(upload["Key"]), 0, (str(upload["UploadId"]),))
                for upload in open_uploads(self.connection.client, self._place.bucket, start)
            ]
        found: list[Leftover] = []
        for key, size, upload in (*whole, *parts):
            file = layout.parse_file(key.removeprefix(start))
            if file is not None and now - layout.end_of(file[0]) >= grace:
                # An upload in parts that was never completed is garbage even if the same content came in otherwise.
                found.append(Leftover(file[0], file[1] if not upload else "", size, (key, *upload)))
        return found

    def remove(self, garbage: Iterable[Leftover]) -> None:
        client, bucket = self.connection.client, self._place.bucket
        with self.connection.explained("remove what was never registered"):
            for one in garbage:
                key, *upload = one.address
                if upload:
                    with contextlib.suppress(client.exceptions.NoSuchUpload):
                        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload[0])
                else:
                    client.delete_object(Bucket=bucket, Key=key)

    def moment(self) -> float:
        """The time by the server's clock, which all writers and collectors share."""
        with self.connection.explained("ask for the time"):
            return moment_of(self.connection.client.head_bucket(Bucket=self._place.bucket))

    def target(self, key: str) -> Target:
        """Something of this registry in the bucket."""
        return Target(self.connection, self._place.bucket, self._place.key(key))

    def _exists(self, key: str) -> bool:
        target = self.target(key)
        with self.connection.explained(f"look for {key}"):
            return target.size() is not None

    def _first_record(self, start: str) -> int:
        """The highest number is the first name. What does not belong there is passed over."""
        for most in (1, MOST_STRANGERS):
            names = [key.removeprefix(start) for key, _ in self._listed(start, most)]
            numbers = (layout.number_of(name) for name in names)
            found = next((number for number in numbers if number is not None), None)
            if found is not None or len(names) < most:
                return found or 0
        return 0

    def _listed(self, start: str, most: int | None = None) -> Iterator[tuple[str, int]]:
        """(key, bytes) of everything below, in the order of the names; the first `most`, in one request, if that is given."""
        client, where = self.connection.client, {"Bucket": self._place.bucket, "Prefix": start}
        if most is not None:
            pages: Iterable[Any] = [client.list_objects_v2(**where, MaxKeys=most)]
        else:
            pages = client.get_paginator("list_objects_v2").paginate(**where)
        for page in pages:
            for item in page.get("Contents", ()):
                yield str(item["Key"]), int(item["Size"])

    def _grown(self, series: Series, number: int) -> None:
        with self._lock:
            self._known[series] = max(number, self._known.get(series, 0))

    def _check_conditions(self) -> None:
        """Once, before the first write: that the server refuses to create what there is, which everything rests on."""
        with self._lock:
            if self._checked:
                return
            target = self.target(layout.MARKER)
            with self.connection.explained("write"):
                self._check_versioning()
                if put_new(target, MARK) and put_new(target, MARK):
                    raise InputError(
                        f"registry {self.url}: this server ignores `If-None-Match: *`, so two writers could overwrite each other. "
                        "Use one that honours conditional writes (AWS S3, Ceph, MinIO …)."
                    )
            self._checked = True

    def _check_versioning(self) -> None:
        from botocore.exceptions import ClientError

        try:
            answer = self.connection.client.get_bucket_versioning(Bucket=self._place.bucket)
        except ClientError as error:
            if is_missing(error) or error.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 501, 405):
                return  # not said, or not known
            raise
        server = str(answer["ResponseMetadata"]["HTTPHeaders"].get("server", ""))
        if answer.get("Status") == "Enabled" and "AmazonS3" not in server:
            raise InputError(
                f"registry {self.url}: its bucket keeps versions of objects, and of such buckets not every server honours "
                "conditional writes. Use a bucket without versioning: the registry itself never overwrites anything."
            )

    def _private_directory(self) -> Path:
        """A directory that is gone when this object is, or with the process."""
        try:
            private = Private(_area())
        except OSError as error:
            raise EquipoiseError(
                f"{error.filename or tempfile.gettempdir()} cannot be used ({error.strerror}). Set TMPDIR to a folder with room."
            ) from None
        weakref.finalize(self, private.end)
        return private.directory


class _Writer:
    """A version whose files are in the bucket under their upload; the manifest alone makes them a version."""

    def __init__(self, store: S3Store, name: str, stored: str) -> None:
        self._store = store
        self._series = Series(name, VERSIONS)
        self.stored = stored

    def add(self, path: str, source: Path | bytes) -> FileEntry:
        entry = measured(source, path)
        target = self._store.target(layout.file_key(self._series.name, self.stored, entry.sha256))
        with self._store.connection.explained(f"write '{path}'"):
            send(target, source, entry, path)
        return entry

    def publish(self, number: int, manifest: bytes) -> bool:
        if self._store.moment() >= layout.end_of(self.stored):
            raise EquipoiseError(
                f"registry {self._store.url}: the upload took more than a day, so its files may be collected as garbage. Nothing was "
                "registered; run again."
            )
        if number == 1:
            # First, so that a model that has a version is always among the names.
            with self._store.connection.explained("write the name"):
                put_new(self._store.target(f"{layout.NAMES}{self._series.name}"), b"")
        return self._store.create(self._series, number, manifest)


def _area() -> Path:
    """Where versions are fetched to: for this user alone, on this machine."""
    area = Path(tempfile.gettempdir()) / f"equipoise-{os.getuid()}"
    area.mkdir(mode=0o700, exist_ok=True)
    found = area.lstat()  # a link could lead to where somebody else wants things removed
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "others could change what is fetched there", str(area))
    return area
