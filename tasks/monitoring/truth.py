"""What rows turned out to be, as arrays, and what a model said of them beside it; for every kind of target."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import InputError, nearest
from models.metrics.labels import Labels
from models.metrics.numbers import Numbers
from models.metrics.reach import Rows
from models.metrics.scored import Scored
from models.schema import LABEL_SEPARATOR, Target
from models.targets import bin_ids, indicators
from models.values import as_text
from tasks.sources.labels import carried

Truth = NDArray[Any]
"""Class ids [n], -1 where not known; numbers [n], NaN where not known; or labels [n, L] as 0 and 1, -1 where not known."""


def known(truth: Truth) -> NDArray[np.bool_]:
    """Which rows are known [n]."""
    if truth.dtype.kind == "f":
        return ~np.isnan(truth)
    return (truth[:, 0] if truth.ndim == 2 else truth) >= 0


def in_rows(raw: pd.DataFrame, target: Target) -> pd.Series | None:
    """The column of the target in raw columns, as text; None where there is none. Of labels a column each will do."""
    if target.column in raw:
        return as_text(raw[target.column]) if target.kind != "multilabel" else as_text(raw[target.column]).fillna("")
    if target.kind != "multilabel" or not set(target.classes) <= set(raw.columns):
        return None
    each = raw[list(target.classes)]
    told = each.notna().all(axis=1)
    has = np.stack([carried(each.loc[told, name]) for name in target.classes], 1)
    names = np.asarray(target.classes, dtype=object)
    texts = [LABEL_SEPARATOR.join(names[row]) for row in has]
    return pd.Series(texts, index=each.index[told], dtype="str").reindex(each.index)


def truth_of(found: pd.Series, target: Target, name: str) -> Truth | None:
    """What the texts mean, None where nothing is known; a text that is no value of the target is an InputError."""
    there = found.notna().to_numpy()
    if target.kind == "multilabel":
        made: Truth = np.full((len(found), len(target.classes)), -1, dtype=np.int64)
        made[there] = indicators(found[there], target)
    elif target.kind == "regression":
        made = pd.to_numeric(found.astype("object"), errors="coerce").to_numpy(np.float64, na_value=np.nan)
        _refuse(
            found,
            ~np.isfinite(made) & there,
            name,
            f"is no number, and '{target.column}' is one. Correct the label, or leave it empty.",
        )
    else:
        made = pd.Index(target.classes).get_indexer(pd.Index(found)).astype(np.int64)
        wrong = (made < 0) & there
        near = nearest(found.iloc[int(wrong.argmax())], target.classes) if wrong.any() else ""
        _refuse(found, wrong, name, f"is no class of '{target.column}'. {near}")
    return made if known(made).any() else None


def _refuse(found: pd.Series, wrong: NDArray[np.bool_], name: str, why: str) -> None:
    if wrong.any():
        raise InputError(f"{name}: '{found.iloc[int(wrong.argmax())]}' {why}")


def beside(truth: Truth, decisions: NDArray[Any], probabilities: NDArray[Any], target: Target) -> Rows:
    """Known rows as scored rows, with what `Predictor.predict` said of them."""
    if target.kind == "regression":
        return Numbers.of(truth, decisions, bin_ids(truth, target), len(target.strata))
    if target.kind == "multilabel":
        return Labels.of(truth, decisions, probabilities)
    return Scored.of(truth, decisions, probabilities, target.kind == "ordinal")
