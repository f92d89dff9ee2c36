"""The champion that a run may learn from: what the stage `start` left of it, and what it can give these data and learners."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from models.adjustment import average
from models.data import Split
from models.learners import learner, resolve_learners
from models.learners.learner import Plan
from models.learners.net_model import NetModel
from models.predictor import CHUNK, Predictor
from models.preprocess import Preprocessor
from models.recipe import Recipe
from models.schema import CLASSES, Schema
from tasks.params import Model
from tasks.stage import read_json

NOTE, PREDICTOR = "start.json", "predictor"
"""What the stage `start` writes: which version it took, or why none, and that version's predictor."""


@dataclass(frozen=True)
class Champion:
    """A version's predictor beside the schema of these data, the learners of this run and how its nets are made.

    `forgotten` says why none of its rows can be rehearsed; empty where there are some.
    """

    version: str
    predictor: Predictor
    schema: Schema
    learners: tuple[str, ...]
    model: Model
    forgotten: str = ""

    @property
    def nets(self) -> tuple[NetModel, ...]:
        """Its nets of one architecture, which training can start from; of trees there are none."""
        nets = [model for model in self.predictor.models if isinstance(model, NetModel)]
        return tuple(model for model in nets if model.architecture() == nets[0].architecture())

    @property
    def learner(self) -> str:
        """The learner that its nets are of; empty where it has none."""
        return str(self.nets[0].architecture()["net"]) if self.nets else ""

    def objection(self, recipe: Recipe) -> str:
        """Why the recipe cannot learn from it, as a clause; empty where it can."""
        if recipe.rehearses and self.forgotten:
            return self.forgotten
        if recipe.start is None:
            return ""
        theirs, target = self.predictor.schema.target, self.schema.target
        who = f"champion {self.version}"
        if not self.nets:
            return f"{who} is no net, so it has no weights to start from"
        if self.learner not in self.learners:
            return f"{who} is of the learner {self.learner}, which model.learners leaves out"
        if theirs.classes != target.classes:
            return f"{who} has its classes in another order"
        if changed := sorted(_read(self.predictor.preprocessor) ^ self._wanted()):
            return f"{who} reads other columns: {', '.join(name for name, _ in changed[:5])}"
        outputs = 1 if target.kind == "regression" else len(target.classes)
        plan = Plan(budget=1, hidden=self.model.hidden)
        clause = learner(self.learner).cannot_start(
            recipe, self.nets, self.predictor.preprocessor.inputs, outputs, plan
        )
        return clause or ""

    def encoding(self) -> Preprocessor:
        """How rows are encoded for a net that starts from its weights: as for itself, which is what they were learned on."""
        return self.predictor.preprocessor.model_copy(update={"schema_": self.schema})

    @torch.no_grad()
    def said(self, rows: pd.DataFrame) -> Tensor:
        """What it says of a table's rows, before its adjustments: log-probabilities [n, C] float32, in these data's order of classes.

        [n, 0] where the target is no class.
        """
        if self.schema.target.kind not in CLASSES:
            return torch.zeros(len(rows), 0)
        place = [self.predictor.schema.target.classes.index(name) for name in self.schema.target.classes]
        preprocessor = self.predictor.preprocessor
        known = rows.drop(columns=[preprocessor.schema_.target.column], errors="ignore")
        found = [
            average(self.predictor.models, preprocessor.encode(known.iloc[start : start + CHUNK])).log_probabilities
            for start in range(0, len(known), CHUNK)
        ]
        return torch.cat(found)[:, place].float()

    def _wanted(self) -> set[tuple[str, str]]:
        """The columns that a model of this run reads, with their kinds."""
        features = self.schema.features(self.model.sensitive_features)
        return {(c.name, c.kind) for c in features if c.name != self.schema.time}


def read_champion(directory: Path, schema: Schema, model: Model) -> Champion | str:
    """What the stage `start` left; or why there is nothing to learn from, as a clause."""
    note = read_json(directory / NOTE)
    if note["why"]:
        return str(note["why"])
    image = any(column.kind == "image" for column in schema.columns if column.feature)
    predictor = Predictor.load(directory / PREDICTOR)
    # What was taken before rows were remembered says nothing of them.
    forgotten = str((note.get("memory") or {"why": "none of its rows are kept"})["why"])
    return Champion(str(note["version"]), predictor, schema, resolve_learners(model.learners, image), model, forgotten)


def preprocessor_of(recipe: Recipe, fitted: Preprocessor, champion: Champion | None) -> Preprocessor:
    """How rows are encoded for the recipe's models: as for the champion if they start from it."""
    return fitted if recipe.start is None or champion is None else champion.encoding()


def encoded(preprocessor: Preprocessor, rows: pd.DataFrame, champion: Champion | None) -> Split:
    """Rows as tensors, with what the champion says of them, if it is asked."""
    split = preprocessor.encode(rows)
    return split if champion is None else replace(split, champion=champion.said(rows))


def unfit(predictor: Predictor, schema: Schema) -> str:
    """Why nothing can be learned from this model for these data, as a clause; empty where something can."""
    theirs, ours = predictor.schema.target, schema.target
    if (theirs.column, theirs.kind) != (ours.column, ours.kind):
        return f"it predicts '{theirs.column}' ({theirs.kind}), and the target is '{ours.column}' ({ours.kind})"
    if set(theirs.classes) != set(ours.classes):
        return f"its classes are {', '.join(theirs.classes)}, and those of the data are {', '.join(ours.classes)}"
    here = {column.name for column in schema.columns}
    if missing := [name for name in predictor.preprocessor.columns if name not in here]:
        return f"it reads columns that the data do not have: {', '.join(missing[:5])}"
    return ""


def _read(preprocessor: Preprocessor) -> set[tuple[str, str]]:
    """The columns that it encodes, with their kinds."""
    found = {(c.name, c.kind) for c in preprocessor.numeric} | {
        (c.name, "categorical") for c in preprocessor.categorical
    }
    return found | ({(preprocessor.image.column, "image")} if preprocessor.image else set())
