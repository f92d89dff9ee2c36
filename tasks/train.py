"""train: refit the chosen configuration with several seeds, fit its adjustments on calibration rows, save the predictor."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from models.adjustment import apply_adjusters, average, fit_adjusters
from models.data import Split, Statistics
from models.errors import DeviceLostError, EquipoiseError
from models.learners import learner
from models.learners.learner import Checkpoint, Member, Model, Plan
from models.learners.memory import device_lost
from models.learners.pool import ended_on
from models.metrics.names import TELLS_MORE
from models.predictor import Predictor
from models.preprocess import Preprocessor
from models.recipe import Recipe
from models.seeds import derive_seed
from tasks.champion import Champion, encoded, preprocessor_of, read_champion
from tasks.learned import write_learned
from tasks.params import Params
from tasks.parts import read_rows, read_schema, rehearsed, rows_of, training_rows, unlabelled_rows
from tasks.scoring import device_of, validation_metrics
from tasks.search import relay
from tasks.search.checkpoints import Kept, identity
from tasks.search.entrants import entrant
from tasks.stage import Paths, Stage, read_json, replacing, write_json

log = logging.getLogger("equipoise")

CODE = ("models", "tasks/search", "tasks/champion.py", "tasks/train.py", "tasks/parts.py")
"""What a refit follows from besides params and data: one that was interrupted is not gone on with by other code."""

SAID = 15
"""About how often it is said how far a training has come."""


def run(params: Params, inputs: Paths, outputs: Paths) -> None:
    """Write predictor/ (safetensors + JSON), which rows it learned, and summary.json with the spread over the seeds."""
    if relay.is_outside(params.resources) and params.resources.workers > 1:
        relay.carry_out("tasks.train", params, inputs, outputs)
        return
    choice = read_json(inputs["choice"])
    recipe = entrant(params.search, choice["recipe"]).with_values(choice["values"])
    schema, rows = read_schema(inputs["rows"].parent), read_rows(inputs["rows"].parent)
    split = inputs["split"].parent
    train_rows = rows_of(rows, split, "train")
    found = read_champion(inputs["start"], schema, params.model) if recipe.reads_champion else ""
    champion = None if isinstance(found, str) else found
    fitted = Preprocessor.fit(train_rows, schema, params.model.sensitive_features)
    preprocessor = preprocessor_of(recipe, fitted, champion)
    table = training_rows(rows, split, inputs["resampled"], recipe)
    train = encoded(preprocessor, table, champion)
    old = table[rehearsed(table)]
    unlabelled = unlabelled_rows(inputs["rows"].parent, schema, recipe)
    if unlabelled is not None:
        train = train.joined(encoded(preprocessor, unlabelled, champion).unlabelled())
    valid, calib = (preprocessor.encode(rows_of(rows, split, part)) for part in ("valid", "calib"))
    device = device_of(params.resources.device)
    members = [Member(choice["values"], derive_seed(params.seed, "refit", i)) for i in range(params.model.refits)]
    if champion is not None:
        again = f", and {len(old):,} rows of its past again" if len(old) else ""
        log.info("train: it learns from champion %s%s", champion.version, again)
    log.info("train: refitting %s with %s, %d seeds, on %s", recipe.name, choice["learner"], len(members), device)
    scratch = outputs["model"].parent.parent / ".equipoise" / "train"
    kept = _folder(params, inputs, scratch.with_name("refit"), device)
    refits = _fit(
        recipe, choice["learner"], members, train, valid, preprocessor, params, device, scratch, kept, champion
    )
    statistics = Statistics.of(ended_on(recipe, train))
    models, joined = list(refits), []
    for companion in choice.get("companions", ()) if params.model.ensemble else ():
        log.info("train: refitting with %s as well, to average both", companion["learner"])
        own = entrant(params.search, companion["recipe"]).with_values(companion["values"])
        theirs = [replace(member, values=companion["values"]) for member in members]
        more = _fit(
            own, companion["learner"], theirs, train, valid, preprocessor, params, device, scratch, kept, champion
        )
        measured = TELLS_MORE[schema.target.kind]
        alone, together = (
            _metrics(params, recipe, some, valid, calib, statistics, preprocessor)[measured]
            for some in (models, [*models, *more])
        )
        better = alone is not None and together is not None and together < alone
        models = [*models, *more] if better else models
        joined.append({**companion, measured: {"without": alone, "with": together}, "kept": better})
        log.info("train: %s", f"{companion['learner']} {'lowers' if better else 'does not lower'} the {measured}")
    states, _ = fit_adjusters(recipe.adjust, average(models, calib), calib, statistics)
    predictor = Predictor(preprocessor, tuple(models), recipe.adjust, tuple(states), recipe.name)
    with replacing(outputs["model"]) as directory:
        (directory / "predictor").mkdir(parents=True)
        predictor.save(directory / "predictor")
        told_by = {*preprocessor.columns, schema.target.column} & set(train_rows)
        heard = inputs["start"] if recipe.hears_champion else None
        write_learned(directory, pd.concat([train_rows, old[list(train_rows.columns)]]), sorted(told_by), heard)
        seeds = [_metrics(params, recipe, [model], valid, calib, statistics, preprocessor) for model in refits]
        summary = {
            "recipe": recipe.name,
            "learner": choice["learner"],
            "values": choice["values"],
            **({"champion": champion.version} if champion is not None else {}),
            "rows": len(train),
            **({"rehearsed": len(old)} if len(old) else {}),
            "seeds": [{"seed": m.seed, "metrics": s} for m, s in zip(members, seeds, strict=True)],
            "spread": _spread(seeds),
            "ensemble": joined,
            "together": _metrics(params, recipe, models, valid, calib, statistics, preprocessor),
        }
        write_json(directory / "summary.json", summary)
    shutil.rmtree(kept.parent, ignore_errors=True)


def _folder(params: Params, inputs: Paths, parent: Path, device: str) -> Path:
    """Where the checkpoints of this refit are; those of another, that nobody can go on with any more, are forgotten."""
    sections = {name: getattr(params, name).model_dump(mode="json") for name in ("model", "search", "evaluate")}
    cpus, root = params.resources.cpus_per_trial, Path(__file__).parents[1]
    name = identity(
        {**sections, "seed": params.seed, "device": device, "cpus": cpus}, inputs.values(), [root / p for p in CODE]
    )
    for other in parent.iterdir() if parent.is_dir() else ():
        if other.name != name:
            shutil.rmtree(other, ignore_errors=True)
    return parent / name


def _fit(
    recipe: Recipe,
    name: str,
    members: list[Member],
    train: Split,
    valid: Split,
    preprocessor: Preprocessor,
    params: Params,
    device: str,
    scratch: Path,
    kept: Path,
    champion: Champion | None,
) -> list[Model]:
    """Train the members; every one of them must succeed, as the spread over seeds is part of the verdict.

    What they have come to is in a folder of the learner's in `kept` at times, and one that was stopped goes on from there.
    """
    chosen = learner(name)
    plan = Plan(
        budget=params.model.budget(chosen.counts_in),
        batch_size=params.model.batch_size,
        patience=params.model.patience,
        hidden=params.model.hidden,
        device=device,
        champion=champion.nets if champion is not None else (),
        recorded=params.resources.recorded_steps,
    )

    saved = Kept(kept / name)

    def progress(epoch: int, make: Callable[[], Checkpoint] | None = None) -> None:
        if make is not None:
            saved.now_and_then(make)
        if epoch % max(1, plan.budget // SAID) == 0 or epoch == plan.budget:
            log.info("train: %d of %d", epoch, plan.budget)

    workers, cpus = params.resources.workers, params.resources.cpus_per_trial
    if workers > 1 and chosen.data_parallel:
        from tasks import parallel

        log.info("train: %d workers train together", workers)
        training = parallel.Training(
            recipe, name, tuple(members), preprocessor.inputs, plan, str(scratch.resolve()), max(1, int(cpus))
        )
        outcomes = parallel.fit(training, train, valid, params.resources, params.search.retries, progress)
    else:
        if workers > 1:
            log.info("train: one process trains %s: its workers would not see what they need of a batch", name)
        with _threads(cpus), _naming_what_is_lost():
            outcomes = chosen.fit(
                recipe, members, train, valid, preprocessor.inputs, plan, saved.checkpoint(), progress
            )
    failed = [f"seed {m.seed}: {o.error}" for m, o in zip(members, outcomes, strict=True) if o.model is None]
    if failed:
        raise EquipoiseError(
            f"train: the chosen configuration {json.dumps(dict(members[0].values))} of {recipe.name} failed in the refit: "
            f"{'; '.join(failed)}. Leave the recipe out, or narrow its hyperparameters in search.recipes."
        )
    for note in dict.fromkeys(o.note for o in outcomes if o.note):
        log.warning("train: %s", note)
    return [o.model for o in outcomes if o.model is not None]


@contextlib.contextmanager
def _threads(cpus: float) -> Iterator[None]:
    """As many threads as a trial has: the same sums in the same order as in the search, however many cores there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, int(cpus)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _naming_what_is_lost() -> Iterator[None]:
    """An accelerator that does not answer any more is a DeviceLostError that says how to go on."""
    try:
        yield
    except RuntimeError as error:
        if not device_lost(error):
            raise
        first = str(error).strip().partition("\n")[0]
        raise DeviceLostError(
            f"train: the accelerator does not answer any more ({first}). What was under way has a checkpoint: once it is back, "
            "the same command goes on from there; with resources.device cpu it trains without it, from the start."
        ) from error


def _metrics(
    params: Params,
    recipe: Recipe,
    models: Sequence[Model],
    valid: Split,
    calib: Split,
    statistics: Statistics,
    preprocessor: Preprocessor,
) -> dict[str, float | None]:
    """Metrics of these models on validation rows, with their adjusters fitted on calibration rows."""
    states, _ = fit_adjusters(recipe.adjust, average(models, calib), calib, statistics)
    scores = apply_adjusters(recipe.adjust, states, average(models, valid), valid.groups)
    schema, scale = preprocessor.schema_, preprocessor.target_scale
    return validation_metrics(scores, valid, schema, params.evaluate, scale)


def _spread(seeds: Sequence[dict[str, float | None]]) -> dict[str, Any]:
    """Mean, smallest, largest and standard deviation of each metric over the seeds; None where a seed has none."""
    found: dict[str, Any] = {}
    for metric in seeds[0]:
        values = [s[metric] for s in seeds]
        known = np.array([v for v in values if v is not None])
        complete = len(known) == len(values)
        found[metric] = {
            "mean": float(known.mean()) if complete else None,
            "low": float(known.min()) if complete else None,
            "high": float(known.max()) if complete else None,
            "deviation": float(known.std(ddof=1)) if complete and len(known) > 1 else None,
        }
    return found


STAGE = Stage(
    name="train",
    run=run,
    sections=("seed", "model", "search", "evaluate", "resources"),
    inputs={
        "rows": "data/ingest/rows.parquet",
        "schema": "data/ingest/schema.json",
        "split": "data/split/split.parquet",
        "resampled": "data/resample",
        "choice": "data/tune/choice.json",
        "start": "data/start",
    },
    outputs={"model": "data/train"},
)

if __name__ == "__main__":
    STAGE.main()
