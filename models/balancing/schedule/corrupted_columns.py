"""Self-supervised pre-training on tables: first learn to tell a row from others by what is left of it, then to decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from models.balancing.component import EVERY_TASK, Claim, Need, Phase, Schedule, Source, Task, hyper
from models.balancing.pretexts.column_corruption import SCARF, ColumnCorruption

SOURCE = Source(
    "Rethinking the Value of Labels for Improving Class-Imbalanced Learning", "Y. Yang, Z. Xu", 2020, "arXiv:2006.07529"
)


@dataclass(frozen=True)
class CorruptedColumns(Schedule):
    """Pre-training needs no labels, so imbalance cannot bias it; rows without a label take part where there are any.

    What comes after is the recipe as it would be without it, from a better start.
    """

    start: float = hyper(0.3, minimum=0.05, maximum=0.9)
    rate: float = hyper(0.6, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "corrupted_columns"
    formula: ClassVar[str] = (
        "until start: min -log exp(cos(g_i, g'_i)) / mean_j exp(cos(g_i, g'_j)), g' of the row with columns of other rows; "
        "then the recipe"
    )
    cost: ClassVar[str] = (
        "A step of the pre-training takes two passes, of the rows and of what is left of them, and compares every two rows of the batch."
    )
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"net", "table"})
    reads_unlabelled: ClassVar[bool] = True
    source: ClassVar[Source] = SOURCE
    also: ClassVar[tuple[Source, ...]] = (SCARF,)
    claim: ClassVar[Claim] = Claim(
        "learns a representation that imbalance does not bias", "unlabelled", "balanced_accuracy"
    )

    def phases(self) -> tuple[Phase, ...]:
        """Two trainings; the first is judged by nothing but its end."""
        pretext = ColumnCorruption(rate=self.rate)
        return (Phase(self.start, rows="all", pretext=pretext), Phase(1 - self.start, restart=True))
