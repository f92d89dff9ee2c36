"""Where runs put what they have finished, so that runs in other clones go on from it: a folder or a bucket.

It is laid out as a DVC remote (`files/md5/…`, `runs/…`), with the finished trainings of searches beside that (`search/…`).
Nothing there is ever changed: everything has the name of its content, or of all that it follows from, and is there whole or
not at all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from models.errors import EquipoiseError, InputError
from tasks.identity import redacted
from tasks.registry.s3.client import Connection, body, is_missing
from tasks.stage import replacing

VARIABLE = "EQUIPOISE_REMOTE"
"""s3://BUCKET/PREFIX, or a folder. Not a parameter: where things are kept changes nothing that is learned."""


class Remote(Protocol):
    """A place. Whatever goes wrong there is an EquipoiseError."""

    url: str

    def names(self, folder: str) -> list[str]:
        """What there is in a folder, in order."""

    def has(self, key: str) -> bool:
        """Whether there is something under this name."""

    def fetch(self, key: str, target: Path) -> bool:
        """Write it to a file; False where there is nothing."""

    def put(self, key: str, source: Path) -> None:
        """Keep a file under this name."""


def remote_of_environment() -> Remote | None:
    """What EQUIPOISE_REMOTE names, if anything. Nothing is connected to yet. A wrong address is an InputError."""
    url = os.environ.get(VARIABLE, "").strip().rstrip("/")
    if not url:
        return None
    scheme, separator, place = url.partition("://")
    if not separator or scheme == "file":
        return Folder(Path(place or url).expanduser().absolute())
    bucket, _, prefix = place.partition("/")
    if scheme != "s3" or not bucket:
        raise InputError(f"{VARIABLE}: '{redacted(url)}' is neither s3://BUCKET/PREFIX nor a folder.")
    return Bucket(url, bucket, prefix)


class Folder:
    """See Remote. For machines that share a disk."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.url = str(root)

    def names(self, folder: str) -> list[str]:
        with self._explained(f"list {folder}"):
            try:
                return sorted(n for n in os.listdir(self._root / folder) if not n.startswith("."))
            except FileNotFoundError:
                return []

    def has(self, key: str) -> bool:
        return (self._root / key).is_file()

    def fetch(self, key: str, target: Path) -> bool:
        with self._explained(f"read {key}"):
            try:
                shutil.copyfile(self._root / key, target)
            except FileNotFoundError:
                return False
            return True

    def put(self, key: str, source: Path) -> None:
        with self._explained(f"write {key}"), replacing(self._root / key) as temporary:
            shutil.copyfile(source, temporary)

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise EquipoiseError(f"remote {self.url}: cannot {doing}: {error.strerror or error}") from error


class Bucket:
    """See Remote. Credentials and endpoint come from AWS's standard chain; an upload is seen when it is complete."""

    def __init__(self, url: str, bucket: str, prefix: str) -> None:
        self.url = url
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._connection = Connection(url)

    def names(self, folder: str) -> list[str]:
        start = f"{self._prefix}{folder}/"
        with self._explained(f"list {folder}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start)
            return [item["Key"].removeprefix(start) for page in pages for item in page.get("Contents", ())]

    def has(self, key: str) -> bool:
        from botocore.exceptions import ClientError

        with self._explained(f"look for {key}"):
            try:
                self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
            except ClientError as error:
                if is_missing(error):
                    return False
                raise
            return True

    def fetch(self, key: str, target: Path) -> bool:
        from botocore.exceptions import ClientError

        def act() -> None:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            with body(), target.open("wb") as file:
                shutil.copyfileobj(answer["Body"], file)

        with self._explained(f"read {key}"):
            try:
                self._connection.patiently(act)
            except ClientError as error:
                if is_missing(error):
                    return False
                raise
            return True

    def put(self, key: str, source: Path) -> None:
        with self._explained(f"write {key}"):
            self._client.upload_file(str(source), self._bucket, self._prefix + key)

    @property
    def _client(self) -> Any:
        return self._connection.client

    @contextlib.contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except (ClientError, BotoCoreError, Boto3Error, HTTPError, OSError) as error:
            raise EquipoiseError(f"remote {self.url}: cannot {doing}: {redacted(str(error))}") from None
