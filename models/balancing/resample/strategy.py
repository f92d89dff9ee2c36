"""`sampling_strategy` as imbalanced-learn understands it, by class name, with errors that name the class and its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd

from models.errors import InputError, nearest
from models.schema import Schema

Strategy = float | str | Mapping[str, int]
Direction = Literal["over", "under"]
NAMES: dict[Direction, tuple[str, ...]] = {
    "over": ("auto", "all", "minority", "not minority", "not majority"),
    "under": ("auto", "all", "majority", "not minority", "not majority"),
}
WHERE = "resample.sampling_strategy"


def class_ids(rows: pd.DataFrame, schema: Schema) -> np.ndarray:
    """Class id of each row [n] int64; a value that is no class is an InputError."""
    target = schema.target
    names = rows[target.balanced_by].astype("object").map(str)
    ids = pd.Index(target.strata, dtype="object").get_indexer(pd.Index(names))
    if (ids < 0).any():
        unknown = str(names.iloc[int(np.argmax(ids < 0))])
        raise InputError(
            f"column '{target.balanced_by}': '{unknown}' is not a class. {nearest(unknown, target.strata)}"
        )
    return np.asarray(ids, dtype=np.int64)


def class_totals(
    strategy: Strategy, labels: np.ndarray, classes: Sequence[str], direction: Direction, method: str
) -> dict[int, int]:
    """Rows that each resampled class shall have, by class id; classes that are left alone are absent.

    `labels` [n] are class ids. A name and a ratio mean what they mean in imbalanced-learn: over-sampling brings the
    named classes up to the largest, under-sampling down to the smallest; a ratio is smaller / larger class of a binary
    target. Raises InputError for what cannot be reached.
    """
    from imblearn.utils import check_sampling_strategy

    counts = {int(c): int(n) for c, n in zip(*np.unique(labels, return_counts=True), strict=True)}
    if len(counts) < 2:
        raise InputError(f"'{method}' balances classes, but all training rows are '{classes[next(iter(counts))]}'.")
    _check_value(strategy, counts, classes, direction, method)
    given = (
        {list(classes).index(name): n for name, n in strategy.items()} if isinstance(strategy, Mapping) else strategy
    )
    found = check_sampling_strategy(given, labels, f"{direction}-sampling")
    return {int(c): int(n) + (counts[int(c)] if direction == "over" else 0) for c, n in found.items()}


def _check_value(
    strategy: Strategy, counts: Mapping[int, int], classes: Sequence[str], direction: Direction, method: str
) -> None:
    if isinstance(strategy, str):
        if strategy not in NAMES[direction]:
            raise InputError(f"{WHERE}: '{strategy}' does not fit '{method}'. {nearest(strategy, NAMES[direction])}")
    elif isinstance(strategy, Mapping):
        for name, wanted in strategy.items():
            _check_class(name, wanted, counts, classes, direction, method)
    else:
        _check_ratio(float(strategy), counts, classes, direction, method)


def _check_class(
    name: str, wanted: int, counts: Mapping[int, int], classes: Sequence[str], direction: Direction, method: str
) -> None:
    if name not in classes:
        raise InputError(f"{WHERE}: no class '{name}'. {nearest(name, classes)}")
    rows = counts.get(list(classes).index(name), 0)
    if rows == 0:
        raise InputError(f"{WHERE}: class '{name}' has no training rows to resample. Leave it out.")
    if wanted < 0:
        raise InputError(f"{WHERE}: {wanted} rows of class '{name}' are asked for. Give a count of at least 0.")
    if direction == "over" and wanted < rows:
        raise InputError(
            f"{WHERE}: '{method}' only adds rows; class '{name}' has {rows:,} training rows and {wanted:,} are asked for. "
            f"Ask for at least {rows:,}, or use random_under."
        )
    if direction == "under" and wanted > rows:
        raise InputError(
            f"{WHERE}: '{method}' only drops rows; class '{name}' has {rows:,} training rows and {wanted:,} are asked for. "
            f"Ask for at most {rows:,}, or use random_over or smote."
        )


def _check_ratio(
    ratio: float, counts: Mapping[int, int], classes: Sequence[str], direction: Direction, method: str
) -> None:
    if not 0 < ratio <= 1:
        raise InputError(f"{WHERE}: {ratio:g} is not a ratio. Give smaller / larger class, in (0, 1].")
    if len(classes) > 2:
        raise InputError(
            f"{WHERE}: a ratio ({ratio:g}) is for two classes, but the target has {len(classes)}. Give rows per class, as in "
            f"{{{classes[min(counts)]}: {max(counts.values())}}}, or a name such as auto."
        )
    small, large = sorted(counts, key=lambda c: (counts[c], c))
    short = (
        int(counts[large] * ratio) <= counts[small]
        if direction == "over"
        else int(counts[small] / ratio) > counts[large]
    )
    if short:
        raise InputError(
            f"{WHERE}: '{method}' cannot bring the classes to a ratio of {ratio:g}: '{classes[small]}' ({counts[small]:,} rows) "
            f"already has {counts[small] / counts[large]:.3g} times the rows of '{classes[large]}' ({counts[large]:,}). "
            "Give a larger ratio, at most 1, or leave the resampler out."
        )
