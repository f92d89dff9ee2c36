"""Prefect of the set: the server on its database, the pool, the deployments of infra/prefect.yaml, and the worker."""

from __future__ import annotations

import http.client
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.production import killed, notify
from infra.production.api import Api
from infra.production.settings import HOST, Settings, read_yaml
from infra.production.supervisor import Program, Supervisor, run
from models.errors import EquipoiseError
from tasks.identity import redacted

QUIET: Mapping[str, str] = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_CLI_PROMPT": "false",
    "PREFECT_CLIENT_RETRY_EXTRA_CODES": "500",  # what the server answers while its database is started again
}
PREFECT = (sys.executable, "-m", "prefect")
PARAMS = "params.yaml"


def start_server(settings: Settings, database: str, supervisor: Supervisor) -> dict[str, str]:
    """The server; the variables that lead its clients there."""
    port, home = settings.prefect.port, settings.state / "prefect"
    home.mkdir(mode=0o700, exist_ok=True)
    variables = {**QUIET, "PREFECT_HOME": str(home), "PREFECT_API_URL": f"http://{HOST}:{port}/api"}
    words = (
        *PREFECT,
        "server",
        "start",
        "--host",
        HOST,
        "--port",
        str(port),
        *(() if settings.prefect.ui else ("--no-ui",)),
    )
    environment = {
        **variables,
        "PREFECT_API_DATABASE_CONNECTION_URL": database,
        # Else a server that is started again forgets who holds a place, and the place is never free any more.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    }
    url = f"{variables['PREFECT_API_URL']}/health"
    supervisor.start(Program("prefect-server", words, lambda: answers(url), environment))
    return variables


def given_server() -> dict[str, str]:
    """The variables of a server of the user's; its address, and a key for it, are in the environment already."""
    return {**QUIET, "PREFECT_API_URL": os.environ["PREFECT_API_URL"].rstrip("/")}


def deploy(settings: Settings, root: Path, variables: Mapping[str, str]) -> None:
    """The pool, and every deployment of infra/prefect.yaml with the registry of the set."""
    state = settings.state
    params, deployments = state / PARAMS, state / "prefect.yaml"
    # JSON is YAML as well, and both are what their readers expect.
    params.write_text(
        json.dumps({"registry": {"url": f"s3://{settings.s3.bucket}/{settings.s3.prefix}"}}), encoding="utf-8"
    )
    written = bound(read_yaml(root / "infra" / "prefect.yaml"), params, settings.prefect.pool, settings.trial)
    deployments.write_text(json.dumps(written), encoding="utf-8")
    pool = ("work-pool", "create", settings.prefect.pool, "--type", "process", "--overwrite")
    run((*PREFECT, *pool), variables, folder=root)
    run((*PREFECT, "--no-prompt", "deploy", "--prefect-file", str(deployments), "--all"), variables, folder=root)
    if settings.trial is not None:
        return  # automations look at all runs of a server, and that one has others
    api = Api(variables["PREFECT_API_URL"])
    try:
        killed.watch(api, settings.prefect.silent_seconds)
        if settings.prefect.webhook is not None:
            notify.tell(api, os.environ[settings.prefect.webhook])
    except OSError as error:
        raise EquipoiseError(
            f"Prefect's server at {redacted(variables['PREFECT_API_URL'])} does not take the automations: {error}. It has to "
            "have them (Prefect 3), and to let you: see PREFECT_API_KEY and PREFECT_API_AUTH_STRING."
        ) from None


def bound(written: dict[str, Any], params: Path, pool: str, trial: str | None = None) -> dict[str, Any]:
    """The deployments' file with a pool, and a file of params that every run takes; `trial` ends their names, if it is one."""
    deployments = [
        {
            **deployment,
            "name": deployment["name"] if trial is None else f"{deployment['name']}-{trial}",
            "work_pool": {**deployment["work_pool"], "name": pool},
            "parameters": {**deployment["parameters"], "params_file": str(params)},
        }
        for deployment in written["deployments"]
    ]
    return {**written, "deployments": deployments}


def start_worker(settings: Settings, root: Path, variables: Mapping[str, str], supervisor: Supervisor) -> None:
    """The worker, whose runs work in `root`."""
    words = (
        *PREFECT, "worker", "start", "--pool", settings.prefect.pool, "--type", "process", "--name", "production",
        "--limit", str(settings.prefect.runs_at_once),
    )  # fmt: skip
    log = supervisor.logs / "prefect-worker.log"
    began = log.stat().st_size if log.exists() else 0

    def ready() -> bool:
        return b"started!" in log.read_bytes()[began:]

    supervisor.start(Program("prefect-worker", words, ready, variables, folder=root))


def answers(url: str) -> bool:
    """Whether a server is healthy."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError, http.client.HTTPException):
        return False
