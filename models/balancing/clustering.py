"""Spherical k-means, for methods that split rows into clusters of their features."""

import torch
from torch import Tensor

from models.data import one_hot

ROUNDS = 10
"""Rounds of assigning rows and moving centres; the clusters need not have settled to be of use."""


def cluster(features: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Features [n, H] -> the cluster of each row [n] in 0 … count - 1, by the cosine to its centre.

    Centres begin at rows drawn with `generator`; one that loses all its rows stays where it is.
    """
    unit = torch.nn.functional.normalize(features, dim=-1)
    if count <= 1:
        return torch.zeros(len(features), dtype=torch.long, device=features.device)
    centres = unit[torch.randperm(len(features), generator=generator)[:count].to(features.device)]
    chosen = (unit @ centres.T).argmax(-1)
    for _ in range(ROUNDS):
        member = one_hot(chosen, len(centres))
        sums, rows = member.T @ unit, member.sum(0)
        centres = torch.where((rows > 0)[:, None], torch.nn.functional.normalize(sums, dim=-1), centres)
        moved = (unit @ centres.T).argmax(-1)
        if torch.equal(moved, chosen):
            break
        chosen = moved
    return chosen
