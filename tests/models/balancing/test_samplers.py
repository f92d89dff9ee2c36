"""Which rows are drawn, and when, against the papers."""

import torch

from models.balancing import component
from models.balancing.sample.class_balanced_sampling import power_sampling
from models.balancing.sample.progressive_data_expansion import admission
from models.data import Statistics

LABELS = torch.tensor([0] * 80 + [1] * 20)
GROUPS = torch.tensor([0] * 70 + [1] * 10 + [0] * 5 + [1] * 15)
CELLS = torch.tensor([[70.0, 10.0], [5.0, 15.0]])
STATISTICS = Statistics(CELLS.sum(1), CELLS.sum(0), CELLS, 100)
ALIKE = torch.full((100,), 0.01)


def drawn(name, progress, state=None, **values):
    return component(name).build(values).probabilities(state or {}, LABELS, GROUPS, STATISTICS, progress)


def close(found, expected):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-5, atol=1e-7)


def test_temperature_one_draws_rows_alike_and_a_high_one_classes_alike():
    close(drawn("temperature_sampling", 0.0, temperature=1.0), ALIKE)
    close(drawn("temperature_sampling", 0.0, temperature=1e6)[LABELS == 1].sum(), 0.5)


def test_temperature_by_hand_and_cooldown():
    hot, cold = (drawn("temperature_sampling", t, temperature=2.0, cooldown=0.6) for t in (0.59, 0.6))
    close(hot[LABELS == 1].sum(), 20**0.5 / (20**0.5 + 80**0.5))
    close(cold, ALIKE)


def test_progressively_balanced_begins_with_rows_alike_and_ends_with_classes_alike():
    close(drawn("progressively_balanced", 0.0), ALIKE)
    close(drawn("progressively_balanced", 1.0), power_sampling(LABELS, STATISTICS.class_counts, 0.0))
    close(drawn("progressively_balanced", 0.25)[LABELS == 1].sum(), 0.75 * 0.2 + 0.25 * 0.5)


def test_class_group_balanced_draws_cells_alike():
    p = drawn("class_group_balanced", 0.5)
    for c in (0, 1):
        for g in (0, 1):
            close(p[(c == LABELS) & (g == GROUPS)].sum(), 0.25)


def test_late_upsampling_begins_late():
    close(drawn("late_upsampling", 0.79, duration=0.2, power=0.5), ALIKE)
    close(drawn("late_upsampling", 0.8, duration=0.2, power=0.5)[LABELS == 1].sum(), 20**0.5 / (20**0.5 + 80**0.5))


def test_validation_rows_are_judged_by_what_training_ends_with():
    part = component("late_upsampling").build({"power": 0.0})
    weights = part.judged({}, torch.tensor([0, 1]), torch.tensor([0, 0]), STATISTICS)
    close(weights[1] / weights[0], 4.0)


def test_expansion_begins_with_the_balanced_subset_and_ends_with_all_rows():
    part = component("progressive_data_expansion").build({"warm_up": 0.2, "expansions": 4})
    state = part.init(LABELS, GROUPS, STATISTICS, torch.Generator().manual_seed(0))
    inside = {
        t: drawn("progressive_data_expansion", t, state, warm_up=0.2, expansions=4) > 0
        for t in (0.0, 0.19, 0.2, 0.5, 0.9)
    }
    for c in (0, 1):
        for g in (0, 1):
            assert inside[0.0][(c == LABELS) & (g == GROUPS)].sum() == 5
    assert torch.equal(inside[0.0], inside[0.19])
    assert [int(inside[t].sum()) for t in (0.2, 0.5, 0.9)] == [40, 60, 100]
    assert (inside[0.5] >= inside[0.2]).all()
    assert (inside[0.2] >= inside[0.0]).all()


def test_who_is_admitted_is_drawn_and_the_ranks_are_complete():
    first, second = (
        admission(LABELS, GROUPS, torch.rand(100, generator=torch.Generator().manual_seed(s))) for s in (0, 1)
    )
    assert not torch.equal(first, second)
    assert sorted(first.tolist()) == [0] * 20 + list(range(1, 81))


def test_stratified_batches_hold_rare_rows_and_an_epoch_holds_every_row_once():
    labels = torch.tensor([0] * 56 + [1] * 8)[torch.randperm(64, generator=torch.Generator().manual_seed(0))]
    part = component("stratified_batches").build({})
    generator = torch.Generator().manual_seed(1)
    order = part.order(part.init(labels, labels * 0, None, generator), 8, 8, generator)
    assert torch.equal(order.reshape(-1).sort().values, torch.arange(64))
    assert (labels[order].sum(1) == 1).all()
