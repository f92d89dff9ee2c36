"""Random over-sampling: repeat rows of the smaller classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from models.balancing.component import EVERY_TASK, Claim, Resampler, Source, Task
from models.balancing.resample.provenance import with_provenance
from models.balancing.resample.strategy import Strategy, class_ids, class_totals

if TYPE_CHECKING:
    import pandas as pd

    from models.schema import Schema

SOURCE = Source(
    "The class imbalance problem: A systematic study", "N. Japkowicz, S. Stephen", 2002, "doi:10.3233/IDA-2002-6504"
)


def random_over(rows: pd.DataFrame, schema: Schema, strategy: Strategy, seed: int) -> pd.DataFrame:
    """All rows in their order, then rows drawn with replacement from each class that shall grow."""
    from imblearn.over_sampling import RandomOverSampler

    labels = class_ids(rows, schema)
    totals = class_totals(strategy, labels, schema.target.strata, "over", RandomOver.name)
    sampler = RandomOverSampler(sampling_strategy=totals, random_state=seed)
    sampler.fit_resample(np.arange(len(rows))[:, None], labels)
    return with_provenance(rows.iloc[sampler.sample_indices_])


@dataclass(frozen=True)
class RandomOver(Resampler):
    """Repeats rows; weights and groups go with them."""

    name: ClassVar[str] = "random_over"
    formula: ClassVar[str] = "n_c' = max n: add draws with replacement from the rows of class c"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = SOURCE
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "A systematic study of the class imbalance problem in convolutional neural networks",
            "M. Buda, A. Maki, M. A. Mazurowski",
            2017,
            "arXiv:1710.05381",
        ),
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by repeating their rows", "long_tail", "balanced_accuracy"
    )

    def resample(
        self, rows: pd.DataFrame, schema: Schema, strategy: Strategy, neighbours: int, seed: int
    ) -> pd.DataFrame:
        """Training rows -> the same rows and repeated ones; `neighbours` is not used."""
        return random_over(rows, schema, strategy, seed)
