"""The contract of the methods that say which weights a net begins with, in the place of weights that are drawn anew."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch

from models.balancing.base import EVERY_TASK, Component, Need, Slot, State
from models.schema import Task


@dataclass(frozen=True)
class Start(Component):
    """Makes a net's first weights from those of the champion, a net of the same architecture."""

    slot: ClassVar[Slot] = "start"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"net", "champion"})

    @abstractmethod
    def begin(self, champion: State, generator: torch.Generator) -> State:
        """The champion's parameters by name -> the parameters to begin with, of the same shapes."""
