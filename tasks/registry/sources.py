"""Reading the files that become a version: copied or only measured, the sum always over the bytes that were read."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from models.errors import InputError
from tasks.registry.manifest import CHUNK, FileEntry


def copied(source: Path | bytes, target: Path, path: str) -> FileEntry:
    """Copy and hash in one pass, so that the sum is of what was written. A write's OSError is the store's to explain."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, bytes):
        target.write_bytes(source)
        return measured(source, path)
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as written:
        for chunk in chunks(source, path):
            written.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return FileEntry(sha256=digest.hexdigest(), bytes=size)


def measured(source: Path | bytes, path: str) -> FileEntry:
    """What a file is."""
    if isinstance(source, bytes):
        return FileEntry(sha256=hashlib.sha256(source).hexdigest(), bytes=len(source))
    digest, size = hashlib.sha256(), 0
    for chunk in chunks(source, path):
        digest.update(chunk)
        size += len(chunk)
    return FileEntry(sha256=digest.hexdigest(), bytes=size)


def chunks(source: Path, path: str) -> Iterator[bytes]:
    """The content in pieces; a source that cannot be read is named."""
    with readable(source, path), source.open("rb") as opened:
        while True:
            with readable(source, path):
                chunk = opened.read(CHUNK)
            if not chunk:
                return
            yield chunk


@contextlib.contextmanager
def readable(source: Path, path: str) -> Iterator[None]:
    """An error in reading `source`, which would be 'path' in the version, as one that says what to do."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{source} cannot be read ({error.strerror}), so '{path}' cannot be registered. Check the disk, and run its stage "
            "again."
        ) from None
