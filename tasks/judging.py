"""The scored test rows as evaluate, audit and gate read them, and their figures as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.errors import InputError, nearest
from models.metrics.fairness import Evidence
from models.metrics.figures import Figure, Terms
from models.metrics.scored import Grouping, Scored, intersection
from models.schema import Schema
from tasks.params import Evaluate

JOINT = " & "
"""Stands between the attributes, and between the groups, of an intersection."""


@dataclass(frozen=True)
class Scores:
    """One model's scores on the test rows, with the groups of every sensitive attribute in the same order of rows."""

    scored: Scored
    classes: tuple[str, ...]
    groupings: tuple[Grouping, ...] = ()

    def grouping(self, name: str) -> Grouping:
        """The groups of an attribute, or of an intersection `a & b`; an unknown name is an InputError."""
        known = {grouping.name: grouping for grouping in self.groupings}
        names = [part.strip() for part in name.split("&")]
        for part in names:
            if part not in known:
                raise InputError(f"gates: '{part}' is no sensitive attribute of these data. {nearest(part, known)}")
        return intersection([known[part] for part in names])


def terms_of(evaluate: Evaluate, seed: int) -> Terms:
    """How figures on test rows are made."""
    return Terms(
        confidence=evaluate.confidence,
        draws=evaluate.bootstrap,
        bins=evaluate.calibration_bins,
        evidence=Evidence(evaluate.evidence_rows, evaluate.evidence_per_class),
        seed=seed,
    )


def scores_of(predictions: pd.DataFrame, schema: Schema) -> Scores:
    """What predictions.parquet holds."""
    columns = [f"p_{c}" for c in range(len(schema.target.classes))]
    scored = Scored.of(
        predictions["label"].to_numpy(), predictions["decision"].to_numpy(), predictions[columns].to_numpy(np.float64)
    )
    groupings = [Grouping.of(a.name, predictions[a.name].tolist(), a.groups) for a in schema.sensitive]
    return Scores(scored, schema.target.classes, tuple(groupings))


def read_scores(predictions: Path, schema: Schema) -> Scores:
    """The scored test rows that evaluate wrote."""
    return scores_of(pd.read_parquet(predictions), schema)


def intersections(groupings: Sequence[Grouping]) -> list[Grouping]:
    """Every pair of attributes, and all of them together."""
    pairs = [intersection(pair) for pair in combinations(groupings, 2)]
    return [*pairs, intersection(groupings)] if len(groupings) > 2 else pairs


def figure_json(figure: Figure) -> dict[str, Any]:
    """A figure with its interval and counts."""
    return {name: rounded(value) for name, value in dataclasses.asdict(figure).items()}


def rounded(value: Any) -> Any:
    """Six significant digits of a float: more than any test set supports, and the same whatever the last bit says."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
