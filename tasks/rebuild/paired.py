"""Two versions on the same test rows: the difference of every metric with its interval, both scored now."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.errors import InputError
from models.metrics.bootstrap import generator
from models.metrics.figures import Terms
from models.metrics.gaps import Counted
from models.metrics.names import by_group_for, overall_for
from models.metrics.paired import Comparison, paired_difference
from models.metrics.scored import Grouping
from models.predictor import Predictor
from models.schema import Schema
from tasks.evaluate import predictions_of
from tasks.gate import champion_scores
from tasks.judge import Unfit
from tasks.judging import Scores, rounded, scores_of, terms_of
from tasks.learned import unlearned
from tasks.params import Evaluate
from tasks.parts import read_rows, rows_of
from tasks.rebuild.compare import TABLES
from tasks.rebuild.record import Record
from tasks.rebuild.tables import find_table
from tasks.reporting.numbers import plural


@dataclass(frozen=True)
class Paired:
    """The differences second - first, one entry per metric and attribute; or why there are none."""

    differences: tuple[dict[str, Any], ...]
    rows: int = 0
    note: str = ""


def paired_differences(first: Record, second: Record, root: Path) -> Paired:
    """Score the test rows of `second` with both. Its tables are taken from the working copy `root`, DVC's cache or remote.

    Rows that one of them has learned are left out; where a version does not say which those are, that is said, as it flatters.
    """
    with tempfile.TemporaryDirectory(prefix="equipoise-diff-") as folder:
        for name, place in TABLES.items():
            recorded = second.tables.get(name)
            target = Path(folder) / name
            found = find_table(root, root / place, recorded, target) if recorded else None
            if found is None:
                return Paired(
                    (), note=f"No paired differences: {name} of {second.reference} is neither here nor with DVC."
                )
            if found != target:
                target.symlink_to(found.absolute())
        try:
            return _differences(first, second, Path(folder))
        except InputError as error:
            return Paired((), note=f"No paired differences: {error}")


def _differences(first: Record, second: Record, tables: Path) -> Paired:
    schema = Schema.model_validate(second.document("schema"))
    rows = read_rows(tables)
    test, train = (rows_of(rows, tables, part) for part in ("test", "train"))
    fresh = unlearned(first.directory, second.directory, test, train)
    whole = len(test)
    test = test if fresh is None else test[fresh].reset_index(drop=True)
    if test.empty:
        return Paired(
            (), note=f"No paired differences: {first.reference} has learned all test rows of {second.reference}."
        )
    later = scores_of(predictions_of(_predictor(second), test, schema), schema)
    earlier = champion_scores(_predictor(first), test, later, schema)
    if isinstance(earlier, Unfit):
        return Paired((), note=f"No paired differences: {earlier.why}")
    params = second.document("params")
    terms = terms_of(Evaluate.model_validate(params.get("evaluate") or {}), int(params.get("seed") or 0))
    task = later.scored.task
    found = [_difference(metric, None, later, earlier, terms) for metric in overall_for(task)]
    found += [
        _difference(metric, grouping, later, earlier, terms)
        for grouping in later.groupings
        for metric in by_group_for(task)
    ]
    note = _note(first, second, whole - len(test) if fresh is not None else None)
    return Paired(tuple(found), len(test), note)


def _note(first: Record, second: Record, left_out: int | None) -> str:
    """What weakens the comparison; `left_out` are the rows that one of them has learned, None where that is not known."""
    if left_out is not None:
        return (
            f"{plural(left_out, 'test row')} of {second.reference} left out: one of the two has learned it."
            if left_out
            else ""
        )
    same = first.tables == second.tables
    return (
        "" if same else f"{first.reference} was made from other rows or another split: it may have learned from these."
    )


def _difference(metric: str, grouping: Grouping | None, later: Scores, earlier: Scores, terms: Terms) -> dict[str, Any]:
    counted = Counted.of(later.scored, grouping, terms) if grouping is not None else None
    what = Comparison(
        metric,
        terms.bins,
        grouping,
        counted.masks if counted else None,
        counted.enough if counted else None,
        terms.beta,
    )
    attribute = grouping.name if grouping is not None else None
    rng = generator(terms.seed, "paired", attribute or "", metric)
    value, interval = paired_difference(what, later.scored, earlier.scored, terms.draws, terms.confidence, rng)
    low, high = float(interval.low), float(interval.high)
    known = np.isfinite(value)
    return {
        "metric": metric,
        "attribute": attribute,
        "difference": rounded(float(value)) if known else None,
        "low": rounded(low) if known and np.isfinite(low) else None,
        "high": rounded(high) if known and np.isfinite(high) else None,
    }


def _predictor(record: Record) -> Predictor:
    return Predictor.load(record.directory / "predictor")
