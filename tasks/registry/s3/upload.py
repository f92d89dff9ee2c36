"""Bringing files into the bucket: small ones at once, large ones in parts that go on where a killed upload stopped."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import EquipoiseError, InputError
from tasks.progress import measured as metered
from tasks.registry.manifest import FileEntry
from tasks.registry.s3.client import Connection, is_missing, pause, status_of
from tasks.registry.sources import readable

log = logging.getLogger("equipoise")

PART_BYTES = 8 << 20
AT_ONCE_BYTES = 16 << 20
"""Up to here a file is one request."""
MOST_PARTS = 9_000
SENDERS = 8


@dataclass(frozen=True)
class Target:
    """Where a file goes."""

    connection: Connection
    bucket: str
    key: str

    @property
    def address(self) -> dict[str, str]:
        """As boto3 wants it."""
        return {"Bucket": self.bucket, "Key": self.key}

    def size(self) -> int | None:
        """Bytes of what is there; None when nothing is."""
        from botocore.exceptions import ClientError

        try:
            return int(self.connection.client.head_object(**self.address)["ContentLength"])
        except ClientError as error:
            if is_missing(error):
                return None
            raise


def put_new(target: Target, content: bytes) -> bool:
    """Create an object; False when there is one. That a first answer was lost, and a second try met the first, is for the
    caller to find out."""
    from botocore.exceptions import ClientError

    md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
    for attempt in range(1, target.connection.attempts + 1):
        try:
            target.connection.client.put_object(**target.address, Body=content, ContentMD5=md5, IfNoneMatch="*")
            return True
        except ClientError as error:
            if status_of(error) == 412:
                return False
            # 409: somebody else is writing the same key at this moment, and may fail to.
            if status_of(error) != 409 or attempt == target.connection.attempts:
                raise
            pause(attempt)
    return False


def send(target: Target, source: Path | bytes, entry: FileEntry, path: str) -> None:
    """Bring a file in under a key that says what it holds; one that is there already is taken for what its key says."""
    if isinstance(source, bytes):
        put_new(target, source)
    elif entry.bytes <= AT_ONCE_BYTES:
        with readable(source, path):
            content = source.read_bytes()
        if hashlib.sha256(content).hexdigest() != entry.sha256:
            raise _changed(source)
        put_new(target, content)
    else:
        _send_large(target, source, entry, path)


def _send_large(target: Target, source: Path, entry: FileEntry, path: str) -> None:
    from botocore.exceptions import ClientError

    if target.size() == entry.bytes:
        return
    for attempt in range(1, target.connection.attempts + 1):
        try:
            with readable(source, path):
                opened = os.open(source, os.O_RDONLY)
            try:
                _Multipart(target, source, opened, entry).run()
            finally:
                os.close(opened)
        except ClientError as error:
            # The upload is gone, or the object is there: another writer of the same run has finished, or has given up.
            if error.response.get("Error", {}).get("Code") != "NoSuchUpload" and status_of(error) not in (
                404,
                409,
                412,
            ):
                raise
            if target.size() == entry.bytes:
                return
            if attempt == target.connection.attempts:
                raise
            pause(attempt)
        else:
            return


class _Multipart:
    """One large file in parts. Parts that the server has, with the right sum, are not sent again."""

    def __init__(self, target: Target, source: Path, opened: int, entry: FileEntry) -> None:
        self._target = target
        self._client = target.connection.client
        self._source = source
        self._opened = opened
        self._entry = entry
        least = -(-entry.bytes // MOST_PARTS)
        self._size = max(PART_BYTES, -(-least // (1 << 20)) * (1 << 20))
        self._as_it_was = _state(opened)

    def run(self) -> None:
        upload, known = self._begun() or (self._begin(), {})
        offsets = range(0, self._entry.bytes, self._size)
        parts: list[dict[str, Any]] = []
        name = f"sending {self._source.name}"
        with ThreadPoolExecutor(SENDERS) as senders, metered(name, self._entry.bytes, "bytes") as meter:
            sent = [senders.submit(self._part, upload, i + 1, offset, known) for i, offset in enumerate(offsets)]
            try:
                for done in as_completed(sent):
                    part, size = done.result()
                    parts.append(part)
                    meter.advance(size)
            except BaseException:
                for future in sent:
                    future.cancel()
                raise
        if _state(self._opened) != self._as_it_was:
            self._client.abort_multipart_upload(**self._target.address, UploadId=upload)
            raise _changed(self._source)
        parts.sort(key=lambda part: part["PartNumber"])
        self._client.complete_multipart_upload(
            **self._target.address, UploadId=upload, MultipartUpload={"Parts": parts}, IfNoneMatch="*"
        )

    def _part(self, upload: str, number: int, offset: int, known: dict[int, str]) -> tuple[dict[str, Any], int]:
        content = _read(self._opened, self._size, offset, self._source)
        md5 = hashlib.md5(content, usedforsecurity=False)
        etag = known.get(number)
        if etag is None or etag.strip('"') != md5.hexdigest():
            answer = self._client.upload_part(
                **self._target.address,
                UploadId=upload,
                PartNumber=number,
                Body=content,
                ContentMD5=base64.b64encode(md5.digest()).decode(),
            )
            etag = str(answer["ETag"])
        return {"PartNumber": number, "ETag": etag}, len(content)

    def _begin(self) -> str:
        return str(self._client.create_multipart_upload(**self._target.address)["UploadId"])

    def _begun(self) -> tuple[str, dict[int, str]] | None:
        """The upload of this file that a killed writer left, with the sums of its parts."""
        found = [
            u for u in open_uploads(self._client, self._target.bucket, self._target.key) if u["Key"] == self._target.key
        ]
        if not found:
            return None
        upload = str(max(found, key=lambda u: str(u["Initiated"]))["UploadId"])
        pages = self._client.get_paginator("list_parts").paginate(**self._target.address, UploadId=upload)
        parts = [part for page in pages for part in page.get("Parts", ())]
        log.info("%s: going on after %d parts that are there", self._source.name, len(parts))
        return upload, {int(part["PartNumber"]): str(part["ETag"]) for part in parts}


def open_uploads(client: Any, bucket: str, prefix: str) -> Iterator[dict[str, Any]]:
    """Uploads in parts that have not been completed, below a prefix."""
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    for page in pages:
        yield from page.get("Uploads", ())


def _read(opened: int, size: int, offset: int, source: Path) -> bytes:
    pieces: list[bytes] = []
    while size > 0:
        try:
            piece = os.pread(opened, size, offset)
        except OSError as error:
            raise EquipoiseError(f"{source} cannot be read ({error.strerror}). Nothing was registered.") from None
        if not piece:
            break
        pieces.append(piece)
        size, offset = size - len(piece), offset + len(piece)
    return b"".join(pieces)


def _state(opened: int) -> tuple[int, int, int]:
    found = os.fstat(opened)
    return found.st_size, found.st_mtime_ns, found.st_ino


def _changed(source: Path) -> InputError:
    return InputError(f"{source} changed while it was being registered, so nothing was. Run again when it is at rest.")
