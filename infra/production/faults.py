"""`python -m infra.production --test --faults`: parts of a whole set are killed while a retraining searches, and it is registered.

Every fault has a retraining of its own in one set, and is `survived` when the retraining ends registered and nothing that
was finished is done again. What kills the flow, the S3 server or the registry's writers is in tests/.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from infra.production import orchestration, storage
from infra.production.production_set import production
from infra.production.settings import Settings
from infra.production.supervisor import Supervisor
from infra.production.trial import SMALL, Server, apart, clone, logs_shown, nothing_left, say
from infra.production.yours import emptied
from models.errors import EquipoiseError, InputError, nearest

DEPLOYMENT = "retrain/on-demand"
LONGER: Mapping[str, Any] = {**SMALL, "search.budget": {"trials": 12}, "model.epochs": 8, "model.learners": ["mlp"]}
"""A search that is long enough to be met in its midst."""

FINISHED_BEFORE = 2
"""Results of trainings that are kept before anything is killed."""


@dataclass
class Met:
    """A set, and the retrainings that were asked of it. `root` is the clone where they work."""

    root: Path
    server: Server
    supervisor: Supervisor
    settings: Settings
    variables: Mapping[str, str]
    seeds: int = 0
    kept: dict[Path, int] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)

    def begin(self, seed: int | None = None, **more: Any) -> str:
        """A retraining with a seed of its own, or this one again."""
        if seed is None:
            self.seeds += 1
        overrides = {**LONGER, "seed": 100 + (self.seeds if seed is None else seed)}
        return self.server.begin(DEPLOYMENT, {"overrides": overrides, **more})

    def until_it_searches(self) -> None:
        """Until some trainings are finished and others are not; what is finished is watched from then on."""
        self.kept, self.repeated = {}, set()
        self.server.until("the search had results", lambda: len(self._results()) >= FINISHED_BEFORE)
        self.kept = self._results()

    def watch(self) -> None:
        """A look at the set's processes, and at whether what was finished is written once more."""
        self.supervisor.look()
        now = self._results()
        self.repeated |= {path.name for path, written in self.kept.items() if now.get(path, written) != written}

    def kill(self, name: str) -> None:
        """kill -9 of a program of the set and of all that it has started, as when its machine goes."""
        first = psutil.Process(self.supervisor.process_of(name).pid)
        family = [first, *first.children(recursive=True)]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=10)
        say(f"  {name}: killed, {len(family)} processes")

    def at_work(self) -> list[str]:
        """The processes that Prefect's worker has started, and those of trials on the nodes of Ray."""
        found = []
        for name in ("prefect-worker", "ray-head", "ray-worker"):
            for process in psutil.Process(self.supervisor.process_of(name).pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    said, alive = " ".join(process.cmdline()), process.status() != psutil.STATUS_ZOMBIE
                    if alive and (name == "prefect-worker" or "::ImplicitFunc" in said):
                        found.append(said)
        return found

    def move(self) -> None:
        """From now on retrainings work in a fresh clone, by a worker of their own; what was done in the one before is gone."""
        gone, self.root = self.root, clone(self.root.with_name(f"{self.root.name}-next"))
        for folder in (".dvc/cache", ".equipoise", "data/ingest", "data/split", "data/resample"):
            shutil.rmtree(gone / folder)
        self.variables = {**self.variables, "PYTHONPATH": str(self.root)}
        self.supervisor.forget("prefect-worker")
        orchestration.deploy(self.settings, self.root, self.variables)
        orchestration.start_worker(self.settings, self.root, self.variables, self.supervisor)

    def stored(self) -> dict[str, Any]:
        """The finished trainings that other clones would know of, and when each was stored."""
        s3 = self.settings.s3
        listed = storage.client(dict(self.variables) if s3.use != "given" else {}).list_objects_v2(
            Bucket=s3.bucket, Prefix=f"{s3.work}/search/"
        )
        return {found["Key"]: found["LastModified"] for found in listed.get("Contents", ())}

    def registered(self, run: str) -> None:
        """The run's end. Raises EquipoiseError unless it is registered and no finished training was repeated."""
        said = self.server.finished(run)
        if not said.startswith("registered lending@"):
            raise EquipoiseError(f"the run ended with '{said}'")
        if self.repeated:
            raise EquipoiseError(f"finished trainings were repeated: {', '.join(sorted(self.repeated))}")

    def _results(self) -> dict[Path, int]:
        found = {}
        for path in self.root.glob(".equipoise/search/*/results/*.json"):
            with contextlib.suppress(FileNotFoundError):
                found[path] = path.stat().st_mtime_ns
        return found


def _database(met: Met) -> None:
    run = met.begin()
    met.until_it_searches()
    met.kill("postgres")
    met.registered(run)


def _node(met: Met) -> None:
    run = met.begin()
    met.until_it_searches()
    met.kill("ray-worker")
    met.registered(run)


def _worker(met: Met) -> None:
    """With the worker go the run that it has started and its clone; the next run goes on in a fresh one."""
    met.begin()
    met.until_it_searches()
    met.server.until("the results were stored", lambda: len(met.stored()) >= FINISHED_BEFORE)
    met.kill("prefect-worker")
    stored = met.stored()
    met.kept = {}
    met.move()
    run = met.begin(met.seeds, wait=True)
    met.registered(run)
    now = met.stored()
    if again := [name for name, when in stored.items() if now.get(name) != when]:
        raise EquipoiseError(f"finished trainings were done again: {', '.join(again)}")
    restored = met.server.stages(run, "Restored")
    if not {"ingest", "validate", "split", "start", "resample"} <= restored:
        raise EquipoiseError(f"of the stages before the search only {', '.join(sorted(restored)) or 'none'} were known")


def _two(met: Met) -> None:
    runs = [met.begin(wait=True), met.begin(wait=True)]
    for run in runs:
        met.registered(run)


def _cancelled(met: Met) -> None:
    """Nobody is told of a crash, nothing of the run is left, and the next one goes on."""
    run = met.begin()
    met.until_it_searches()
    met.server.cancel(run)
    met.server.over(run)
    met.server.until("its processes had ended", lambda: not met.at_work())
    states = met.server.states(run)
    if states[-1] != "Cancelled" or "Crashed" in states:
        raise EquipoiseError(f"a run that was cancelled was {', then '.join(states)}")
    met.registered(met.begin(met.seeds, wait=True))


FAULTS: Mapping[str, tuple[str, Callable[[Met], None]]] = {
    "postgres": ("kill -9 of PostgreSQL during a search", _database),
    "ray-node": ("kill -9 of a worker node of Ray during a search", _node),
    "worker": ("kill -9 of Prefect's worker and its run during a search, on in a fresh clone", _worker),
    "two-runs": ("two runs of one deployment at once", _two),
    "cancelled": ("a run that is cancelled during a search", _cancelled),
}


def faults(given: Settings, names: Sequence[str] = ()) -> int:
    """Try them all, or those that are named; 0 when everything was survived. Raises InputError for what is not known."""
    for name in names:
        if name not in FAULTS:
            raise InputError(f"--faults: there is no fault '{name}'. {nearest(name, FAULTS)}")
    parts = {"postgres": given.postgres.use, "prefect": given.prefect.use, "ray": given.ray.use}
    if yours := [name for name, use in parts.items() if use == "given"]:
        raise InputError(
            f"--faults kills parts of the set, and {', '.join(yours)} would be yours. Set `use: local` there."
        )
    chosen = {name: FAULTS[name] for name in names or FAULTS}
    survived = 0
    with tempfile.TemporaryDirectory(prefix="equipoise-faults-") as folder:
        home = Path(folder)
        home.chmod(0o711)
        root = clone(home / "clone")
        settings = apart(given, home / "state")
        with (
            emptied(settings, say),
            production(settings, root, say) as (supervisor, variables),
            logs_shown(settings.state),
        ):
            met = Met(root, Server(variables["PREFECT_API_URL"], supervisor.look), supervisor, settings, variables)
            met.server.meanwhile = met.watch
            for says, fault in chosen.values():
                began = time.monotonic()
                try:
                    fault(met)
                    survived += 1
                    outcome = "survived"
                except EquipoiseError as error:
                    outcome = f"NOT survived: {error}"
                say(f"{says}: {outcome}, after {time.monotonic() - began:.0f} s")
            say(f"faults of the production set: survived {survived} / {len(chosen)}")
            if survived < len(chosen):
                raise EquipoiseError("not every fault was survived")
        nothing_left(home)
    return 0
