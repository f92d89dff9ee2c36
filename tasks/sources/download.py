"""Fetching a file from https:// or s3://: under a temporary name, checked, and only then under its own."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from models.errors import EquipoiseError, InputError
from tasks.progress import measured
from tasks.stage import replacing

log = logging.getLogger("equipoise")

CHUNK = 1 << 16
TIMEOUT_SECONDS = 60
ATTEMPTS = 3
SECONDS_BETWEEN_ATTEMPTS = 1.0
SECONDS_UNTIL_STALE = 3600.0


class DownloadError(EquipoiseError):
    """The other side did not answer, or stopped in the middle. Trying again can help."""


def is_remote(path: str) -> bool:
    """Whether `path` is an address rather than a file of this machine."""
    return urllib.parse.urlsplit(path).scheme in ("http", "https", "s3")


def shown(url: str) -> str:
    """The address without user, password and query, which may hold secrets."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def fetch(url: str, destination: Path, sha256: str | None = None) -> str:
    """Download `url` to `destination` and return its SHA-256; on any error `destination` is as it was before.

    Raises InputError for a wrong address or checksum, DownloadError when trying again may help.
    """
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in ("http", "https", "s3"):
        raise InputError(f"data.path: {shown(url)}: '{scheme}://' is not supported. Use a path, https:// or s3://.")
    _remove_stale(destination)
    for attempt in range(2, ATTEMPTS + 1):
        try:
            return _fetch_once(url, destination, sha256)
        except DownloadError as error:
            log.info("%s Trying again (%d of %d).", error, attempt, ATTEMPTS)
            time.sleep(SECONDS_BETWEEN_ATTEMPTS)
    return _fetch_once(url, destination, sha256)


def _fetch_once(url: str, destination: Path, sha256: str | None) -> str:
    with replacing(destination) as temporary:
        if url.startswith("s3://"):
            digest = _copy_s3(url, temporary)
        else:
            digest = _copy_http(url, temporary, sha256 is not None)
        check_sum(digest, sha256, shown(url), "Nothing was kept; check the address, or whether the file was replaced")
    return digest


def check_sum(found: str, expected: str | None, what: str, advice: str) -> None:
    """Raise InputError with both sums if they differ; nothing is checked when none is `expected`."""
    if expected is not None and found != expected:
        raise InputError(f"{what}: wrong SHA-256.\n  expected {expected}\n  found    {found}\n{advice}.")


def sum_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove_stale(destination: Path) -> None:
    """Remove what a killed download left; a living one has touched its file within the hour."""
    for left in destination.parent.glob(f".{destination.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > SECONDS_UNTIL_STALE:
                left.unlink()


def _copy(body: IO[bytes], temporary: Path, name: str, total: int | None) -> str:
    digest = hashlib.sha256()
    received = 0
    with temporary.open("wb") as file, measured(name, total, "bytes") as meter:
        while chunk := body.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            meter.advance(len(chunk))
    if total is not None and received != total:
        raise DownloadError(f"{name}: the connection ended after {received:,} of {total:,} bytes.")
    log.info("%s: %.1f MB", name, received / 1e6)
    return digest.hexdigest()


def _copy_http(url: str, temporary: Path, checked: bool) -> str:
    name = shown(url)
    _refuse_plain(url, checked)
    log.info("downloading %s", name)
    try:
        with urllib.request.urlopen(urllib.request.Request(url), timeout=TIMEOUT_SECONDS) as response:
            _refuse_plain(response.geturl(), checked)
            length = response.headers.get("Content-Length")
            return _copy(response, temporary, name, int(length) if length else None)
    except urllib.error.HTTPError as error:
        if error.code >= 500 or error.code == 429:
            raise DownloadError(f"{name}: the server answered {error.code} {error.reason}.") from None
        raise InputError(f"{name}: the server answered {error.code} {error.reason}. Check the address.") from None
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise DownloadError(
            f"{name}: no answer ({reason}). Check the network, or set EQUIPOISE_MIRROR to a folder that holds the file."
        ) from None


def _refuse_plain(url: str, checked: bool) -> None:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "http" and not checked and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise InputError(f"{shown(url)}: http:// can be changed on the way. Use https://, or give data.sha256.")


def _copy_s3(url: str, temporary: Path) -> str:
    bucket, key = split_s3(url)
    log.info("downloading %s", shown(url))
    with s3_errors(url):
        answer = s3_client().get_object(Bucket=bucket, Key=key)
        return _copy(answer["Body"], temporary, shown(url), int(answer["ContentLength"]))


def list_s3(url: str) -> list[str]:
    """Keys below an s3:// prefix, as addresses, sorted; empty if there are none. What only marks a folder is no key."""
    bucket, prefix = split_s3(url)
    prefix = prefix.rstrip("/") + "/" if prefix else ""
    with s3_errors(url):
        pages = s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
    return sorted(f"s3://{bucket}/{key}" for key in keys if not key.endswith("/"))


def split_s3(url: str) -> tuple[str, str]:
    """Bucket and key of an s3:// address."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    if not bucket:
        raise InputError(f"data.path: '{url}' names no bucket. Write it as s3://bucket/key.")
    return bucket, key


def s3_client() -> Any:
    """A client with the machine's own AWS settings; unsigned where it has no credentials, for public buckets."""
    import boto3
    import botocore
    from botocore.config import Config

    session = boto3.Session()
    timeouts = {"connect_timeout": 10, "read_timeout": TIMEOUT_SECONDS}
    if session.get_credentials() is None:
        return session.client("s3", config=Config(signature_version=botocore.UNSIGNED, **timeouts))
    return session.client("s3", config=Config(**timeouts))


@contextlib.contextmanager
def s3_errors(url: str) -> Iterator[None]:
    """Turn what boto3 raises into the project's errors."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
            raise DownloadError(f"{url}: the store answered {code}.") from None
        raise InputError(
            f"{url}: the store answered {code}. Check the bucket, the key and your AWS credentials."
        ) from None
    except BotoCoreError as error:
        raise DownloadError(f"{url}: {error}. Check AWS_ENDPOINT_URL, the region and the network.") from None
