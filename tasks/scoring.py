"""Scores on held-out rows as the search and the refit compare them, and the device that they are made on."""

from __future__ import annotations

import numpy as np
import torch

from models.balancing.component import Scores
from models.data import Split
from models.errors import InputError
from models.metrics.fairness import Evidence
from models.metrics.labels import Labels
from models.metrics.numbers import Numbers
from models.metrics.reach import Rows
from models.metrics.score import score_rows
from models.metrics.scored import Scored
from models.predictor import decoded
from models.schema import Schema
from models.targets import TargetScale
from tasks.params import Evaluate


def device_of(wanted: str) -> str:
    """'cpu' or 'cuda'; `auto` is CUDA where there is one. Asking for CUDA without one is an InputError."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("resources.device is cuda, but no CUDA device is visible. Set it to auto or cpu.")
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


def attribute_ids(split: Split, schema: Schema) -> dict[str, np.ndarray]:
    """Group ids [n] of each sensitive attribute, taken apart from the combined ones."""
    combined, found = split.groups.cpu().numpy(), {}
    for attribute in reversed(schema.sensitive):
        found[attribute.name] = combined % len(attribute.groups)
        combined = combined // len(attribute.groups)
    return {a.name: found[a.name] for a in schema.sensitive}


def scored_rows(scores: Scores, split: Split, scale: TargetScale | None = None) -> Rows:
    """What scores say of a split's rows, beside the truth; numbers in their own unit, which `scale` restores."""
    decided, probabilities = decoded(scores, split.task, scale)
    truth = split.truth.cpu().numpy()
    if split.task == "multilabel":
        return Labels.of(truth, decided, probabilities)
    if split.task == "regression":
        actual = truth[:, 0].astype(np.float64)
        actual = scale.restored(actual) if scale is not None else actual
        return Numbers.of(actual, decided, split.labels.cpu().numpy(), split.classes)
    return Scored.of(truth, decided, probabilities, split.task == "ordinal")


def validation_metrics(
    scores: Scores, split: Split, schema: Schema, evaluate: Evaluate, scale: TargetScale | None = None
) -> dict[str, float | None]:
    """All metrics on these rows by name; None where one is not defined or a comparison lacks evidence."""
    return score_rows(
        scored_rows(scores, split, scale),
        attribute_ids(split, schema),
        bins=evaluate.calibration_bins,
        evidence=Evidence(evaluate.evidence_rows, evaluate.evidence_per_class),
        beta=evaluate.beta,
    )
