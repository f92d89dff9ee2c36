"""Scores on held-out rows as the search and the refit compare them, and the device that they are made on."""

from __future__ import annotations

import numpy as np
import torch

from models.balancing.component import Scores
from models.data import Split
from models.errors import InputError
from models.metrics.fairness import Evidence
from models.metrics.score import score_all
from models.schema import Schema
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


def validation_metrics(scores: Scores, split: Split, schema: Schema, evaluate: Evaluate) -> dict[str, float | None]:
    """All metrics on these rows by name; None where one is not defined or a comparison lacks evidence."""
    return score_all(
        split.labels.cpu().numpy(),
        scores.decision.argmax(-1).cpu().numpy(),
        scores.log_probabilities.exp().cpu().numpy(),
        attribute_ids(split, schema),
        bins=evaluate.calibration_bins,
        evidence=Evidence(evaluate.evidence_rows, evaluate.evidence_per_class),
    )
