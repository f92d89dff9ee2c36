"""The parts of a multilayer perceptron."""

import pytest
import torch
from torch.func import grad, vmap

from models.nets.mlp import by_index, by_product


@pytest.mark.parametrize("cardinalities", [[3, 1, 4], [5], [2, 2]])
def test_rows_of_a_table_by_a_product_are_those_by_index(cardinalities):
    generator = torch.Generator().manual_seed(0)
    starts = torch.tensor([0, *cardinalities]).cumsum(0)[:-1]
    ids = torch.stack([torch.randint(0, c, (2, 9), generator=generator) for c in cardinalities], -1)
    table = torch.randn(2, sum(cardinalities), 6, generator=generator)
    wanted = torch.randn(9, 6 * len(cardinalities), generator=generator)

    def loss(of, table, rows):
        return ((of(table, rows + starts, starts) - wanted) ** 2).sum()

    torch.testing.assert_close(
        by_product(table[0], ids[0] + starts, starts), by_index(table[0], ids[0] + starts, starts)
    )
    found = [vmap(grad(loss, argnums=1), in_dims=(None, 0, 0))(of, table, ids) for of in (by_product, by_index)]
    torch.testing.assert_close(*found)
