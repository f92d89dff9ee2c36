"""A trial on parts that are the user's (`use: given`): it has names of its own there, and takes with it what it has put there."""

from __future__ import annotations

import contextlib
import os
import secrets
import urllib.parse
from collections.abc import Callable, Iterator

from infra.production import storage
from infra.production.api import Api
from infra.production.settings import DATABASE, Settings

SECRET = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "RAY_AUTH_TOKEN")
MOST_RUNS = 200


def named_apart(given: Settings) -> Settings:
    """The same set, with names that nothing of the user's has, where parts are the user's."""
    mark = f"trial-{secrets.token_hex(3)}"
    s3, prefect = given.s3, given.prefect
    trial = mark if "given" in (prefect.use, given.postgres.use) else None
    if s3.use == "given":
        work = None if s3.work is None else f"{s3.work}-{mark}"
        s3 = s3.model_copy(update={"prefix": f"{s3.prefix}-{mark}", "work": work})
    if trial is not None:
        prefect = prefect.model_copy(update={"pool": f"{prefect.pool}-{mark}", "webhook": None})
    return given.model_copy(update={"s3": s3, "prefect": prefect, "trial": trial})


@contextlib.contextmanager
def emptied(settings: Settings, say: Callable[[str], None]) -> Iterator[None]:
    """At the end of the block the trial's objects are gone from the user's bucket, whatever has happened."""
    s3 = settings.s3
    try:
        yield
    finally:
        if s3.use == "given":
            prefixes = [prefix for prefix in (s3.prefix, s3.work) if prefix is not None]
            why = storage.remove_below(s3.bucket, prefixes)
            where = " and ".join(f"s3://{s3.bucket}/{prefix}" for prefix in prefixes)
            say(f"removed: {where}" if why is None else f"NOT removed, do it yourself: {where}: {why}")


def forget(api: Api, settings: Settings, say: Callable[[str], None]) -> None:
    """Remove the trial's deployments, their runs and its pool from the user's server or database."""
    if settings.trial is None:
        return
    mine = {"deployments": {"name": {"like_": settings.trial}}}
    try:
        for run in api.call("flow_runs/filter", {**mine, "limit": MOST_RUNS}):
            api.call(f"flow_runs/{run['id']}", method="DELETE")
        for deployment in api.call("deployments/filter", mine):
            api.call(f"deployments/{deployment['id']}", method="DELETE")
        api.call(f"work_pools/{settings.prefect.pool}", method="DELETE")
        say(f"removed: everything of {settings.trial} on Prefect's server")
    except OSError as error:
        say(f"NOT removed from Prefect's server, do it yourself: what is called {settings.trial} ({error})")


def secrets_given() -> list[str]:
    """What of the user's environment must not stand in a log."""
    found = [os.environ.get(name, "") for name in SECRET]
    password = urllib.parse.urlsplit(os.environ.get(DATABASE, "")).password or ""
    return [secret for secret in (*found, password, urllib.parse.unquote(password)) if secret]
