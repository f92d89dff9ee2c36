"""What gets registered: preprocessing, trained models and adjustment in one; saved as safetensors and JSON, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import safetensors
import safetensors.torch
import torch

from models.adjustment import apply_adjusters, average
from models.balancing.component import Adjuster, Scores, State
from models.balancing.discovery import component
from models.data import Split
from models.errors import InputError
from models.learners import model_class
from models.learners.learner import Model
from models.preprocess import Preprocessor, load_preprocessor
from models.schema import LABEL_SEPARATOR, Schema, Task
from models.targets import TargetScale

FORMAT = 1
WEIGHTS, DESCRIPTION = "weights.safetensors", "predictor.json"
CHUNK = 65536
"""Rows scored at once, so that memory stays bounded."""


@dataclass(frozen=True)
class Predictor:
    """Raw columns in, decisions and calibrated probabilities out; the same whatever learner made it.

    The members' probabilities are averaged, then the adjusters apply in order.
    """

    preprocessor: Preprocessor
    models: tuple[Model, ...]
    adjusters: tuple[Adjuster, ...]
    states: tuple[State, ...]
    recipe: str

    @property
    def schema(self) -> Schema:
        """The columns, the target and the sensitive attributes that it was made for."""
        return self.preprocessor.schema_

    def scores(self, split: Split) -> Scores:
        """Encoded rows -> adjusted log-probabilities and decision scores, both [n, O] float64, as `Scores` says."""
        return apply_adjusters(self.adjusters, self.states, average(self.models, split), split.groups)

    def predict_frame(self, rows: pd.DataFrame) -> pd.DataFrame:
        """A table of raw columns -> `decision` (class name) and `p_<class>` per class, on the rows' index.

        Of several labels `decision` lists those decided, joined by LABEL_SEPARATOR; of a number there is `prediction` alone.
        Raises InputError when a column is missing or of another kind.
        """
        decisions, probabilities = self.predict(rows)
        target, classes = self.schema.target, self.schema.target.classes
        if target.kind == "regression":
            return pd.DataFrame({"prediction": decisions}, index=rows.index)
        table = pd.DataFrame({f"p_{name}": probabilities[:, i] for i, name in enumerate(classes)}, index=rows.index)
        if target.kind == "multilabel":
            names = np.asarray(classes, dtype=object)
            table.insert(0, "decision", [LABEL_SEPARATOR.join(names[row > 0]) for row in decisions])
        else:
            table.insert(0, "decision", [classes[i] for i in decisions])
        return table

    def predict(self, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """A table of raw columns -> decisions [n] as class ids, and probabilities [n, C] float64.

        Of several labels: which are decided [n, L] (0 or 1), and their probabilities [n, L]; of a number: it [n], in its
        own unit, and nothing [n, 0].
        """
        decisions, probabilities = [], []
        known = rows.drop(columns=[self.schema.target.column], errors="ignore")
        with torch.no_grad():
            for start in range(0, max(1, len(known)), CHUNK):
                scores = self.scores(self.preprocessor.encode(known.iloc[start : start + CHUNK]))
                decided, probable = decoded(scores, self.schema.target.kind, self.preprocessor.target_scale)
                decisions.append(decided)
                probabilities.append(probable)
        return np.concatenate(decisions), np.concatenate(probabilities)

    def save(self, directory: Path) -> None:
        """Write weights.safetensors and predictor.json into a directory that must exist; the same predictor gives the same bytes."""
        tensors = {f"model.{i}.{k}": v for i, m in enumerate(self.models) for k, v in m.tensors().items()}
        tensors.update({f"adjust.{i}.{k}": v for i, s in enumerate(self.states) for k, v in s.items()})
        description = {
            "format": FORMAT,
            "recipe": self.recipe,
            "preprocessor": self.preprocessor.model_dump(mode="json"),
            "models": [{"kind": m.kind, "architecture": m.architecture()} for m in self.models],
            "adjust": [{"name": a.name, "values": _values(a)} for a in self.adjusters],
        }
        safetensors.torch.save_file({k: v.cpu().contiguous().clone() for k, v in tensors.items()}, directory / WEIGHTS)
        (directory / DESCRIPTION).write_text(json.dumps(description, allow_nan=False) + "\n", encoding="utf-8")

    @staticmethod
    def load(directory: Path) -> Predictor:
        """Read what `save` wrote; a missing, foreign or broken file is an InputError that names it."""
        try:
            description = json.loads((directory / DESCRIPTION).read_text(encoding="utf-8"))
            tensors = safetensors.torch.load_file(directory / WEIGHTS)
        except FileNotFoundError as error:
            raise InputError(f"{directory} holds no predictor: {Path(str(error.filename)).name} is missing.") from None
        except (ValueError, OSError, safetensors.SafetensorError) as error:
            raise InputError(
                f"{directory}: the predictor cannot be read ({error}). Take it from the registry again."
            ) from None
        if description.get("format") != FORMAT:
            raise InputError(
                f"{directory}: predictor format {description.get('format')}, this version reads {FORMAT}. Upgrade Equipoise."
            )
        adjusters = tuple(
            cast("Adjuster", component(a["name"], "adjust").build(a["values"])) for a in description["adjust"]
        )
        return Predictor(
            preprocessor=load_preprocessor(description["preprocessor"]),
            models=tuple(
                model_class(m["kind"]).rebuild(m["architecture"], _part(tensors, f"model.{i}."))
                for i, m in enumerate(description["models"])
            ),
            adjusters=adjusters,
            states=tuple(_part(tensors, f"adjust.{i}.") for i in range(len(adjusters))),
            recipe=description["recipe"],
        )


def decoded(scores: Scores, task: Task, scale: TargetScale | None) -> tuple[np.ndarray, np.ndarray]:
    """What scores decide and how probable they hold it, as `Predictor.predict` returns them."""
    if task == "regression":
        found = scores.decision[:, 0].cpu().numpy()
        return scale.restored(found) if scale is not None else found, np.zeros((len(found), 0))
    probabilities = scores.log_probabilities.exp().cpu().numpy()
    if task == "multilabel":
        return (scores.decision > 0).cpu().numpy().astype(np.int64), probabilities
    return scores.decision.argmax(-1).cpu().numpy(), probabilities


def _part(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}


def _values(adjuster: Adjuster) -> dict[str, Any]:
    return {name: getattr(adjuster, name) for name in adjuster.hyperparameters()}
