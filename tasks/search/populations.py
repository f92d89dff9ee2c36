"""Which trainings are one program: populations of one recipe and learner, sized by what the search is, not by who runs it.

The sizes follow from the parameters and the data alone, so that the same search is cut in the same way on every machine:
how many trials run at once, and how much memory happens to be free, change nothing of what is trained with what.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.search.space import Pair


@dataclass(frozen=True)
class Sizes:
    """How many trainings a population holds.

    `largest` is the number by family that its memory allows, 1 where it cannot be batched. A stage is cut into `parts`
    populations or more, so that there is work for several processes, unless they would be smaller than `smallest`.
    """

    largest: Mapping[str, int] = field(default_factory=dict)
    smallest: int = 4
    parts: int = 4


def populations(trainings: Sequence[tuple[Pair, Mapping[str, Any], int]], sizes: Sizes) -> list[list[int]]:
    """The first pair, the values and the budget of the trainings of a stage -> the positions of those that are one program.

    In the order of their first positions; a population's positions rise, and those of one kind differ by one in size at
    most.
    """
    kinds: dict[str, list[int]] = {}
    for position, (pair, values, budget) in enumerate(trainings):
        shared = json.dumps([pair.name, budget, pair.recipe.shared_values(values)], sort_keys=True)
        kinds.setdefault(shared, []).append(position)
    batched = sum(len(own) for own in kinds.values() if sizes.largest.get(trainings[own[0]][0].name, 1) > 1)
    wanted = max(sizes.smallest, -(-batched // sizes.parts))
    found = []
    for own in kinds.values():
        size = min(sizes.largest.get(trainings[own[0]][0].name, 1), wanted)
        count = -(-len(own) // size)
        edges = [round(i * len(own) / count) for i in range(count + 1)]
        found += [own[a:b] for a, b in itertools.pairwise(edges)]
    return sorted(found)
