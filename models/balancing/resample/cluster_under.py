"""Cluster-based under-sampling: of the larger classes keep the rows in the middle of their clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from models.balancing.component import EVERY_TASK, Claim, Need, Resampler, Source, Task
from models.balancing.resample.feature_space import FeatureSpace
from models.balancing.resample.provenance import with_provenance
from models.balancing.resample.strategy import Strategy, class_ids, class_totals
from models.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from models.schema import Schema

MOST_CLUSTERS = 128
"""Of one class. With fewer rows to keep each is its cluster's only one; more clusters cost time and tell little."""


def middle_rows(points: np.ndarray, keep: int, seed: int) -> np.ndarray:
    """Positions, in order, of `keep` of the points [n, F]: those nearest to the centres of min(keep, 128) clusters.

    Clusters keep rows in proportion to their size (largest remainders), but one each at least.
    """
    from sklearn.cluster import KMeans

    if keep == 0:
        return np.empty(0, dtype=np.int64)
    distinct = len(np.unique(points, axis=0))
    found = KMeans(min(keep, MOST_CLUSTERS, distinct), n_init=1, random_state=seed).fit(points)
    sizes = np.bincount(found.labels_)
    distance = ((points - found.cluster_centers_[found.labels_]) ** 2).sum(1)
    order = np.lexsort((distance, found.labels_))
    starts = np.cumsum(sizes) - sizes
    chosen = [order[a : a + n] for a, n in zip(starts, kept_rows(sizes, keep), strict=True)]
    return np.sort(np.concatenate(chosen))


def kept_rows(sizes: np.ndarray, keep: int) -> np.ndarray:
    """Rows that clusters of these sizes [k] keep, `keep` in all: one each, the rest in proportion to what is left of them."""
    left = sizes - 1
    wanted = left * ((keep - len(sizes)) / max(int(left.sum()), 1))
    counts = np.floor(wanted).astype(np.int64)
    order = np.argsort(-(wanted - counts), kind="stable")
    counts[order[: keep - len(sizes) - int(counts.sum())]] += 1
    return np.asarray(counts + 1)


def cluster_under(rows: pd.DataFrame, schema: Schema, strategy: Strategy, seed: int) -> pd.DataFrame:
    """A part of the rows, in their order: of each class that shall shrink those in the middle of its clusters.

    Raises InputError for images and for tables without a feature.
    """
    if any(c.kind == "image" for c in schema.columns):
        raise InputError("'cluster_under' clusters columns of a table, but the data are images. Choose random_under.")
    space = FeatureSpace.of(rows, schema)
    if not space.numeric and not space.categorical:
        raise InputError("'cluster_under' clusters features, and the table has none. Choose random_under.")
    labels, points = class_ids(rows, schema), space.points()
    kept = np.ones(len(rows), dtype=bool)
    for label, total in class_totals(strategy, labels, schema.target.strata, "under", ClusterUnder.name).items():
        own = np.flatnonzero(labels == label)
        kept[own] = False
        kept[own[middle_rows(points[own], total, seed)]] = True
    return with_provenance(rows[kept])


@dataclass(frozen=True)
class ClusterUnder(Resampler):
    """Drops rows as random under-sampling does, but those that others of their class stand for."""

    name: ClassVar[str] = "cluster_under"
    formula: ClassVar[str] = (
        "n_c' = min n: k-means of class c with k = min(n_c', 128); of each cluster the rows nearest to its centre"
    )
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"table"})
    source: ClassVar[Source] = Source(
        "Advanced Machine Learning Techniques for Social Support Detection on Social Media",
        "O. Kolesnikova, M. Shahiki Tash, Z. Ahani, A. Agrawal, R. Monroy, G. Sidorov",
        2025,
        "arXiv:2501.03370",
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of the rare class by keeping what the clusters of the frequent one are about",
        "rare_positive",
        "balanced_accuracy",
    )

    def resample(
        self, rows: pd.DataFrame, schema: Schema, strategy: Strategy, neighbours: int, seed: int
    ) -> pd.DataFrame:
        """Training rows -> a part of them; `neighbours` is not used."""
        return cluster_under(rows, schema, strategy, seed)
