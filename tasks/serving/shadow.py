"""Champion and challenger on the same requests: how often they agree, how far their scores lie apart, and who is right.

For every kind of target.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import InputError
from models.metrics.bootstrap import generator, percentile, row_weights
from models.metrics.figures import Terms
from models.metrics.intervals import of_share
from models.metrics.names import BY_NAME, overall_for
from models.metrics.paired import Comparison, paired_difference
from models.metrics.reach import Rows
from models.metrics.score import overall
from models.metrics.scored import Floats
from models.schema import LABEL_SEPARATOR, Target
from models.targets import bin_ids, indicators
from tasks.judging import rounded
from tasks.monitoring.truth import Truth, beside, known, truth_of
from tasks.serving.app import CHALLENGER, CHAMPION

KEY = "prediction_id"


def compare(entries: pd.DataFrame, target: Target, labels: pd.Series | None, terms: Terms) -> dict[str, Any]:
    """The comparison, as JSON; `entries` as `read_log` gives them, `labels` (the target as text) by prediction id, where known.

    Every difference is challenger minus champion, with an interval from a paired bootstrap over the requests. Models of a
    number agree where both predictions fall into one bin of the number; of several labels, where they decide for the same.
    Raises InputError for a log in which no request was scored by both.
    """
    champion, challenger = (_of_role(entries, role) for role in (CHAMPION, CHALLENGER))
    both = champion.index.intersection(challenger.index, sort=False)
    if not len(both):
        raise InputError(
            "no prediction of the log was scored by champion and challenger. Serve with --shadow and --log."
        )
    champion, challenger = champion.loc[both], challenger.loc[both]
    columns = _columns(target)
    old, new = (_scores(one, columns) for one in (champion, challenger))
    before, after = (_decided(one, target) for one in (champion, challenger))
    agree = (before == after).reshape(len(both), -1).all(1)
    share = of_share(float(agree.sum()), len(agree), terms.confidence)
    found = {
        "champion": str(champion["version"].iloc[-1]),
        "challenger": str(challenger["version"].iloc[-1]),
        "rows": len(both),
        "confidence": terms.confidence,
        "agreement": {"value": float(agree.mean()), "low": share.low, "high": share.high},
        "scores": {name: _shift(new[:, c] - old[:, c], name, terms) for c, name in enumerate(columns)},
        "decisions": _moves(before, after, target),
        "labelled": 0,
        "metrics": {},
    }
    if labels is not None:
        found |= _judged(champion, challenger, target, labels, terms)
    return _plain(found)


def _columns(target: Target) -> dict[str, str]:
    """What a score is called, and the column of the log that holds it: a probability per class or label, or the number."""
    return {"prediction": "prediction"} if target.kind == "regression" else {n: f"p_{n}" for n in target.classes}


def _scores(entries: pd.DataFrame, columns: Mapping[str, str]) -> Floats:
    return entries[list(columns.values())].to_numpy(np.float64)


def _decided(entries: pd.DataFrame, target: Target) -> NDArray[Any]:
    """Class ids [n], the labels decided for [n, L], or the bin of the number [n]."""
    if target.kind == "regression":
        return bin_ids(entries["prediction"].to_numpy(np.float64), target)
    if target.kind == "multilabel":
        return indicators(entries["decision"], target)
    return pd.Index(target.classes).get_indexer(pd.Index(entries["decision"]))


def _of_role(entries: pd.DataFrame, role: str) -> pd.DataFrame:
    if entries.empty:
        return pd.DataFrame({KEY: []}).set_index(KEY)
    return entries[entries["role"] == role].drop_duplicates(KEY).set_index(KEY)


def _shift(difference: Floats, name: str, terms: Terms) -> dict[str, float | None]:
    """The mean difference of a score and its interval, and the mean absolute one."""
    rng = generator(terms.seed, "shadow", name)
    drawn = np.concatenate([w @ difference / w.sum(1) for w in row_weights(len(difference), terms.draws, rng)])
    value = float(difference.mean())
    found = percentile(drawn, value, terms.confidence, len(difference))
    return {"value": value, "low": found.low, "high": found.high, "absolute": float(np.abs(difference).mean())}


def _moves(old: NDArray[Any], new: NDArray[Any], target: Target) -> list[dict[str, Any]]:
    """How many decisions went from which class, set of labels or bin to which, where they differ."""
    names = np.asarray(target.classes if target.kind != "regression" else target.strata, dtype=object)

    def named(one: Any) -> str:
        return LABEL_SEPARATOR.join(names[one]) if np.ndim(one) else str(names[one])

    counts = Counter((named(a), named(b)) for a, b in zip(old, new, strict=True) if np.any(a != b))
    return [{"champion": a, "challenger": b, "rows": rows} for (a, b), rows in counts.most_common()]


def _judged(
    champion: pd.DataFrame, challenger: pd.DataFrame, target: Target, labels: pd.Series, terms: Terms
) -> dict[str, Any]:
    """Every metric of both on the rows whose truth is known, and their difference."""
    told = champion.index[champion.index.isin(labels.index)]
    truth = truth_of(labels.loc[told], target, "labels") if len(told) else None
    if truth is None:
        return {}
    there = known(truth)
    scored = [_beside(one.loc[told][there], truth[there], target) for one in (champion, challenger)]
    metrics = {}
    for name in overall_for(target.kind):
        values = _values(scored, name, terms)
        metrics[name] = values | {"better": BY_NAME[name].better}
    return {"labelled": int(there.sum()), "metrics": metrics}


def _beside(entries: pd.DataFrame, truth: Truth, target: Target) -> Rows:
    """Known rows as scored rows, with what a version said of them."""
    scores = _scores(entries, _columns(target))
    decided = scores[:, 0] if target.kind == "regression" else _decided(entries, target)
    return beside(truth, decided, scores, target)


def _values(scored: Sequence[Rows], name: str, terms: Terms) -> dict[str, float | None]:
    old, new = (overall(one, bins=terms.bins, beta=terms.beta)[name] for one in scored)
    if old is None or new is None:
        return {"champion": old, "challenger": new, "value": None, "low": None, "high": None}
    rng = generator(terms.seed, "shadow", name)
    what = Comparison(name, bins=terms.bins, beta=terms.beta)
    value, interval = paired_difference(what, scored[1], scored[0], terms.draws, terms.confidence, rng)
    return {"champion": old, "challenger": new, "value": value, "low": interval.low, "high": interval.high}


def _plain(value: Any) -> Any:
    """JSON: six digits, None for what is not defined."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return rounded(value) if np.isfinite(value) else None
    return value
