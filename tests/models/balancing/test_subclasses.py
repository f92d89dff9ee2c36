"""Clusters of rows, and the contrastive loss over subclasses, against their papers."""

import math

import pytest
import torch

from models.balancing import component
from models.balancing.clustering import cluster
from models.balancing.component import Seen, View
from models.balancing.regularize.separation import separation
from models.balancing.regularize.subclass_balancing import (
    contrast,
    relative_scatter,
    subclass_contrast,
    subclass_counts,
)
from models.data import Statistics

FEATURES = torch.randn(24, 5, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(24) % 3


def close(found, expected):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-5, atol=1e-6)


def test_clusters_that_lie_apart_are_found():
    g = torch.Generator().manual_seed(1)
    truth = torch.arange(300) % 3
    centres = torch.tensor([[5.0, 0, 0], [0, 5.0, 0], [0, 0, 5.0]])
    found = cluster(centres[truth] + 0.3 * torch.randn(300, 3, generator=g), 3, torch.Generator().manual_seed(0))
    assert all(len(found[truth == c].unique()) == 1 for c in range(3))
    assert len(found.unique()) == 3
    assert cluster(centres, 1, g).tolist() == [0, 0, 0]


def test_subclasses_are_about_as_large_as_the_rarest_class():
    assert subclass_counts(torch.tensor([1000.0, 130.0, 60.0, 0.0])) == [16, 2, 1, 1]
    assert subclass_counts(torch.tensor([35.0, 3.0])) == [3, 1]


def test_contrast_by_hand():
    similarity = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 0.5], [2.0, 0.5, 0.0]])
    positives = torch.tensor([[False, True, False], [True, False, False], [False, False, False]])
    against = ~torch.eye(3, dtype=torch.bool)
    expected = [math.log(1 + math.e), math.log(1 + math.exp(-0.5)), 0.0]
    close(contrast(similarity, positives, against), expected)


def test_one_cluster_per_class_is_the_supervised_contrastive_loss():
    one = torch.zeros(24, dtype=torch.long)
    found = subclass_contrast(FEATURES, LABELS, one, 0.3, torch.full((24,), 0.3), 0.5)
    close(found, separation(FEATURES, LABELS, int(LABELS.max()) + 1, 0.3))


def test_both_levels_by_the_formula_of_the_paper():
    subclasses, unit = torch.arange(24) // 3 % 2, torch.nn.functional.normalize(FEATURES, dim=-1)
    second = torch.tensor([0.2, 0.5, 0.9])[LABELS]
    total = 0.0
    for i in range(24):
        same = [j for j in range(24) if j != i and LABELS[j] == LABELS[i]]
        near = [j for j in same if subclasses[j] == subclasses[i]]
        far = [j for j in same if j not in near]
        first_level = torch.logsumexp(torch.stack([unit[i] @ unit[k] / 0.3 for k in range(24) if k != i]), 0)
        rest = torch.stack([unit[i] @ unit[k] / second[i] for k in range(24) if k != i and k not in near])
        total -= sum(unit[i] @ unit[j] / 0.3 - first_level for j in near) / len(near)
        total -= 0.7 * sum(unit[i] @ unit[j] / second[i] - torch.logsumexp(rest, 0) for j in far) / len(far)
    close(subclass_contrast(FEATURES, LABELS, subclasses, 0.3, second, 0.7), total / 24)


def test_scatter_is_relative_and_of_classes_that_are_not_cut_one():
    found = relative_scatter(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([True, True, False]))
    mean = (1.2 + 2.0 + 2.8) / 3
    close(found, [1.2 / mean, 2.0 / mean, 1.0])


def test_rows_are_clustered_ten_times_in_a_training_after_the_warm_up():
    kind, counts = component("subclass_balancing"), torch.tensor([200.0, 20.0])
    statistics = Statistics(counts, torch.tensor([220.0]), counts[:, None], 220)
    labels = torch.tensor([0] * 200 + [1] * 20)
    features = torch.randn(220, 4, generator=torch.Generator().manual_seed(0))
    passes = []

    def seen():
        passes.append(1)
        return Seen(features, features[:, :2], labels, labels * 0, torch.ones(220))

    part = kind.build({"warm_up": 0.2})
    state = part.init(statistics, 4)
    for epoch in range(40):
        view = View({}, seen, seen, statistics, torch.Generator().manual_seed(0), epoch / 40)
        state = part.survey(state, view)
        assert bool(state["subclass"].any()) is (epoch >= 8)
    assert len(passes) == 10
    assert len(state["subclass"][:200].unique()) == 10
    assert state["subclass"][200:].unique().tolist() == [0]


@pytest.mark.parametrize("count", [2, 5])
def test_a_cluster_is_the_same_for_the_same_generator(count):
    first, second = (cluster(FEATURES, count, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
