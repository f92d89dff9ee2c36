"""Champion and challenger on the same requests: how often they agree, how far their scores lie apart, and who is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from models.errors import InputError
from models.metrics.bootstrap import generator, percentile, row_weights
from models.metrics.figures import Terms
from models.metrics.intervals import of_share
from models.metrics.names import BY_NAME, OVERALL
from models.metrics.paired import Comparison, paired_difference
from models.metrics.score import overall
from models.metrics.scored import Floats, Scored
from tasks.judging import rounded
from tasks.serving.app import CHALLENGER, CHAMPION

KEY = "prediction_id"


def compare(entries: pd.DataFrame, classes: Sequence[str], labels: pd.Series | None, terms: Terms) -> dict[str, Any]:
    """The comparison, as JSON; `entries` as `read_log` gives them, `labels` (class names) by prediction id, where known.

    Every difference is challenger minus champion, with an interval from a paired bootstrap over the requests. Raises
    InputError for a log in which no request was scored by both.
    """
    champion, challenger = (_of_role(entries, role) for role in (CHAMPION, CHALLENGER))
    both = champion.index.intersection(challenger.index, sort=False)
    if not len(both):
        raise InputError(
            "no prediction of the log was scored by champion and challenger. Serve with --shadow and --log."
        )
    champion, challenger = champion.loc[both], challenger.loc[both]
    columns = [f"p_{name}" for name in classes]
    old, new = (one[columns].to_numpy(np.float64) for one in (champion, challenger))
    agree = (champion["decision"] == challenger["decision"]).to_numpy()
    share = of_share(float(agree.sum()), len(agree), terms.confidence)
    found = {
        "champion": str(champion["version"].iloc[-1]),
        "challenger": str(challenger["version"].iloc[-1]),
        "rows": len(both),
        "confidence": terms.confidence,
        "agreement": {"value": float(agree.mean()), "low": share.low, "high": share.high},
        "scores": {name: _shift(new[:, c] - old[:, c], name, terms) for c, name in enumerate(classes)},
        "decisions": _moves(champion["decision"], challenger["decision"]),
        "labelled": 0,
        "metrics": {},
    }
    if labels is not None:
        found |= _judged(champion, challenger, classes, labels, terms)
    return _plain(found)


def _of_role(entries: pd.DataFrame, role: str) -> pd.DataFrame:
    if entries.empty:
        return pd.DataFrame({KEY: []}).set_index(KEY)
    return entries[entries["role"] == role].drop_duplicates(KEY).set_index(KEY)


def _shift(difference: Floats, name: str, terms: Terms) -> dict[str, float | None]:
    """The mean difference of a class's probability and its interval, and the mean absolute one."""
    rng = generator(terms.seed, "shadow", name)
    drawn = np.concatenate([w @ difference / w.sum(1) for w in row_weights(len(difference), terms.draws, rng)])
    value = float(difference.mean())
    found = percentile(drawn, value, terms.confidence, len(difference))
    return {"value": value, "low": found.low, "high": found.high, "absolute": float(np.abs(difference).mean())}


def _moves(old: pd.Series, new: pd.Series) -> list[dict[str, Any]]:
    """How many decisions went from which class to which, where they differ."""
    counts = Counter((a, b) for a, b in zip(old, new, strict=True) if a != b)
    return [{"champion": a, "challenger": b, "rows": rows} for (a, b), rows in counts.most_common()]


def _judged(
    champion: pd.DataFrame, challenger: pd.DataFrame, classes: Sequence[str], labels: pd.Series, terms: Terms
) -> dict[str, Any]:
    """Every metric of both on the rows whose label is known, and their difference."""
    known = champion.index[champion.index.isin(labels.index)]
    truth = pd.Index(classes).get_indexer(pd.Index(labels.loc[known].astype(str)))
    if (truth < 0).any():
        raise InputError(f"labels: '{labels.loc[known].iloc[int((truth < 0).argmax())]}' is no class of the model.")
    if not len(known):
        return {}
    scored = [_scored(one.loc[known], classes, truth) for one in (champion, challenger)]
    metrics = {}
    for name in OVERALL:
        values = _values(scored, name, terms)
        metrics[name] = values | {"better": BY_NAME[name].better}
    return {"labelled": len(known), "metrics": metrics}


def _scored(entries: pd.DataFrame, classes: Sequence[str], truth: Any) -> Scored:
    decisions = pd.Index(classes).get_indexer(pd.Index(entries["decision"]))
    return Scored.of(truth, decisions, entries[[f"p_{name}" for name in classes]].to_numpy(np.float64))


def _values(scored: Sequence[Scored], name: str, terms: Terms) -> dict[str, float | None]:
    old, new = (overall(one, bins=terms.bins)[name] for one in scored)
    if old is None or new is None:
        return {"champion": old, "challenger": new, "value": None, "low": None, "high": None}
    rng = generator(terms.seed, "shadow", name)
    what = Comparison(name, bins=terms.bins)
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
