"""Rehearsal: rows that the champion learned, and that today's data do not hold any more, are learned again beside today's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from models.balancing.component import EVERY_TASK, Claim, Need, Resampler, Source, Task
from models.balancing.resample.provenance import with_provenance
from models.balancing.resample.strategy import Strategy, class_ids

if TYPE_CHECKING:
    import pandas as pd

    from models.schema import Schema


@dataclass(frozen=True)
class Rehearsal(Resampler):
    """In the memory of `retrain.memory` rows each class is as frequent as in all that the champion learned.

    The rows of the memory say so. They are training rows alone: nothing is chosen, adjusted or judged by them. It may stand
    beside a start from the champion's weights, or alone.
    """

    name: ClassVar[str] = "rehearsal"
    formula: ClassVar[str] = (
        "train on today's rows and a memory M of older ones, |M_c| = |M| n_c / n of what the champion learned"
    )
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"champion"})
    rehearses: ClassVar[bool] = True
    source: ClassVar[Source] = Source(
        "Strike a Balance in Continual Panoptic Segmentation",
        "J. Chen, R. Cong, Y. Luo, H. H. S. Ip, S. Kwong",
        2024,
        "arXiv:2407.16354",
    )
    claim: ClassVar[Claim] = Claim(
        "keeps what the champion knew of rows that today's data do not hold any more",
        "one_side",
        "accuracy",
        beside={"start": "warm_start"},
    )

    def resample(
        self, rows: pd.DataFrame, schema: Schema, strategy: Strategy, neighbours: int, seed: int
    ) -> pd.DataFrame:
        """All rows as they are: it is handed those of the memory after those of today."""
        class_ids(rows, schema)
        return with_provenance(rows)
