"""Which rows stay: the catalogue's corrections and filters, the long tail, and a cap on their number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import InputError
from models.schema import Target
from models.seeds import derive_seed
from models.values import as_text
from tasks.sources.catalog import Entry, Filter
from tasks.sources.columns import numbers_in
from tasks.sources.read_images import rank_in_class, tail_counts
from tasks.sources.read_tables import Raw

ROWS_PER_STRATUM = 4
"""A cap leaves every class this many rows, one for each part of the split, if it has them."""


def filter_rows(raw: Raw, entry: Entry | None, imbalance_ratio: float | None) -> tuple[Raw, list[dict[str, Any]]]:
    """Derive the catalogue's columns, apply its filters, cut the tail. Also says how many rows went and why."""
    frame = raw.frame.copy(deep=False)
    left_out: list[dict[str, Any]] = []
    for derived in entry.derive if entry else ():
        frame[derived.column] = as_text(frame[derived.source]).map(derived.values).astype("str")
    for rule in entry.filters if entry else ():
        kept = _kept(frame[rule.column], rule)
        if not kept.all():
            left_out.append({"rows": int((~kept).sum()), "why": f"{rule.column}: {rule.why}"})
        frame = frame[kept]
    raw = replace(raw, frame=frame, parts=None if raw.parts is None else raw.parts[frame.index])
    raw, cut = _cut_tail(raw, entry, imbalance_ratio)
    return raw, left_out + cut


def _kept(column: pd.Series, rule: Filter) -> pd.Series:
    if rule.between is not None:
        return numbers_in(column).between(*rule.between)
    return ~as_text(column).isin(rule.exclude or ())


def _cut_tail(raw: Raw, entry: Entry | None, ratio: float | None) -> tuple[Raw, list[dict[str, Any]]]:
    tail = entry.long_tail if entry else None
    if tail is None or entry is None:
        if ratio is not None:
            raise InputError(
                "data.imbalance_ratio: only for data sets with a long tail (mnist-lt, cifar10-lt, digits). Set it to null."
            )
        return raw, []
    ratio = ratio if ratio is not None else tail.default
    if ratio is None:
        return raw, []
    if ratio < tail.at_least:
        raise InputError(
            f"data.imbalance_ratio: {ratio:g} is too small; the training rows already have {tail.at_least:g}. Use that or more."
        )
    classes = entry.target.order or ()
    labels = pd.Index(classes).get_indexer(pd.Index(as_text(raw.frame[entry.target.column])))
    training = np.ones(len(labels), dtype=bool) if raw.parts is None else (raw.parts == "train").to_numpy()
    ranks: NDArray[np.int64] = np.zeros(len(labels), dtype=np.int64)
    ranks[training] = rank_in_class(labels[training])
    kept = ~training | (ranks < tail_counts(tail.largest, ratio, len(classes))[labels])
    left_out = (
        [{"rows": int((~kept).sum()), "why": f"the long tail of imbalance ratio {ratio:g}"}] if not kept.all() else []
    )
    return replace(raw, frame=raw.frame[kept], parts=None if raw.parts is None else raw.parts[kept]), left_out


def within(raw: Raw, time: str | None, since: str | None, until: str | None) -> tuple[Raw, list[dict[str, Any]]]:
    """Rows from the day `since` on and before the day `until`; rows without a date are left out as well."""
    if since is None and until is None:
        return raw, []
    if time is None:
        raise InputError("data.since and data.until need a column that says when a row is from; name it in data.time.")
    column = raw.frame[time]
    try:
        dates = pd.to_datetime(column.astype("object"), format="ISO8601", utc=True).dt.tz_localize(None)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"data.time: '{time}' holds no dates ({error}), so data.since and data.until say nothing."
        ) from None
    kept = dates.notna()
    if since is not None:
        kept &= dates >= pd.Timestamp(since)
    if until is not None:
        kept &= dates < pd.Timestamp(until)
    if not kept.any():
        raise InputError(
            f"data.since and data.until: no row is from {since or 'the beginning'} to {until or 'the end'}."
        )
    why = f"outside of {since or '…'} to {until or '…'} by '{time}'"
    left_out = [{"rows": int((~kept).sum()), "why": why}] if not kept.all() else []
    parts = None if raw.parts is None else raw.parts[kept]
    return replace(raw, frame=raw.frame[kept], parts=parts), left_out


def choose_rows(
    rows: pd.DataFrame, target: Target, at_most: int | None, seed: int
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Rows with a target, at most `at_most` of them, drawn by class (and published part) in proportion, in their order."""
    left_out: list[dict[str, Any]] = []
    unlabelled = rows[target.column].isna()
    if unlabelled.any():
        left_out.append({"rows": int(unlabelled.sum()), "why": f"no value in the target '{target.column}'"})
        rows = rows[~unlabelled]
    if at_most is None or len(rows) <= at_most:
        return rows, left_out
    keys = [rows[target.balanced_by]] + ([rows["official_split"]] if "official_split" in rows else [])
    strata = rows.groupby(keys).ngroup().to_numpy()
    wanted = _proportional(np.bincount(strata), at_most)
    shuffled = np.random.default_rng(derive_seed(seed, "ingest", "rows")).permutation(len(rows))
    ranks = np.empty(len(rows), dtype=np.int64)
    ranks[shuffled] = rank_in_class(strata[shuffled])
    kept = ranks < wanted[strata]
    left_out.append({"rows": int((~kept).sum()), "why": f"data.rows keeps at most {at_most:,}, drawn by class"})
    return rows[kept], left_out


def _proportional(counts: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Whole shares of `total` in proportion to `counts` by largest remainder, rare strata kept alive."""
    floor = np.minimum(counts, ROWS_PER_STRATUM)
    if floor.sum() > total:
        floor = np.zeros_like(counts)
    spare = counts - floor
    exact = (total - floor.sum()) * spare / max(int(spare.sum()), 1)
    shares = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - shares), kind="stable")
    shares[order[: total - int(floor.sum()) - int(shares.sum())]] += 1
    return floor + shares
