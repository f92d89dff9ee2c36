"""Fetching records and files. What comes is not believed yet: the manifest's sums are for the caller to check."""

from __future__ import annotations

from pathlib import Path

from tasks.registry.manifest import CHUNK, FileEntry
from tasks.registry.s3.client import body, is_missing
from tasks.registry.s3.upload import AT_ONCE_BYTES, Target
from tasks.registry.seals import CorruptError

LARGEST_RECORD_BYTES = 256 << 20


def fetch_record(target: Target) -> bytes | None:
    """An object's content; None when there is none."""
    from botocore.exceptions import ClientError

    def once() -> bytes | None:
        try:
            answer = target.connection.client.get_object(**target.address)
        except ClientError as error:
            if is_missing(error):
                return None
            raise
        size = int(answer["ContentLength"])
        if size > LARGEST_RECORD_BYTES:
            raise CorruptError(
                f"s3://{target.bucket}/{target.key} has {size} bytes, which no record has. Nothing was loaded."
            )
        with body():
            content: bytes = answer["Body"].read()
        return content

    return target.connection.patiently(once)


def fetch_file(target: Target, to: Path, entry: FileEntry, where: str) -> bool:
    """Write an object's content to a new file; False when there is none. One of another size is not even begun."""
    from boto3.s3.transfer import TransferConfig

    to.parent.mkdir(parents=True, exist_ok=True)
    if entry.bytes <= AT_ONCE_BYTES:
        return target.connection.patiently(lambda: _fetch_at_once(target, to, entry, where))
    size = target.size()
    if size is None:
        return False
    _check_size(size, entry, where)
    target.connection.client.download_file(target.bucket, target.key, str(to), Config=TransferConfig())
    return True


def _fetch_at_once(target: Target, to: Path, entry: FileEntry, where: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        answer = target.connection.client.get_object(**target.address)
    except ClientError as error:
        if is_missing(error):
            return False
        raise
    _check_size(int(answer["ContentLength"]), entry, where)
    content = answer["Body"]
    with to.open("wb") as file:
        while True:
            with body():
                chunk = content.read(CHUNK)
            if not chunk:
                return True
            file.write(chunk)


def _check_size(size: int, entry: FileEntry, where: str) -> None:
    if size != entry.bytes:
        raise CorruptError(
            f"{where} has {size} bytes, its manifest says {entry.bytes}: it is cut off or changed. Nothing was loaded. Restore "
            "it from a backup."
        )
