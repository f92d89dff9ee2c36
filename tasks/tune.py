"""tune: let all recipes compete on validation rows, and choose one configuration. Every trial is an output."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from models.errors import AllFailedError, DeviceLostError
from models.learners import learner, resolve_learners, spared_learners
from models.learners.learner import Plan
from models.schema import Schema
from tasks.champion import read_champion
from tasks.params import Params
from tasks.parts import read_rows, read_schema, rows_of
from tasks.progress import Unit, measured
from tasks.remote import remote_of_environment
from tasks.scoring import device_of
from tasks.search import relay
from tasks.search.board import Board
from tasks.search.campaign import Course, Record, Result, Terms
from tasks.search.checkpoints import Rungs, identity
from tasks.search.choice import Goal
from tasks.search.cluster import cluster
from tasks.search.companions import companions_of
from tasks.search.deadline import SCORING_SECONDS, Deadline
from tasks.search.encoding import encode
from tasks.search.entrants import Entrants, entrants, warm_learner
from tasks.search.ledger import Ledger
from tasks.search.objective import goal_of
from tasks.search.progress import Progress
from tasks.search.sizing import sizes
from tasks.search.space import Pair, families, pairs
from tasks.search.tables import Table
from tasks.search.work import Encoded, Job, Setting, carry_out
from tasks.stage import Paths, Stage, replacing, write_json

log = logging.getLogger("equipoise")

CODE = ("models", "tasks/search", "tasks/champion.py", "tasks/tune.py", "tasks/parts.py", "tasks/scoring.py")
"""What a trial's result follows from besides params and data: a search is not resumed with other code."""

SENDING_SECONDS = 5.0
"""For so long a search that is stopped waits until the remote has its last results."""

PROCESSES_PAY = 25.0
"""Seconds that must be left for it to pay to start Ray and the processes of trials.

On two idle cores their start and end take nine to fourteen seconds, in which nothing is trained; from then on they train about
half as much again as this process with all cores.
"""

LEARNED_FROM = "champion"
"""The key of a trial, and of the choice, that names the version which it learned from; absent where it learned from none."""


def run(params: Params, inputs: Paths, outputs: Paths) -> None:
    """Write trials.json, every configuration with its results, and choice.json."""
    if relay.is_outside(params.resources):
        relay.carry_out("tasks.tune", params, inputs, outputs)
        return
    began = time.monotonic()
    schema = read_schema(inputs["rows"].parent)
    rows, split = inputs["rows"].parent, inputs["split"].parent
    champion = read_champion(inputs["start"], schema, params.model)
    competing = entrants(
        params.search, schema, params.model.learners, lambda: rows_of(read_rows(rows), split, "train"), champion
    )
    competing.tell()
    recipes = competing.recipes
    image = any(c.kind == "image" for c in schema.features(params.model.sensitive_features))
    device = device_of(params.resources.device)
    learners, spared = resolve_learners(params.model.learners, image), spared_learners(params.model.learners)
    terms = _terms(params, pairs(recipes, learners, image, spared, warm_learner(champion)), schema)
    log.info("search: encoding the rows")
    known = None if isinstance(champion, str) else champion
    preprocessor, tables = encode(params, inputs, schema, [pair.recipe for pair in terms.pairs], known)
    plan = Plan(
        budget=1, batch_size=params.model.batch_size, patience=params.model.patience, hidden=params.model.hidden,
        device=device, champion=known.nets if known else (), recorded=params.resources.recorded_steps,
    )  # fmt: skip
    warm = Encoded(known.encoding().inputs, known.encoding().target_scale) if known else None
    setting = Setting(
        recipes, preprocessor.inputs, plan, schema, params.evaluate, terms.goal.metric, params.seed,
        preprocessor.target_scale, warm,
    )  # fmt: skip
    ledger = Ledger(_state(outputs) / _identity(params, inputs, device), remote_of_environment())
    terms = replace(terms, sizes=sizes(terms.families, setting, tables))
    try:
        board = Board(terms, ledger, params.search.budget.minutes, began)
        if board.known:
            log.info("search: going on where an interrupted search stopped, with %d results", len(board.known))
        if board.finished is None:
            _search(board, params, setting, tables)
    except KeyboardInterrupt:
        kept = len(ledger.load())
        ledger.settled(SENDING_SECONDS)
        log.warning("search: stopped; %d results are kept, and the same command goes on from there", kept)
        raise
    except AllFailedError:
        # The same command may find more memory, or a machine that works: it tries all of it again.
        ledger.remove()
        raise
    assert board.finished is not None
    _write(board.finished, terms.goal, competing, known.version if known else None, outputs["search"])
    ledger.remove()


def _terms(params: Params, competing: tuple[Pair, ...], schema: Schema) -> Terms:
    """The course of the search; what does not fit into it is said."""
    search = params.search
    trials = search.budget.trials
    trained = families(competing)
    left_out = [pair for family in trained[trials:] for pair in family.pairs] if trials is not None else []
    if left_out:
        log.warning(
            "search: %d trainings are too few to try every recipe with every learner; left out: %s. Set search.budget.trials to %d or more to try all",
            trials, ", ".join(f"{pair.recipe.name} on {pair.learner}" for pair in left_out), len(trained),
        )  # fmt: skip
    return Terms(
        pairs=tuple(pair for pair in competing if pair not in left_out), trials=trials, rounds=search.rounds, halving=search.halving,
        rungs=search.rungs, goal=goal_of(search, schema), seed=params.seed,
        budgets={pair.learner: params.model.budget(learner(pair.learner).counts_in) for pair in competing},
        going_on=frozenset(pair.learner for pair in competing if search.going_on and learner(pair.learner).pauses),
    )  # fmt: skip


def _search(board: Board, params: Params, setting: Setting, tables: dict[str, Table]) -> None:
    """Start Ray, and train until the board is satisfied."""
    pace = _first(board, setting, tables)
    if board.over:
        return
    log.info("search: starting the processes for trials")
    began = time.monotonic()
    note = board.ledger.directory.parent / "ray.json"
    unit: Unit = "trials" if board.limit is None else "seconds"
    total = board.terms.trials if board.limit is None else board.limit
    with (
        cluster(params.resources, setting.plan.device, sum(t.size for t in tables.values()), note) as shares,
        measured("search", total, unit) as meter,
    ):
        from tasks.search.tuner import search

        board.started_in = time.monotonic() - began
        search(board, setting, tables, shares, params.search.retries, Progress(board, meter), pace)


def _first(board: Board, setting: Setting, tables: dict[str, Table]) -> float:
    """In a search by time, the first training, here and now; gives how long scoring one trial takes.

    Whatever happens to the processes from then on, and however long they take to start, the search can end in time with a
    valid model. Trainings go on here while so little time is left that starting processes would not pay. One that breaks is
    left to them, as they can try it again; where there is no time for them, it has failed.
    """
    rungs = Rungs(board.ledger.directory)
    pace, alone = SCORING_SECONDS, board.limit is not None and not board.any_sound
    while alone and not board.over and (run := board.next()) is not None:
        deadline = Deadline(time.time() + (board.seconds_left or 0.0), pace=pace)
        place = "here" if board.any_sound else "first"
        log.info("search: training %s on %s %s", run.pair.recipe.name, run.pair.learner, place)
        try:
            job = Job.of(run)
            results = carry_out(
                job, setting, lambda name: tables[name].split(), rungs.load(job.after), None, deadline,
                partial(rungs.keep, job.name),
            )  # fmt: skip
        except (RuntimeError, DeviceLostError) as error:
            if board.any_sound:
                board.fail(run.name, str(error))
                continue
            log.warning("search: %s; it is tried again", error)
            board.under_way.discard(run.name)
            break
        board.record(run.name, results)
        pace = deadline.pace
        alone = (board.seconds_left or 0.0) < PROCESSES_PAY
    return pace


def _state(outputs: Paths) -> Path:
    """Where searches that are not finished are kept: in the working copy, outside of what DVC tracks."""
    return outputs["search"].parent.parent / ".equipoise" / "search"


def _identity(params: Params, inputs: Paths, device: str) -> str:
    sections = {name: getattr(params, name).model_dump(mode="json") for name in ("model", "search", "evaluate")}
    root = Path(__file__).parents[1]
    return identity(
        {**sections, "seed": params.seed, "device": device}, inputs.values(), [root / path for path in CODE]
    )


def _write(course: Course, goal: Goal, competing: Entrants, champion: str | None, directory: Path) -> None:
    """trials.json and choice.json, together."""
    candidates = course.candidates()
    standings = [record.standing for record in candidates]
    best = goal.best(standings)
    chosen = next(record for record in candidates if record.trial.id == best.trial)
    why = goal.why(best, standings)
    log.info("search: %s", why)
    with replacing(directory) as temporary:
        temporary.mkdir(parents=True)
        trials = [_trial(record, goal, champion) for record in course.records]
        write_json(
            temporary / "trials.json",
            {
                "objective": goal.record(),
                "wall_clock_limited": course.limited,
                "recipes": competing.record(),
                "trials": trials,
            },
        )
        outcome = _trial(chosen, goal, champion)
        keys = ("trial", "recipe", "learner", "values", "feasible", "violation")
        choice = {key: outcome[key] for key in (*keys, LEARNED_FROM) if key in outcome} | {
            "why": why,
            "metrics": outcome["metrics"],
        }
        companions = [
            {key: _trial(record, goal, champion)[key] for key in keys}
            for record in companions_of(chosen, candidates, goal)
        ]
        write_json(temporary / "choice.json", choice | {"companions": companions})


def _trial(record: Record, goal: Goal, champion: str | None) -> dict[str, Any]:
    """A trial as it stands in the record: its configuration, what it got on each rung, and what became of it.

    `training` is the first trial of those that share its training: that trial itself, where it was the first. `champion` is
    the version that it learned from, where it did.
    """
    trial, metrics = record.trial, record.last.metrics
    return {
        "trial": trial.id, "recipe": trial.pair.recipe.name, "learner": trial.pair.learner, "values": dict(trial.values),
        **({LEARNED_FROM: champion} if trial.pair.recipe.reads_champion else {}),
        "training": trial.trained_as, "seed": trial.seed, "round": trial.round,
        "rungs": [_rung(spent, result) for spent, result in record.rungs],
        "status": record.status, "error": record.last.error, "metrics": metrics,
        "violation": None if metrics is None else goal.violation(metrics),
        "feasible": metrics is not None and goal.violation(metrics) == 0,
    }  # fmt: skip


def _rung(spent: int, result: Result) -> dict[str, Any]:
    """The budget and the metrics; where the clock stopped it, how much of the budget was spent."""
    stopped = {} if result.stopped is None else {"stopped_after": result.stopped}
    return {"budget": spent, **stopped, "metrics": result.metrics}


STAGE = Stage(
    name="tune",
    run=run,
    sections=("seed", "model", "search", "resources", "evaluate"),
    inputs={
        "rows": "data/ingest/rows.parquet",
        "schema": "data/ingest/schema.json",
        "split": "data/split/split.parquet",
        "resampled": "data/resample",
        "start": "data/start",
    },
    outputs={"search": "data/tune"},
)

if __name__ == "__main__":
    STAGE.main()
