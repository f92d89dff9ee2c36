"""Weights that are fitted to margins, or learned while the net trains, against their papers."""

import pytest
import torch

from models.balancing import component
from models.balancing.loss.none import cross_entropy
from models.balancing.loss.weighted_ce import inverse_frequency
from models.balancing.probe import case
from models.balancing.weigh.group_dro import group_dro
from models.balancing.weigh.raking import raked, tempered_shares
from models.balancing.weigh.self_taught import meta_gradient, rescaling, signs
from models.balancing.weigh.vulnerability_aware import forgetting, vulnerable
from models.data import one_hot

LOSSES = torch.tensor([1.0, 4.0, 2.0, 3.0])


def close(found, expected):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-5, atol=1e-6)


def test_raked_tables_have_the_margins_asked_for_and_keep_the_odds_ratios():
    table = torch.tensor([[60.0, 10.0], [20.0, 10.0]])
    weighted = raked(table, torch.tensor([0.5, 0.5]), torch.tensor([0.3, 0.7])) * table / table.sum()
    torch.testing.assert_close(weighted.sum(1), torch.tensor([0.5, 0.5]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(weighted.sum(0), torch.tensor([0.3, 0.7]), rtol=1e-4, atol=1e-5)
    odds = weighted[0, 0] * weighted[1, 1] / (weighted[0, 1] * weighted[1, 0])
    torch.testing.assert_close(odds, torch.tensor(60 * 10 / (20 * 10.0)), rtol=1e-4, atol=1e-4)


def test_raking_of_one_group_is_inverse_class_frequency_and_of_independent_margins_their_product():
    counts = torch.tensor([900.0, 90.0, 10.0])
    found = raked(counts[:, None], tempered_shares(counts, 1.0), torch.ones(1))
    torch.testing.assert_close(found.squeeze(1), inverse_frequency(counts, 1.0), rtol=1e-4, atol=1e-5)
    close(raked(counts[:, None], tempered_shares(counts, 0.0), torch.ones(1)), torch.ones(3, 1))
    table = torch.tensor([[40.0, 20.0], [20.0, 10.0]])
    close(raked(table, torch.tensor([0.5, 0.5]), torch.tensor([0.5, 0.5])), [[0.5625, 1.125], [1.125, 2.25]])


def test_forgetting_is_to_know_a_row_and_then_to_miss_it():
    known, forgotten, history = torch.zeros(3), torch.zeros(3), []
    for right in ([0.0, 1, 1], [0.0, 0, 1], [1.0, 1, 1], [1.0, 1, 1]):
        known, forgotten = forgetting(known, forgotten, torch.tensor(right))
        history.append((forgotten.tolist(), vulnerable(known, forgotten).tolist()))
    assert [forgot for forgot, _ in history] == [[0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]]
    assert [weak for _, weak in history] == [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 0]]


def test_vulnerability_aware_weights_are_group_dro_over_what_was_forgotten_after_the_warm_up():
    kind = component("vulnerability_aware")
    part, given = kind.build({"step": 0.5, "warm_up": 0.3}), case(kind, 4)
    batch = given.batch._replace(groups=torch.zeros(4, dtype=torch.long), labels=torch.tensor([0, 0, 1, 1]))
    batch = batch._replace(logits=torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]))
    state = {"q": torch.tensor([0.5, 0.5]), "known": torch.tensor([1.0, 1, 0, 0]), "forgotten": torch.zeros(4)}
    early, after = part.weigh(state, LOSSES, batch, torch.tensor(0.1))
    close(early, torch.ones(4))
    close(after["q"], state["q"])
    close(after["forgotten"], [0.0, 1, 0, 0])
    close(after["known"], [1.0, 1, 1, 0])
    late, after = part.weigh(state, LOSSES, batch, torch.tensor(0.5))
    expected, q = group_dro(state["q"], LOSSES, torch.tensor([0, 1, 0, 1]), torch.ones(4), 0.5, torch.ones(2), 0.0)
    close(late, expected)
    close(after["q"], q)


def test_the_meta_gradient_is_the_derivative_of_the_validation_loss_after_a_step_of_the_classifier():
    g = torch.Generator().manual_seed(0)
    features, weight = torch.randn(6, 4, generator=g), torch.randn(3, 4, generator=g)
    bias, targets = torch.randn(3, generator=g), one_hot(torch.tensor([0, 1, 2, 1, 0, 2]), 3)
    marked = torch.tensor([1.0, 0, 1, 1, 0, 0])
    found = meta_gradient(features @ weight.T + bias, targets, features, marked)

    def after(v: float, row: int) -> torch.Tensor:
        w, b = weight.double().requires_grad_(), bias.double().requires_grad_()
        losses = cross_entropy(features.double() @ w.T + b, targets.double())
        by_w, by_b = torch.autograd.grad(v * losses[row], (w, b))
        stepped = cross_entropy(features.double() @ (w - by_w).T + b - by_b, targets.double()).detach()
        others = marked.clone()
        others[row] = 0
        return (others * stepped).sum() / others.sum()

    for row in range(6):
        slope = (after(1e-5, row) - after(-1e-5, row)) / 2e-5
        assert found[row].item() == pytest.approx(slope.item(), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("less", [0.0, 9.0])
def test_the_rescaling_function_learns_by_the_meta_gradient_and_begins_with_equal_weights(less):
    kind = component("self_taught")
    part, given = kind.build({}), case(kind)
    state = part.parameters(given.statistics, 6, torch.Generator().manual_seed(0))
    state = {k: v.requires_grad_() for k, v in state.items()}
    batch = given.batch._replace(logits=given.logits)
    losses = cross_entropy(given.logits, batch.targets) - less
    uniforms = torch.rand(16, generator=torch.Generator().manual_seed(1))
    weights, _ = part.weigh({**state, "uniforms": uniforms}, losses, batch, given.progress)
    close(weights.detach(), torch.ones(16))
    marked = (uniforms < 0.5).float()
    meta = meta_gradient(given.logits, batch.targets, batch.features, marked)
    trust = rescaling(state, signs(given.logits, batch.targets, losses))
    found = torch.autograd.grad((weights * losses).sum(), list(state.values()), retain_graph=True)
    expected = torch.autograd.grad((trust / trust.mean() * meta).sum(), list(state.values()))
    for one, other in zip(found, expected, strict=True):
        close(one, other)
