"""boto3 as the registry uses it: the standard chain of credentials, patience with a server that fails, and plain errors."""

from __future__ import annotations

import contextlib
import email.utils
import logging
import os
import random
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from models.errors import EquipoiseError, InputError
from tasks.identity import redacted

log = logging.getLogger("equipoise")

ATTEMPTS = 6
CONNECT_SECONDS = 10
READ_SECONDS = 60
CONNECTIONS = 16
LONGEST_PAUSE_SECONDS = 20.0

_CREDENTIALS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "RequestTimeTooSkewed")
_FULL = ("QuotaExceeded", "InsufficientStorage", "EntityTooLarge", "TooManyBuckets")

T = TypeVar("T")

_LOCK = threading.Lock()
_CLIENTS: dict[tuple[Any, ...], tuple[Any, int]] = {}
"""The client that was made last, which takes a tenth of a second, by what it was made from."""


class CutError(Exception):
    """An answer's body ended before its time."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


@contextlib.contextmanager
def body() -> Iterator[None]:
    """Around the reading of an answer's body."""
    from botocore.exceptions import BotoCoreError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (BotoCoreError, HTTPError, ConnectionError, TimeoutError) as error:
        raise CutError(error) from None


class Connection:
    """A client that is made when it is first used. `attempts` is how often a request is tried."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.attempts = ATTEMPTS
        self._client: Any = None

    @property
    def client(self) -> Any:
        """The boto3 client; threads may share it."""
        with _LOCK:
            if self._client is None:
                # What AWS's chain looks at decides which client it is; a forked process needs sockets of its own.
                asked = (os.getpid(), *sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
                if asked not in _CLIENTS:
                    _CLIENTS.clear()
                    _CLIENTS[asked] = _connect()
                self._client, self.attempts = _CLIENTS[asked]
            return self._client

    @contextlib.contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """What boto3 raises, as an error that says what to do. No message holds a credential."""
        from botocore.exceptions import BotoCoreError, ClientError
        from s3transfer.exceptions import RetriesExceededError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except ClientError as error:
            raise self._answered(doing, error) from None
        except (BotoCoreError, HTTPError, RetriesExceededError) as error:
            raise self._silent(doing, error) from None

    def patiently(self, act: Callable[[], T]) -> T:
        """Do again what was cut off while an answer's body was read: boto3 itself only tries again until an answer begins."""
        for attempt in range(1, self.attempts):
            try:
                return act()
            except CutError as error:
                log.debug("%s: an answer was cut off (%s); trying again", self.url, error)
                pause(attempt)
        try:
            return act()
        except CutError as error:
            raise error.cause from None

    def _answered(self, doing: str, error: Any) -> EquipoiseError:
        """The server said no."""
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        status = status_of(error)
        where = f"registry {self.url}: cannot {doing}: the server answered {status} {code}."
        if code == "NoSuchBucket":
            return InputError(f"{where} Create the bucket, or correct registry.url.")
        if code in _CREDENTIALS or status == 401:
            return InputError(f"{where} Check the AWS credentials, the region and the clock of this machine.")
        if code in _FULL or status == 507:
            return EquipoiseError(f"{where} There is no space left. Nothing was registered. Make room, and run again.")
        if status == 403:
            return InputError(
                f"{where} The credentials lack a right: infra/s3/ has the policies with all that are needed."
            )
        if 300 <= status < 500 and status not in (408, 409, 429):
            return InputError(f"{where} Check the region and AWS_ENDPOINT_URL.")
        return EquipoiseError(f"{where} Nothing was registered by halves; run again when the server is well.")

    def _silent(self, doing: str, error: Exception) -> EquipoiseError:
        """There was no answer, or no way to ask."""
        from botocore.exceptions import (
            ConfigNotFound,
            InvalidRegionError,
            NoCredentialsError,
            PartialCredentialsError,
            ProfileNotFound,
        )

        settings = (NoCredentialsError, PartialCredentialsError, ProfileNotFound, ConfigNotFound, InvalidRegionError)
        what = f"registry {self.url}: cannot {doing}: {redacted(str(error)).rstrip('.')}."
        if isinstance(error, settings):
            return InputError(
                f"{what} Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role."
            )
        return EquipoiseError(
            f"{what} Nothing was registered by halves; check AWS_ENDPOINT_URL and the network, and run again."
        )


def status_of(error: Any) -> int:
    """The HTTP status of a ClientError."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_missing(error: Any) -> bool:
    """Whether there is no such object (a missing bucket is something else)."""
    return status_of(error) == 404 and error.response.get("Error", {}).get("Code") != "NoSuchBucket"


def moment_of(answer: Any) -> float:
    """When the server gave an answer, by its own clock: this machine's may be wrong, or jump."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return email.utils.parsedate_to_datetime(str(date)).timestamp()
    except ValueError:
        return time.time()


def pause(attempt: int) -> None:
    """Wait before an attempt, longer before each, and not all writers alike."""
    time.sleep(min(LONGEST_PAUSE_SECONDS, random.random() * 2 ** (attempt - 1)))


def _connect() -> tuple[Any, int]:
    import boto3
    from botocore.config import Config

    session = boto3.Session()
    settings = session._session  # the only way to what AWS_MAX_ATTEMPTS and the profile say
    asked = settings.get_config_variable("max_attempts")
    attempts = ATTEMPTS if asked is None else int(asked)
    # Checksums that newer servers know are left to those: Content-MD5, sent here, is checked by all of them.
    mode = settings.get_config_variable("retry_mode")
    common: dict[str, Any] = {
        "retries": {"mode": "standard" if mode in (None, "legacy") else mode, "total_max_attempts": attempts},
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "max_pool_connections": CONNECTIONS,
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    client = session.client("s3", config=Config(**common))
    host = urllib.parse.urlsplit(client.meta.endpoint_url).hostname or ""
    chosen = settings.get_scoped_config().get("s3") or {}
    if not host.endswith((".amazonaws.com", ".amazonaws.com.cn")) and "addressing_style" not in chosen:
        # Few servers but AWS have a name for every bucket.
        client = session.client("s3", config=Config(**common, s3={"addressing_style": "path"}))
    return client, attempts
