"""The rows that tests of the training of nets learn from."""

import torch

from models.data import Split


def table(rows: int, seed: int) -> Split:
    """Four numbers, a category of three, two classes of which one is rare, three groups."""
    g = torch.Generator().manual_seed(seed)
    x, c = torch.randn(rows, 4, generator=g), torch.randint(0, 3, (rows, 1), generator=g)
    groups = torch.randint(0, 3, (rows,), generator=g)
    labels = (x[:, 0] + 0.3 * torch.randn(rows, generator=g) > 0.9).long()
    ones, none = torch.ones(rows), torch.zeros(rows, dtype=torch.bool)
    return Split(x, c, labels, groups, ones, torch.arange(rows), none, 2, 3)
