"""`python -m infra.production`: start the set, keep it up until Ctrl-C or kill, and end it in good order."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

from infra.production.production_set import ENVIRONMENT, packages_missing, production
from infra.production.settings import FILE, ROOT, Settings, load
from models.errors import EquipoiseError, InputError

INTERRUPTED = 130


class _Asked(BaseException):
    """Somebody asked for the end."""


def main() -> int:
    """Exit codes: 0 when a set was asked to end, or a test has passed, 2 for what the user can mend, 1 for a fault.

    130 for a test that was ended before its time.
    """
    parser = argparse.ArgumentParser(prog="python -m infra.production", description=__doc__)
    parser.add_argument("--settings", type=Path, default=FILE, help="instead of infra/production.yaml")
    parser.add_argument("--install", action="store_true", help="install Debian's packages that are missing")
    parser.add_argument("--test", action="store_true", help="run two retrainings through a set of its own, and end it")
    parser.add_argument(
        "--faults", nargs="*", metavar="NAME", help="with --test: kill parts of the set instead, all or these"
    )
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _asked)
    signal.signal(signal.SIGINT, _asked)
    try:
        settings = load(given.settings)
        if given.install:
            _install(settings)
        if given.faults is not None:
            if not given.test:
                raise InputError("--faults is for a set of its own: --test --faults")
            from infra.production.faults import faults

            return faults(settings, given.faults)
        if given.test:
            from infra.production.trial import trial

            return trial(settings)
        _keep_up(settings)
    except _Asked:
        return INTERRUPTED if given.test else 0  # a test that was ended has not passed
    except EquipoiseError as error:
        print(f"production: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _keep_up(settings: Settings) -> None:
    try:
        with production(settings, ROOT, _say) as (supervisor, variables):
            _say(f"Prefect: {variables['PREFECT_API_URL'].removesuffix('/api')}; a shell meets the set after:")
            _say(f"  source {settings.state / ENVIRONMENT}")
            _say("Ctrl-C ends it.")
            supervisor.watch(threading.Event().is_set)
    finally:
        _say("everything has ended; what it keeps is in " + str(settings.state))


def _asked(_signal: int, _frame: FrameType | None) -> None:
    # Once is enough: while things are ended, another Ctrl-C must not leave the rest behind.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise _Asked


def _install(settings: Settings) -> None:
    needed = packages_missing(settings)
    if not needed:
        return
    # --no-remove: rather nothing than a machine that lacks something else afterwards.
    words = ["apt-get", "install", "--yes", "--no-install-recommends", "--no-remove", *needed]
    if os.geteuid() != 0:
        raise InputError(f"Installing needs root: sudo {' '.join(words)}")
    try:
        done = subprocess.run(words, check=False)
    except FileNotFoundError:
        raise InputError(f"This is not Debian: install {', '.join(needed)} in its own way.") from None
    if done.returncode:
        raise InputError(f"`{' '.join(words)}` failed; its messages are above. Perhaps apt-get update helps.")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
