"""gate: apply the policy to the model and to the champion it would replace, both scored on the test rows that neither learned."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.errors import EquipoiseError
from models.predictor import Predictor
from models.schema import Schema
from tasks.identity import sums
from tasks.judge import Champion, Measured, Outcome, Unfit, judge, suited
from tasks.judging import Scores, read_scores, rounded, scored, terms_of
from tasks.learned import Bools, unlearned
from tasks.params import Evaluate, Params
from tasks.parts import read_rows, read_schema, rows_of
from tasks.registry import CHAMPION, Registry, open_registry
from tasks.stage import Paths, Stage, read_json, write_json

log = logging.getLogger("equipoise")


@dataclass(frozen=True)
class Defender:
    """The champion: its version, its scores on the test rows or why there are none, and what is to be said of the comparison.

    `fresh` [n] says which test rows both are compared on; None: all.
    """

    version: str
    scores: Scores | Unfit
    note: str = ""
    fresh: Bools | None = None


def run(params: Params, inputs: Paths, outputs: Paths) -> None:
    """Write verdict.json."""
    schema = read_schema(inputs["schema"].parent)
    candidate = read_scores(inputs["predictions"], schema)
    registry = open_registry(params.registry.url, outputs["verdict"].parents[2])
    defender = find_champion(registry, params.model_name, candidate, schema, inputs)
    policy, left_out = suited(params.gates, schema.target.kind)
    champion, compared = opposed(candidate, defender, params.evaluate)
    verdict = judge(candidate, champion, policy, terms_of(params.evaluate, params.seed), compared)
    notes = [note for note in (defender.note if defender else "", left_out) if note]
    found = {
        "verdict": verdict.verdict,
        "first": defender is None,
        "champion": _champion_json(defender, champion, compared or candidate),
        "rules": [outcome_json(outcome) for outcome in verdict.outcomes],
        "notes": notes,
        # A rule of the policy for another kind of target is no news of this model: it is a note alone.
        "summary": " ".join(filter(None, [verdict.summary, defender.note if defender else ""])),
    }
    write_json(outputs["verdict"], found)
    if left_out:
        log.info("gate: %s", left_out)
    log.info("gate: %s. %s", verdict.verdict, found["summary"])


def find_champion(registry: Registry, name: str, candidate: Scores, schema: Schema, inputs: Paths) -> Defender | None:
    """The champion with its scores on the test rows, in the order of the candidate's; None when there is none yet.

    One that is damaged, or does not fit these rows any more, is no reason to stop: it is said, and judged as unfit.
    """
    version = registry.aliases(name).get(CHAMPION)
    if version is None:
        return None
    log.info("gate: scoring the champion %s@%s on the same test rows", name, version)
    try:
        directory = registry.load(name, CHAMPION).directory
        predictor = Predictor.load(directory / "predictor")
        rows = read_rows(inputs["rows"].parent)
        test, train = (rows_of(rows, inputs["split"].parent, part) for part in ("test", "train"))
        scores = champion_scores(predictor, test, candidate, schema)
        fresh = unlearned(directory, inputs["train"], test, train)
        if fresh is None:
            return Defender(version, scores, training_note(directory, inputs))
        return Defender(version, scores, comparison_note(fresh), fresh)
    except (EquipoiseError, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        reason = str(error) if isinstance(error, EquipoiseError) else f"{type(error).__name__}: {error}"
        log.warning("gate: champion %s@%s cannot score these rows: %s", name, version, reason)
        return Defender(version, Unfit(reason))


def champion_scores(predictor: Predictor, rows: pd.DataFrame, candidate: Scores, schema: Schema) -> Scores | Unfit:
    """The champion's decisions and probabilities with the classes in the candidate's order."""
    theirs, ours = predictor.schema.target, schema.target
    if theirs.column != ours.column:
        return Unfit(f"It predicts '{theirs.column}', and these rows hold '{ours.column}'.")
    if theirs.classes and ours.classes and set(theirs.classes) != set(ours.classes):
        return Unfit(f"Its classes are {', '.join(theirs.classes)}; those of these rows are {', '.join(ours.classes)}.")
    if theirs.kind != ours.kind:
        return Unfit(f"It was made for a {theirs.kind} target, and that of these rows is {ours.kind}.")
    place = [theirs.classes.index(name) for name in ours.classes]
    decisions, probabilities = predictor.predict(rows)
    if ours.kind == "multilabel":
        decisions = decisions[:, place]
    elif ours.kind != "regression":
        decisions = np.argsort(place)[decisions]
    return replace(candidate, scored=scored(rows, decisions, probabilities[:, place], ours))


def opposed(candidate: Scores, defender: Defender | None, evaluate: Evaluate) -> tuple[Champion, Scores | None]:
    """The champion, and the candidate beside it, on the rows that neither learned; or why these are too few.

    Their number, and that of each class, has to be what a group needs to be judged, unless there are no more in all.
    """
    if defender is None or isinstance(defender.scores, Unfit) or defender.fresh is None or defender.fresh.all():
        return (defender.scores if defender else None), None
    fresh = candidate.take(defender.fresh)
    rows, needed = len(fresh.scored), min(evaluate.evidence_rows, len(candidate.scored))
    before, after = candidate.scored.class_counts, fresh.scored.class_counts
    scarce = after < np.minimum(before, evaluate.evidence_per_class)
    if rows < needed or scarce.any():
        of_class = f"{after[scarce][0]} of '{candidate.classes[int(np.argmax(scarce))]}'" if scarce.any() else ""
        found = " and ".join(filter(None, (f"{rows:,} of {len(candidate.scored):,}", of_class)))
        wanted = f"{evaluate.evidence_rows} rows and {evaluate.evidence_per_class} of each class"
        why = f"too few rows that the champion has not learned: {found} ({wanted} are needed)."
        return Unfit(why), None
    return replace(candidate, scored=defender.scores.take(defender.fresh).scored, groupings=fresh.groupings), fresh


def comparison_note(fresh: Bools) -> str:
    """What is to be said where some test rows are left out of the comparison."""
    if fresh.all():
        return ""
    return (
        f"Of the {len(fresh):,} test rows, {int((~fresh).sum()):,} are left out of the comparison with the champion: it has "
        "learned them, or the new model has."
    )


def training_note(directory: Path, inputs: Paths) -> str:
    """Whether the champion may have learned from these test rows, by the identity that its version records.

    The same rows and the same split have the same training part. Anything else may overlap, which flatters the champion.
    """
    recorded = _recorded_tables(directory)
    present = {name: sums(inputs[name])["sha256"] for name in ("rows", "split")}
    if recorded == present:
        return ""
    if recorded.get("rows") == present["rows"]:
        return (
            "The champion was trained on another split of the same rows, so it has probably learned from some of these test "
            "rows, which flatters it."
        )
    return "The champion was trained on other data; it may have learned from some of these test rows, which would flatter it."


def _recorded_tables(directory: Path) -> dict[str, Any]:
    """SHA-256 of the rows and of the split that a version was trained on; None where it does not say."""
    path = directory / "identity.json"
    tables: Mapping[str, Any] = read_json(path)["data"]["tables"] if path.exists() else {}
    return {name: tables.get(f"{name}.parquet", {}).get("sha256") for name in ("rows", "split")}


def _champion_json(defender: Defender | None, champion: Champion, compared: Scores) -> dict[str, Any] | None:
    """`rows` are those that both were compared on."""
    if defender is None:
        return None
    unfit = isinstance(champion, Unfit)
    why = champion.why if isinstance(champion, Unfit) else ""
    rows = 0 if unfit else len(compared.scored)
    return {"version": defender.version, "fits": not unfit, "why": why, "note": defender.note, "rows": rows}


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """One judged rule."""
    return {
        "rule": outcome.rule.model_dump(mode="json"),
        "attribute": outcome.attribute,
        "outcome": outcome.outcome,
        "applies": outcome.applies,
        **_measured(outcome.figure),
        "rows": outcome.rows,
        "limit": outcome.limit,
        "champion_value": rounded(outcome.champion_value),
        "difference": _measured(outcome.difference) if outcome.difference else None,
        "why": outcome.why,
    }


def _measured(figure: Measured) -> dict[str, Any]:
    return {name: rounded(value) for name, value in asdict(figure).items()}


STAGE = Stage(
    name="gate",
    run=run,
    sections=("seed", "data", "evaluate", "gates", "registry"),
    inputs={
        "rows": "data/ingest/rows.parquet",
        "schema": "data/ingest/schema.json",
        "split": "data/split/split.parquet",
        "train": "data/train",
        "predictions": "data/evaluate/predictions.parquet",
    },
    outputs={"verdict": "data/gate/verdict.json"},
)

if __name__ == "__main__":
    STAGE.main()
