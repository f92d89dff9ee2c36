"""Counts of the training rows: what a row with a weight of its own counts as."""

from dataclasses import replace

import torch

from models.data import Split, Statistics

ROWS = 60


def rows(task: str = "multiclass") -> Split:
    """Two thirds of class 0, one third of class 1, in two groups; three labels, or a number, where the task has them."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(ROWS) % 3 // 2
    values = {
        "multilabel": (torch.rand(ROWS, 3, generator=g) < 0.3).float(),
        "regression": torch.randn(ROWS, 1, generator=g),
    }
    return Split(
        torch.randn(ROWS, 2, generator=g), torch.zeros(ROWS, 0, dtype=torch.long), labels, torch.arange(ROWS) % 2,
        torch.ones(ROWS), torch.arange(ROWS), torch.zeros(ROWS, dtype=torch.bool), 2, 2, task, values.get(task),
    )  # fmt: skip


def test_rows_of_equal_weight_are_counted_one_by_one():
    for task in ("multiclass", "multilabel", "regression"):
        plain = rows(task)
        found = Statistics.of(plain)
        assert found.class_counts.tolist() == [40, 20]
        assert found.class_group_counts.tolist() == [[20, 20], [10, 10]]
        assert found.alike(Statistics.of(replace(plain, weights=torch.full((ROWS,), 0.3))))
    means = [plain.values[plain.labels == c, 0].mean() for c in range(2)]
    torch.testing.assert_close(found.centres, torch.stack(means))


def test_a_row_of_weight_two_is_two_rows_and_one_of_weight_zero_is_none():
    for task in ("multiclass", "multilabel", "regression"):
        plain = rows(task)
        # Of class 0 every other row is left out, all of class 1 are there twice: as many rows as before.
        times = torch.where(plain.labels == 1, 2, torch.arange(ROWS) % 2)
        found = Statistics.of(replace(plain, weights=0.7 * times))
        again = Statistics.of(plain.take(torch.repeat_interleave(torch.arange(ROWS), times)))
        assert again.class_counts.tolist() == [20, 40]
        for mine, theirs in zip(found, again, strict=True):
            if isinstance(mine, torch.Tensor):
                torch.testing.assert_close(mine, theirs)
            else:
                assert mine == theirs
