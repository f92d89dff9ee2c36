"""Random under-sampling: drop rows of the larger classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from models.balancing.component import EVERY_TASK, Claim, Resampler, Source, Task
from models.balancing.resample.provenance import with_provenance
from models.balancing.resample.random_over import SOURCE
from models.balancing.resample.strategy import Strategy, class_ids, class_totals

if TYPE_CHECKING:
    import pandas as pd

    from models.schema import Schema


def random_under(rows: pd.DataFrame, schema: Schema, strategy: Strategy, seed: int) -> pd.DataFrame:
    """A part of the rows, in their order: those drawn without replacement from each class that shall shrink."""
    from imblearn.under_sampling import RandomUnderSampler

    labels = class_ids(rows, schema)
    totals = class_totals(strategy, labels, schema.target.strata, "under", RandomUnder.name)
    sampler = RandomUnderSampler(sampling_strategy=totals, random_state=seed)
    sampler.fit_resample(np.arange(len(rows))[:, None], labels)
    return with_provenance(rows.iloc[np.sort(sampler.sample_indices_)])


@dataclass(frozen=True)
class RandomUnder(Resampler):
    """Drops rows; those that stay keep weight and groups."""

    name: ClassVar[str] = "random_under"
    formula: ClassVar[str] = "n_c' = min n: keep draws without replacement from the rows of class c"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = SOURCE
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Why does Throwing Away Data Improve Worst-Group Error?",
            "K. Chaudhuri, K. Ahuja, M. Arjovsky, D. Lopez-Paz",
            2022,
            "arXiv:2205.11672",
        ),
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of the rare class by dropping rows of the frequent one", "rare_positive", "balanced_accuracy"
    )

    def resample(
        self, rows: pd.DataFrame, schema: Schema, strategy: Strategy, neighbours: int, seed: int
    ) -> pd.DataFrame:
        """Training rows -> a part of them; `neighbours` is not used."""
        return random_under(rows, schema, strategy, seed)
