"""High resource first: train on the groups that have many rows, then fine-tune on a mixture of all."""

from dataclasses import dataclass
from typing import ClassVar

from models.balancing.component import EVERY_TASK, Need, Phase, Schedule, Source, Task, hyper
from models.balancing.sample.group_temperature import GroupTemperature
from models.balancing.sample.high_resource import SOURCE, HighResource


@dataclass(frozen=True)
class HighResourceFirst(Schedule):
    """Small groups come in late, so that their few rows are repeated for a short time only; the learning rate rises anew with them."""

    start: float = hyper(0.7, minimum=0.05, maximum=0.95)
    temperature: float = hyper(3.0, minimum=1.0, maximum=1e6)

    name: ClassVar[str] = "high_resource_first"
    formula: ClassVar[str] = "until start: p(row) ~ [n_g >= n / G]; then a training with p(group g) ~ n_g^(1/T)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    source: ClassVar[Source] = SOURCE

    def phases(self) -> tuple[Phase, ...]:
        """Two trainings; the second goes on from the first."""
        mixture = GroupTemperature(temperature=self.temperature)
        return (
            Phase(self.start, switch={"sample": HighResource()}),
            Phase(1 - self.start, switch={"sample": mixture}, restart=True),
        )
