"""Who did something and when, for the records of the registry."""

import getpass
import platform
from datetime import UTC, datetime


def who() -> str:
    """user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{platform.node()}"


def now() -> str:
    """The time in UTC, to the second; nothing is ever ordered by it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
