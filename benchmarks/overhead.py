"""What a run costs beyond its stages' own work: Prefect, DVC, imports; and how long `make demo` takes and is silent.

Run it: `make bench-overhead`. Every run happens in a fresh clone; a stage's own work is what its `execute` takes, by a
clock in the same process, and all the rest from the start of the command to its end is overhead. The runs that are
repeated search little, as the overhead does not depend on it; the demo is `equipoise run` as it is, after installation.

`python -m benchmarks.overhead --production` measures the same short runs against a production set of its own instead.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.clones import Clone, Timed, as_settings, cloned, prefect_server
from benchmarks.table import Row, publish
from flows.pipeline import PIPELINE
from infra.production.orchestration import PARAMS
from infra.production.production_set import production
from infra.production.settings import load
from infra.production.trial import Server, apart, say

LITTLE = (
    "search.recipes=[none]", "search.budget.trials=4", "search.rounds=1", "search.rungs=1", "model.epochs=2",
    "model.iterations=20", "model.refits=1", "evaluate.bootstrap=100",
    "gates.rules=[{metric: roc_auc, at_least: 0.5}]",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """The demo first, then the short runs in turns."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead")
    parser.add_argument("--runs", type=int, default=2, help="short runs of each kind")
    parser.add_argument("--no-demo", action="store_true", help="leave out the demo, which takes some minutes")
    parser.add_argument("--production", action="store_true", help="against a production set, and nothing else")
    asked = parser.parse_args(arguments)
    if asked.production:
        _in_production(asked.runs)
        return
    own: list[float] = []
    running: list[float] = []
    nothing: list[float] = []
    demos: list[Timed] = []
    with cloned() as clone:
        # Once in a life: Prefect makes its database, Python compiles the clone.
        clone.equipoise("run", *as_settings(LITTLE))
        if not asked.no_demo:
            clone.forget()
            demos.append(_checked(clone.equipoise("run")))
            nothing.append(_idle(clone))
        for _ in range(asked.runs):
            clone.forget()
            own.append(_checked(clone.equipoise("run", *as_settings(LITTLE))).outside)
            nothing.append(_idle(clone, *as_settings(LITTLE)))
        with prefect_server(clone.environment) as api:
            for _ in range(asked.runs):
                clone.forget()
                running.append(_checked(clone.equipoise("run", *as_settings(LITTLE), api=api)).outside)
    rows = [
        Row("not in stages, Prefect's own server", own + [demo.outside for demo in demos], "s", at_most=20),
        Row("not in stages, a running server", running, "s", at_most=8),
        Row("a run with nothing to do", nothing, "s", at_most=3),
    ]
    for demo in demos:
        rows += [
            Row("`make demo` after installation", [demo.seconds], "s", at_most=180),
            Row("its stages' own work", [sum(demo.stages.values())], "s"),
            Row("its longest silence", [demo.silence], "s", at_most=5),
        ]
    publish(
        "overhead",
        "Time beyond the stages' own work",
        rows,
        command="make bench-overhead",
        notes=[
            "From the start of the command to the end of its process. The first row includes the start and the end of "
            "Prefect's ephemeral server; its database exists already."
        ],
    )


def _in_production(runs: int) -> None:
    """Short runs that a worker takes, and others by the command, in turns: database, objects and trials are the set's."""
    by_command: list[float] = []
    deployed: list[float] = []
    with tempfile.TemporaryDirectory(prefix="equipoise-benchmark-") as folder, cloned() as clone:
        home = Path(folder)
        home.chmod(0o711)
        settings = apart(load(), home / "state")
        with production(settings, clone.root, say) as (supervisor, variables):
            # Every run is of another seed and of other rows: what is stored for other clones is then of no use to it.
            there = Clone(clone.root, {**clone.environment, **variables, "PYTHONPATH": str(clone.root)})
            server = Server(variables["PREFECT_API_URL"], supervisor.look)
            for seed in range(-1, runs):  # the first of both is not counted: Python compiles the clone
                there.forget()
                run = server.begin("retrain/on-demand", {"overrides": [*LITTLE, *_another(2 * seed + 2)]})
                server.finished(run)
                beyond = server.beyond_stages(run)
                there.forget()
                words = as_settings((*LITTLE, *_another(2 * seed + 3)))
                timed = _checked(there.equipoise("run", "--params", str(settings.state / PARAMS), *words))
                if seed >= 0:
                    deployed.append(beyond)
                    by_command.append(timed.outside)
    publish(
        "overhead_production",
        "Time beyond the stages' own work, against the production set",
        [
            Row("`equipoise run` against the set, not in stages", by_command, "s", at_most=20),
            Row(
                "a run of a deployment, from being asked for to its end, not in stages' tasks",
                deployed,
                "s",
                at_most=20,
            ),
        ],
        command="python -m benchmarks.overhead --production",
        notes=[
            "PostgreSQL, an S3 server, Prefect's server and worker and two nodes of Ray, on the machine that is measured. "
            f"S3: {settings.s3.use}.",
            "The worker looks for runs every few seconds, and starts a process for each; both are in the second row.",
        ],
    )


def _another(number: int) -> tuple[str, str]:
    """What makes every stage of a run do its work."""
    return f"seed={number}", f"data.rows={60_000 - number}"


def _checked(timed: Timed) -> Timed:
    """A run that went through all stages."""
    if timed.code not in (0, 3) or len(timed.stages) != len(PIPELINE):
        raise RuntimeError(f"the run ended with exit code {timed.code} after {', '.join(timed.stages) or 'no stage'}")
    return timed


def _idle(clone: Clone, *words: str) -> float:
    """Seconds of the same command once more."""
    timed = clone.equipoise("run", *words)
    if timed.stages or not any("Nothing to do" in line for _, line in timed.lines):
        raise RuntimeError(f"the second run found something to do: {', '.join(timed.stages)}")
    return timed.seconds


if __name__ == "__main__":
    main()
