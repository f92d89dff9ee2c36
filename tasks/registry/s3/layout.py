"""Where things are in the bucket.

_registry.json                                 says that this is a registry; proves that the server honours conditions
_names/NAME                                    the models
NAME/versions/REST-N.json                      the manifest of version N: with it the version appears
NAME/aliases/REST-N.json                       move N of the aliases
NAME/index-L/REST-N.json                       what listings show of 16, 256 or 4,096 versions
NAME/uploads/DAY-RUN/SHA256                    the files: by content, under the upload that brought them in

REST is what is missing to the highest number, so that S3, which lists names upwards only, gives the newest first: one
request for one name answers what is the present state. Nothing is ever overwritten.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from models.errors import InputError
from tasks.registry.store import Series

HIGHEST = 999_999_999
MARKER = "_registry.json"
NAMES = "_names/"
UPLOADS = "uploads"

DAY_SECONDS = 24 * 3600
DAYS_OF_AN_UPLOAD = 2
"""The day on which an upload began and the next: after that it may not be published any more."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9_=.-]+(/[A-Za-z0-9_=.-]+)*")
_RECORD = re.compile(r"([0-9]{9})-([1-9][0-9]{0,8})\.json")
_UPLOAD = re.compile(r"([0-9]{8}-[0-9a-f]{32})/([0-9a-f]{64})")


@dataclass(frozen=True)
class Place:
    """A bucket, and a prefix that is empty or ends with '/'."""

    bucket: str
    prefix: str

    def key(self, name: str) -> str:
        """The key of something in this registry."""
        return self.prefix + name


def parse_place(url: str, place: str) -> Place:
    """`bucket/prefix`. Credentials in the address are refused, and not repeated."""
    bucket, _, prefix = place.partition("/")
    if "@" in place or "?" in place or "#" in place:
        raise InputError(
            "registry.url: write s3://bucket/prefix and nothing else. Credentials belong where AWS's own tools take them from "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, a role), another server into AWS_ENDPOINT_URL."
        )
    prefix = prefix.strip("/")
    if not _BUCKET.fullmatch(bucket):
        raise InputError(f"registry.url: '{url}': '{bucket}' cannot be a bucket. Write s3://bucket/prefix.")
    if prefix and (not _PREFIX.fullmatch(prefix) or any(set(part) == {"."} for part in prefix.split("/"))):
        raise InputError(
            f"registry.url: '{url}': the prefix may have letters, digits, '_', '-', '=' and '.' between its '/'."
        )
    return Place(bucket, f"{prefix}/" if prefix else "")


def folder_of(series: Series) -> str:
    """What all keys of a series begin with."""
    return f"{series.name}/{series.kind}/"


def key_of(series: Series, number: int) -> str:
    """The key of a record."""
    return f"{folder_of(series)}{HIGHEST - number:09d}-{number}.json"


def number_of(name: str) -> int | None:
    """The number of a record, from the end of its key; None for anything else that lies there."""
    found = _RECORD.fullmatch(name)
    return int(found[2]) if found and int(found[1]) + int(found[2]) == HIGHEST else None


def upload_of(run: str, day: int) -> str:
    """The name of the upload that brings in what a run made: the same for the same run on the same day, so it can go on."""
    return f"{day:08d}-{hashlib.sha256(run.encode()).hexdigest()[:32]}"


def file_key(name: str, stored: str, sha256: str) -> str:
    """The key of a file."""
    return f"{name}/{UPLOADS}/{stored}/{sha256}"


def parse_file(rest: str) -> tuple[str, str] | None:
    """(upload, SHA-256) of a file, from the end of its key."""
    found = _UPLOAD.fullmatch(rest)
    return (found[1], found[2]) if found else None


def end_of(stored: str) -> float:
    """The second, by the server's clock, at which an upload may no longer be published."""
    return float((int(stored[:8]) + DAYS_OF_AN_UPLOAD) * DAY_SECONDS)
