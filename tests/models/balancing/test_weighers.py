"""Weights of rows against their papers: hand-worked values, limit cases, identities."""

import math

import pytest
import torch

from models.balancing import component
from models.balancing.probe import case
from models.balancing.weigh.cvar_dro import worst_share
from models.balancing.weigh.fair_identity_scaling import identity_weights
from models.balancing.weigh.feasible_learning import ascended
from models.balancing.weigh.kl_dro import exponential_weights
from models.balancing.weigh.loss_based import placed
from models.balancing.weigh.reweighing import independence_weights

LOSSES = torch.tensor([1.0, 4.0, 2.0, 3.0])
ONES = torch.ones(4)


def close(found, expected):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-5, atol=1e-6)


def test_cvar_by_hand():
    close(worst_share(LOSSES, ONES, 0.5), [0.0, 2.0, 0.0, 2.0])
    close(worst_share(LOSSES, ONES, 0.375), [0.0, 1 / 0.375, 0.0, 0.5 / 0.375])
    close(worst_share(LOSSES, ONES, 1.0), ONES)
    close(worst_share(LOSSES, ONES, 0.25), [0.0, 4.0, 0.0, 0.0])


@pytest.mark.parametrize("share", [0.1, 0.3, 0.77])
def test_cvar_is_the_worst_distribution_of_bounded_density(share):
    losses = torch.randn(37, generator=torch.Generator().manual_seed(0)).square()
    weights = worst_share(losses, torch.ones(37), share)
    close(weights.mean(), 1.0)
    assert weights.max() <= 1 / share + 1e-4
    for seed in range(20):
        other = torch.rand(37, generator=torch.Generator().manual_seed(seed)).clamp(max=1 / share)
        other = other / other.mean()
        if other.max() <= 1 / share:
            assert (weights * losses).mean() >= (other * losses).mean() - 1e-5


def test_kl_weights_by_hand_and_at_their_limits():
    raw = [math.exp(v / 2) for v in LOSSES.tolist()]
    close(exponential_weights(LOSSES, ONES, 2.0), [4 * r / sum(raw) for r in raw])
    torch.testing.assert_close(exponential_weights(LOSSES, ONES, 1e6), ONES, rtol=1e-4, atol=1e-4)
    close(exponential_weights(LOSSES, ONES, 1e-3), [0.0, 4.0, 0.0, 0.0])


def test_kl_weights_are_the_gradient_of_the_tilted_loss():
    losses = LOSSES.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(0.7 * torch.logsumexp(losses / 0.7, 0), losses)
    close(4 * gradient, exponential_weights(LOSSES, ONES, 0.7))


def test_losses_are_placed_between_the_smallest_and_the_largest():
    close(placed(LOSSES), [-1.0, 1.0, -1 / 3, 1 / 3])
    close(placed(ONES), torch.zeros(4))


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("loss_linupper", [0.0, 1.0, 2 / 3, 1.0]),
        ("loss_quadratic", [0.0, 0.0, 8 / 9, 8 / 9]),
        ("loss_extremes", [1.0, 1.0, 1 / 3, 1 / 3]),
    ],
)
def test_loss_based_weights_by_hand(name, form):
    part, given = component(name).build({"temperature": 0.5}), case(component(name), 4)
    raw = [math.exp(f / 0.5) for f in form]
    close(part.weigh({}, LOSSES, given.batch, torch.tensor(0.5))[0], [4 * r / sum(raw) for r in raw])
    close(part.weigh({}, LOSSES, given.batch, torch.tensor(0.01))[0], ONES)


def test_feasible_learning_by_hand():
    duals = torch.tensor([0.0, 1.0, 0.1])
    losses = torch.tensor([0.5, 0.5, 0.1])
    close(ascended(duals, losses, 0.3, 2.0, 0.0), [0.4, 1.4, 0.0])
    close(ascended(duals, losses, 0.3, 2.0, 0.25), [0.4, 0.9, 0.0])


def test_a_feasible_row_loses_its_weight_and_an_infeasible_one_gains_it():
    part, given = (
        component("feasible_learning").build({"level": 0.5, "step": 1.0}),
        case(component("feasible_learning"), 2),
    )
    state = {"dual": torch.zeros(2)}
    history = []
    for _ in range(3):
        weights, state = part.weigh(state, torch.tensor([0.8, 0.2]), given.batch, given.progress)
        history.append(weights)
    close(torch.stack(history), [[0.3, 0.0], [0.6, 0.0], [0.9, 0.0]])


def test_slack_bounds_the_dual_at_the_excess_over_its_price():
    dual = torch.zeros(1)
    for _ in range(500):
        dual = ascended(dual, torch.tensor([0.8]), 0.3, 0.5, 0.25)
    close(dual, [0.5 / 0.25])


def test_identity_weights_by_hand_and_with_the_groups_share_zero_are_kl_weights():
    beta, groups = torch.tensor([0.5, 2.0]), torch.tensor([0, 1, 1, 0])
    mixed = [0.5 * loss + 0.5 * b for loss, b in zip(LOSSES.tolist(), [0.5, 2.0, 2.0, 0.5], strict=True)]
    raw = [math.exp(m / 2) for m in mixed]
    close(identity_weights(LOSSES, groups, ONES, beta, 0.5, 2.0), [4 * r / sum(raw) for r in raw])
    close(identity_weights(LOSSES, groups, ONES, beta, 0.0, 2.0), exponential_weights(LOSSES, ONES, 2.0))


def test_the_groups_numbers_are_trained_and_descend_for_a_group_of_large_loss():
    kind = component("fair_identity_scaling")
    part, given = kind.build({}), case(kind, 4)
    beta = part.parameters(given.statistics, 6, torch.Generator())["beta"].requires_grad_()
    batch = given.batch._replace(groups=torch.tensor([0, 0, 1, 1]))
    weights, _ = part.weigh({"beta": beta}, LOSSES, batch, given.progress)
    (gradient,) = torch.autograd.grad((weights * LOSSES).mean(), beta)
    mean = (weights * LOSSES).mean()
    pulls = part.share / part.temperature * (weights * (LOSSES - mean)).reshape(2, 2).sum(1) / 4
    close(gradient, [*pulls.tolist(), 0.0])
    hard = torch.tensor([0.1, 0.2, 3.0, 4.0])
    weights, _ = part.weigh({"beta": beta}, hard, batch, given.progress)
    (gradient,) = torch.autograd.grad((weights * hard).mean(), beta)
    assert gradient[1] > 0 > gradient[0]


def test_reweighing_by_hand_and_class_and_group_are_independent_under_it():
    counts = torch.tensor([[60.0, 10.0], [20.0, 10.0]])
    weights = independence_weights(counts)
    close(weights, [[70 * 80 / (100 * 60), 70 * 20 / (100 * 10)], [30 * 80 / (100 * 20), 30 * 20 / (100 * 10)]])
    weighted = weights * counts
    close(weighted, weighted.sum(1, keepdim=True) * weighted.sum(0, keepdim=True) / weighted.sum())


def test_reweighing_of_independent_classes_and_groups_weighs_all_alike():
    close(independence_weights(torch.tensor([[40.0, 20.0], [20.0, 10.0]])), torch.ones(2, 2))


@pytest.mark.parametrize("name", ["cvar_dro", "kl_dro", "loss_linupper", "group_dro", "fair_identity_scaling"])
def test_a_row_of_weight_two_is_weighed_as_two_rows(name):
    part, given = component(name).build({}), case(component(name), 4)
    state = {**part.init(given.statistics), **part.parameters(given.statistics, 6, torch.Generator())}
    groups, both = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 0, 1, 2, 3])
    once = given.batch._replace(groups=groups, weights=torch.tensor([2.0, 1.0, 1.0, 1.0]))
    twice = once._replace(groups=groups[both], weights=torch.ones(5))
    weights, after = part.weigh(state, LOSSES, once, given.progress)
    expected, expected_after = part.weigh(state, LOSSES[both], twice, given.progress)
    close(weights, expected[1:])
    close((weights * once.weights).mean() * 4, expected.sum())
    for key, value in after.items():
        close(value, expected_after[key])
