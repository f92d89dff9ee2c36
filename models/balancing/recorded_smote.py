"""imbalanced-learn's SMOTE and SMOTE-NC, which also tell which rows each new row was made from."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from imblearn.over_sampling import SMOTE, SMOTENC
from scipy import sparse
from sklearn.preprocessing import OneHotEncoder
from sklearn.utils import check_random_state

CELLS = 20_000_000
"""Votes that are counted at once, so that a column of many categories does not fill the memory."""


class Drawn(NamedTuple):
    """New rows of one class: positions of parent and neighbour in the data [m], the share of the way [m] in [0, 1).

    `categories` [m, K] are the voted values of the categorical columns; K is 0 for SMOTE.
    """

    parents: np.ndarray
    neighbours: np.ndarray
    shares: np.ndarray
    categories: np.ndarray


class RecordedSMOTE(SMOTE):
    """SMOTE that keeps what it drew in `drawn_`, in the order of its synthetic rows."""

    drawn_: list[Drawn]

    def _fit_resample(self, X: np.ndarray, y: np.ndarray) -> Any:
        self.drawn_ = []
        self._labels = y
        return super()._fit_resample(X, y)

    def _generate_samples(
        self,
        X: Any,
        nn_data: Any,
        nn_num: np.ndarray,
        rows: np.ndarray,
        cols: np.ndarray,
        steps: np.ndarray,
        y_type: Any = None,
        y: Any = None,
    ) -> Any:
        members = np.flatnonzero(self._labels == y_type)
        none = np.empty((len(rows), 0))
        self.drawn_.append(Drawn(members[rows], members[nn_num[rows, cols]], steps[:, 0], none))
        return super()._generate_samples(X, nn_data, nn_num, rows, cols, steps, y_type, y)


class IndexedOneHot(OneHotEncoder):
    """One-hot encoding that is undone by the columns' indices: scikit-learn's own way visits each row in Python."""

    def inverse_transform(self, X: sparse.csr_matrix) -> np.ndarray:
        """Encoded rows, one entry per category column in each -> their values [n, K]."""
        X.sort_indices()
        codes = X.indices.reshape(-1, len(self.categories_))
        starts = np.cumsum([0, *(len(known) for known in self.categories_)])
        return np.stack([known[codes[:, k] - starts[k]] for k, known in enumerate(self.categories_)], 1)


class RecordedSMOTENC(SMOTENC):
    """SMOTE-NC that keeps what it drew in `drawn_`.

    It draws the same numbers in the same order as its base, and so the same rows (a test holds it to that), but counts
    the neighbours' votes by category id: the base does so in a dense array [new rows, neighbours, all categories],
    which is gigabytes for a census table.
    """

    drawn_: list[Drawn]

    def _fit_resample(self, X: np.ndarray, y: np.ndarray) -> Any:
        self.drawn_ = []
        self._data, self._labels = X, y
        self.categorical_encoder = IndexedOneHot(handle_unknown="ignore")
        return super()._fit_resample(X, y)

    def _generate_samples(
        self,
        X: Any,
        nn_data: Any,
        nn_num: np.ndarray,
        rows: np.ndarray,
        cols: np.ndarray,
        steps: np.ndarray,
        y_type: Any,
        y: Any = None,
    ) -> Any:
        members = np.flatnonzero(self._labels == y_type)
        levels = self.categorical_encoder_.categories_
        random = check_random_state(self.random_state)
        voted = []
        for column, known in zip(self.categorical_features_, levels, strict=True):
            codes = np.searchsorted(known, self._data[members, column])
            voted.append(majority(codes[nn_num[rows]], len(known), random))
        chosen = [known[codes] for known, codes in zip(levels, voted, strict=True)]
        neighbours = nn_num[rows, cols]
        self.drawn_.append(Drawn(members[rows], members[neighbours], steps[:, 0], np.stack(chosen, 1)))
        numeric = slice(0, self.continuous_features_.size)
        parents, others = X[rows, numeric].toarray(), nn_data[neighbours, numeric].toarray()
        blocks = [sparse.csr_matrix(parents + steps * (others - parents))]
        for codes, known in zip(voted, levels, strict=True):
            ones = (np.ones(len(rows)), codes, np.arange(len(rows) + 1))
            blocks.append(sparse.csr_matrix(ones, shape=(len(rows), len(known))))
        return sparse.hstack(blocks, format="csr", dtype=X.dtype)


def majority(votes: np.ndarray, levels: int, random: np.random.RandomState) -> np.ndarray:
    """The most frequent id in each row of `votes` [m, k]; ties are broken at random, as imbalanced-learn draws them."""
    count = votes.shape[0]
    step = max(1, CELLS // levels)
    winners = []
    for start in range(0, count, step):
        part = votes[start : start + step]
        cells = np.arange(len(part))[:, None] * levels + part
        tally = np.bincount(cells.ravel(), minlength=len(part) * levels).reshape(len(part), levels)
        found = np.argwhere(tally == tally.max(axis=1, keepdims=True))
        winners.append(np.add(found, [start, 0]))
    shuffled = random.permutation(np.concatenate(winners))
    _, first = np.unique(shuffled[:, 0], return_index=True)
    return shuffled[first, 1]
