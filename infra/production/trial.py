"""`make production-test`: a retraining on demand and one on schedule through a whole set, in a fresh clone; then nothing is left.

It ends with 0 only if both are registered in the S3 registry, a second start finds what the first one kept, no process is
left behind, and no secret is in any log. On parts that are yours it works under names of its own, and removes what it made.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from infra.production import ceph
from infra.production.api import Api
from infra.production.production_set import production
from infra.production.settings import ROOT, SECRETS, Settings
from infra.production.yours import emptied, forget, named_apart, secrets_given
from models.errors import EquipoiseError

PATIENCE_SECONDS = 900.0
POLL_SECONDS = 1.0
SCHEDULED_AFTER_SECONDS = 90
"""More than the minute that Prefect's scheduler may take to see a schedule: a time that has passed by then is left out."""
LOG_TAIL_BYTES = 4000

SMALL: Mapping[str, Any] = {
    "data.rows": 4000,
    "checks": [{"check": "rows_per_class", "at_least": 20, "severity": "error"}],
    "model.hidden": [32],
    "model.epochs": 3,
    "model.iterations": 20,
    "model.refits": 2,
    "search.recipes": ["none", "smote"],
    "search.budget": {"trials": 8},
    "search.rounds": 2,
    "search.rungs": 1,
    "evaluate.bootstrap": 100,
    "gates.rules": [{"metric": "roc_auc", "at_least": 0.55}],
}
"""A retraining that takes seconds, with a policy that its model can pass."""


def trial(given: Settings) -> int:
    """Do it; 0 when everything held. Raises EquipoiseError with what did not."""
    with tempfile.TemporaryDirectory(prefix="equipoise-trial-") as folder:
        home = Path(folder)
        home.chmod(0o711)
        root = clone(home / "clone")
        settings = apart(given, home / "state")
        say(f"object storage: {settings.s3.use}")
        with emptied(settings, say):
            registered = _first_start(settings, root)
            nothing_left(home)
            variables = _second_start(settings, root, registered)
        nothing_left(home)
        _no_secrets(settings.state, variables)
    say("production-test: passed")
    return 0


def _first_start(settings: Settings, root: Path) -> list[str]:
    """The retrainings and a promotion; the versions that came of them."""
    with production(settings, root, say) as (supervisor, variables), logs_shown(settings.state):
        server = Server(variables["PREFECT_API_URL"], supervisor.look, settings.trial)
        try:
            before = _jobs_of_ray(settings, variables)[0] if settings.ray.use == "given" else 0
            say("on demand: " + server.on_demand("retrain/on-demand", {"overrides": dict(SMALL)}))
            scheduled = {"overrides": {**SMALL, "seed": 1}, "wait": True}
            say("on schedule: " + server.on_schedule("retrain/nightly", scheduled))
            registered = _registered(settings, variables)
            if registered != ["v1", "v2"]:
                raise EquipoiseError(f"expected the versions v1 and v2 in the S3 registry, found {registered}")
            say("registered: lending@v1 and lending@v2")
            say(f"searches on the cluster of Ray: {_searches_on_ray(settings, variables, before)}")
            promoted = {"reference": "lending@v1", "why": "trial"}
            say("on demand: " + server.on_demand("promote/on-demand", promoted))
        except BaseException:
            forget(server, settings, say)  # there will be no second start, which does it
            raise
    return registered


def _second_start(settings: Settings, root: Path, registered: list[str]) -> dict[str, str]:
    """What the first one left is there; the variables of the set."""
    with production(settings, root, say) as (_, variables):
        server = Server(variables["PREFECT_API_URL"], lambda: None, settings.trial)
        try:
            runs = server.completed()
            if runs != 3:
                raise EquipoiseError(f"the second start found {runs} finished runs in the database instead of 3")
            kept = _registered(settings, variables)
            if settings.s3.use != "memory" and kept != registered:
                raise EquipoiseError(f"the second start found {kept} in the registry instead of {registered}")
            say(f"second start: {runs} runs in the database, versions {', '.join(kept) or 'gone with the memory'}")
        finally:
            forget(server, settings, say)
    return variables


class Server(Api):
    """Prefect's API, and what is asked of it here; `meanwhile` is done whenever there is something to wait for.

    `trial` is what the deployments' names end with, if it is anything.
    """

    def __init__(self, url: str, meanwhile: Callable[[], None], trial: str | None = None) -> None:
        super().__init__(url)
        self.meanwhile = meanwhile
        self._trial = trial

    def on_demand(self, name: str, parameters: Mapping[str, Any]) -> str:
        """A run of a deployment to its end: what its state says."""
        return self.finished(self.begin(name, parameters))

    def begin(self, name: str, parameters: Mapping[str, Any]) -> str:
        """A run of a deployment, as soon as a worker takes it: its id."""
        path = f"deployments/{self._deployment(name)['id']}/create_flow_run"
        return str(self.call(path, {"parameters": parameters})["id"])

    def on_schedule(self, name: str, parameters: Mapping[str, Any]) -> str:
        """A schedule, the first run that comes of it, soon after, and no more of it once that has begun."""
        schedules = f"deployments/{self._deployment(name)['id']}/schedules"
        soon = datetime.now(UTC) + timedelta(seconds=SCHEDULED_AFTER_SECONDS)
        every_hour = {"interval": 3600, "anchor_date": soon.isoformat(), "timezone": "UTC"}
        (made,) = self.call(schedules, [{"schedule": every_hour, "active": True, "parameters": parameters}])
        runs = {
            "deployments": {"id": {"any_": [made["deployment_id"]]}},
            "flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}},
        }
        found = self.until("the scheduled run began", lambda: self.call("flow_runs/filter", runs))
        self.call(f"{schedules}/{made['id']}", {"active": False}, "PATCH")
        if not found[0]["auto_scheduled"]:
            raise EquipoiseError("the run was not made by the scheduler")
        return self.finished(found[0]["id"])

    def completed(self) -> int:
        """How many runs are over."""
        mine = {} if self._trial is None else {"deployments": {"name": {"like_": self._trial}}}
        return int(self.call("flow_runs/count", {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}, **mine}))

    def stages(self, run: str, state: str) -> set[str]:
        """The stages of a run whose tasks ended in a state of this name."""
        asked = {"flow_runs": {"id": {"any_": [run]}}, "limit": 200}
        return {
            task["name"].rpartition("-")[0]
            for task in self.call("task_runs/filter", asked)
            if task["state_name"] == state
        }

    def beyond_stages(self, run: str) -> float:
        """Seconds from when a run was asked for to its end, less those of its stages."""
        told = self.call(f"flow_runs/{run}")
        created, ended = (datetime.fromisoformat(told[key]) for key in ("created", "end_time"))
        tasks = self.call("task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}, "limit": 200})
        return (ended - created).total_seconds() - sum(float(task["total_run_time"]) for task in tasks)

    def _deployment(self, name: str) -> dict[str, Any]:
        ending = "" if self._trial is None else f"-{self._trial}"
        found: dict[str, Any] = self.call(f"deployments/name/{name}{ending}")
        return found

    def cancel(self, run: str) -> None:
        """As `prefect flow-run cancel` asks for it."""
        self.call(f"flow_runs/{run}/set_state", {"state": {"type": "CANCELLING", "name": "Cancelling"}})

    def states(self, run: str) -> list[str]:
        """The names of all states that a run has had, in their order."""
        found = self.call(f"flow_run_states/?flow_run_id={run}")
        return [str(state["name"]) for state in sorted(found, key=lambda state: str(state["timestamp"]))]

    def over(self, run: str) -> dict[str, Any]:
        """The state in which a run has ended."""

        def last() -> dict[str, Any] | None:
            state: dict[str, Any] = self.call(f"flow_runs/{run}")["state"]
            return state if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED") else None

        state: dict[str, Any] = self.until("the run was over", last)
        return state

    def finished(self, run: str) -> str:
        """What the state of a run says at its end. Raises EquipoiseError unless it is complete."""
        state = self.over(run)
        if state["type"] != "COMPLETED":
            raise EquipoiseError(f"the run ended as {state['name']}: {state['message']}")
        return str(state["message"] or state["name"])

    def until(self, what: str, look: Callable[[], Any]) -> Any:
        """What `look` gives as soon as it gives something. Raises EquipoiseError after a long time."""
        end = time.monotonic() + PATIENCE_SECONDS
        found = None
        while not found:
            self.meanwhile()
            # A server that has died is started again.
            with contextlib.suppress(OSError, http.client.HTTPException):
                found = look()
            if found:
                break
            if time.monotonic() > end:
                raise EquipoiseError(f"{PATIENCE_SECONDS:g} s went by before {what}")
            time.sleep(POLL_SECONDS)
        return found


def nothing_left(home: Path) -> None:
    """Whether no process works in, or was started with, anything of a folder. Raises EquipoiseError that names them."""
    left = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd", "status"]):
        words, where = process.info["cmdline"] or [], process.info["cwd"] or ""
        mine = process.pid == psutil.Process().pid or process.info["status"] == psutil.STATUS_ZOMBIE
        if not mine and (where.startswith(str(home)) or any(str(home) in word for word in words)):
            left.append(f"{process.pid} {' '.join(words)[:200]}")
    if left:
        raise EquipoiseError("still running: " + "; ".join(left))
    say("nothing is left running")


def _registered(settings: Settings, variables: Mapping[str, str]) -> list[str]:
    """Versions in the registry, asked for as a person would."""
    url = f"s3://{settings.s3.bucket}/{settings.s3.prefix}"
    script = (
        "import json, sys\nfrom pathlib import Path\nfrom tasks.registry import open_registry\n"
        "r = open_registry(sys.argv[1], Path.cwd())\n"
        "print(json.dumps(sorted(r.versions('lending')) if 'lending' in r.names() else []))"
    )
    found: list[str] = json.loads(_python(script, settings, variables, url))
    return found


def _searches_on_ray(settings: Settings, variables: Mapping[str, str], before: int) -> int:
    """How many drivers the cluster has had beyond those `before`. Raises EquipoiseError unless both runs were there.

    A cluster that is the user's may have had others as well.
    """
    jobs, nodes = _jobs_of_ray(settings, variables)
    if settings.ray.use == "given":
        searches, right = jobs - before - 1, jobs - before - 1 >= 2  # one of them has asked before
    else:
        searches, right = jobs, (jobs, nodes) == (2, 2)
    if not right:
        raise EquipoiseError(f"expected two searches on two nodes of Ray, found {searches} on {nodes}")
    return searches


def _jobs_of_ray(settings: Settings, variables: Mapping[str, str]) -> tuple[int, int]:
    """How many drivers the cluster has had but for the one that asks, and its nodes."""
    script = (
        "import os, ray\nfrom ray._private.state import state\n"
        "ray.init(os.environ['RAY_ADDRESS'], logging_level='ERROR')\n"
        "print(len(state.job_table()) - 1, len([n for n in ray.nodes() if n['Alive']]))"
    )
    jobs, nodes = map(int, _python(script, settings, variables).split())
    return jobs, nodes


def _python(script: str, settings: Settings, variables: Mapping[str, str], *words: str) -> str:
    """What a script prints for which the variables of the set are set."""
    done = subprocess.run(
        [sys.executable, "-c", script, *words], env={**os.environ, **variables}, cwd=settings.state, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise EquipoiseError(f"the set could not be asked: {done.stderr.strip()[-1000:]}")
    return done.stdout


def _no_secrets(state: Path, variables: Mapping[str, str]) -> None:
    """Whether no log holds a secret, and only their owner reads the files that do."""
    made = json.loads((state / SECRETS).read_text(encoding="utf-8"))
    here = (*made.values(), variables.get("AWS_SECRET_ACCESS_KEY", ""), *secrets_given())
    secrets = [value.encode() for value in here if value]
    for log in (state / "logs").iterdir():
        if any(secret in log.read_bytes() for secret in secrets):
            raise EquipoiseError(f"a secret is in {log.name}")
    open_to_others = [
        p.name for p in state.glob("*") if p.name in (SECRETS, "environment", "ray.token") and p.stat().st_mode & 0o077
    ]
    if open_to_others:
        raise EquipoiseError(f"others may read {', '.join(open_to_others)}")
    say("no secret is in the logs")


@contextlib.contextmanager
def logs_shown(state: Path) -> Iterator[None]:
    """What the worker and the server said last, if something did not hold: the folder goes with the test."""
    try:
        yield
    except EquipoiseError:
        for name in ("prefect-server", "prefect-worker"):
            log = state / "logs" / f"{name}.log"
            say(f"the end of {log.name}:\n{log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors='replace')}")
        raise


def clone(root: Path) -> Path:
    """The last commit of this working copy, in a folder of its own."""
    done = subprocess.run(
        ["git", "clone", "--quiet", str(ROOT), str(root)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EquipoiseError(f"the repository could not be cloned: {done.stderr.strip()}")
    return root


def apart(given: Settings, state: Path) -> Settings:
    """The same set on other ports, in a folder and under names of its own; objects in memory where Ceph is not installed."""
    ports = iter(_free_ports(4))
    mine = named_apart(given)
    use = "memory" if mine.s3.use == "ceph" and ceph.missing() is not None else mine.s3.use
    return mine.model_copy(
        update={
            "state": state,
            "postgres": mine.postgres.model_copy(update={"port": next(ports)}),
            "s3": mine.s3.model_copy(update={"port": next(ports), "use": use}),
            "prefect": mine.prefect.model_copy(update={"port": next(ports), "ui": False, "silent_seconds": 60}),
            "ray": mine.ray.model_copy(update={"port": next(ports)}),
        }
    )


def _free_ports(count: int) -> list[int]:
    import socket

    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]
    finally:
        for one in held:
            one.close()


def say(line: str) -> None:
    """At once, as somebody may be waiting."""
    print(line, flush=True)
