"""A registered version that answers requests: its predictor, warmed up, behind a lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.predictor import Predictor
from models.schema import Task
from models.values import as_text
from tasks.conform import Notes, conform, needed_columns
from tasks.registry import Registry, parse_reference


@dataclass(frozen=True)
class Answer:
    """What a version says of some rows, as `Predictor.predict` returns it, and what it found odd."""

    decisions: NDArray[Any]
    probabilities: NDArray[np.float64]
    notes: Notes


class Scorer:
    """One version; `label` is NAME@vN."""

    def __init__(self, registry: Registry, reference: str) -> None:
        name, which = parse_reference(reference)
        loaded = registry.load(name, which)
        self.name, self.version = name, loaded.version
        self.predictor = Predictor.load(loaded.directory / "predictor")
        self._lock = threading.Lock()
        self._warm_up()

    @property
    def label(self) -> str:
        """NAME@vN."""
        return f"{self.name}@{self.version}"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the probabilities."""
        return self.predictor.schema.target.classes

    @property
    def kind(self) -> Task:
        """The kind of its target."""
        return self.predictor.schema.target.kind

    def said(self, answer: Answer) -> list[dict[str, Any]]:
        """The answer row by row: `decision` (a class, or a list of labels) and `probabilities` by name, or `prediction`."""
        if self.kind == "regression":
            return [{"prediction": number} for number in answer.decisions.tolist()]
        names, decided = np.asarray(self.classes, dtype=object), answer.decisions
        picked = [names[row > 0].tolist() for row in decided] if self.kind == "multilabel" else names[decided].tolist()
        rows = [dict(zip(self.classes, row, strict=True)) for row in answer.probabilities.tolist()]
        return [{"decision": one, "probabilities": row} for one, row in zip(picked, rows, strict=True)]

    def answer(self, rows: pd.DataFrame) -> Answer:
        """Raw columns -> decisions and probabilities. Raises InputError for values of another kind."""
        schema = self.predictor.schema
        needed = needed_columns(schema, self.predictor.preprocessor.columns)
        notes = Notes("request")
        typed = conform(rows, needed, schema, notes)
        with self._lock:  # models build what they compute with at the first call
            decisions, probabilities = self.predictor.predict(typed)
        return Answer(decisions, probabilities, notes)

    def logged(self, rows: pd.DataFrame, sensitive: bool) -> pd.DataFrame:
        """The columns that go into the log: what the model reads, the identifier, and the groups where they are wanted."""
        schema = self.predictor.schema
        groups = {a.name for a in schema.sensitive}
        read = set(self.predictor.preprocessor.columns)
        wanted = [c for c in rows.columns if c in read | {schema.identifier} | groups]
        kept = [c for c in wanted if sensitive or c not in groups]
        return rows[kept]

    def _warm_up(self) -> None:
        from models.export.sample import sample

        rows = sample(self.predictor.preprocessor, 2, seed=0)
        self.predictor.predict(rows.assign(**{a.name: as_text(rows[a.name]) for a in self.predictor.schema.sensitive}))
