"""Penalties against their papers."""

import math

import pytest
import torch

from models.balancing import component
from models.balancing.head.simplex import simplex
from models.balancing.probe import case
from models.balancing.regularize.adversary import ramp, reversed_gradient
from models.balancing.regularize.error_rate_gap import gap
from models.balancing.regularize.feature_norm import mean_squared_norm
from models.balancing.regularize.group_constraints import group_distances
from models.balancing.regularize.neural_collapse import centred, class_shares, smallest_angles, spread
from models.balancing.regularize.separation import separation


def close(found, expected):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-5, atol=1e-6)


def test_reversal_keeps_the_values_and_turns_the_gradient():
    values = torch.randn(5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    turned = reversed_gradient(values, 0.7)
    assert torch.equal(turned, values)
    (gradient,) = torch.autograd.grad((turned**2).sum(), values)
    close(gradient, -0.7 * 2 * values)


def test_ramp_by_hand():
    close(ramp(torch.tensor([0.0, 0.1, 1.0])), [0.0, 2 / (1 + math.exp(-1)) - 1, 2 / (1 + math.exp(-10)) - 1])


def test_the_searched_adversaries_are_no_stronger_than_the_papers_schedule():
    strength = component("adversary").hyperparameters()["strength"]
    values = torch.ones(1, requires_grad=True)
    turned = reversed_gradient(values, strength.high * ramp(torch.tensor(0.5)))
    close(torch.autograd.grad(turned.sum(), values)[0], [-(2 / (1 + math.exp(-5)) - 1)])
    assert strength.default < strength.high


def test_the_adversary_learns_the_group_and_the_features_unlearn_it():
    kind = component("adversary")
    part, given = kind.build({"strength": 2.0}), case(kind)
    state = part.parameters(given.statistics, 6, torch.Generator().manual_seed(0))
    state = {k: v.requires_grad_() for k, v in state.items()}
    features = given.batch.features.clone().requires_grad_()
    forward = part.penalty(state, features, given.logits, given.batch, torch.tensor(1.0))[0]
    backward = (
        component("adversary")
        .build({"strength": 0.0})
        .penalty(state, features, given.logits, given.batch, torch.tensor(1.0))[0]
    )
    close(forward, backward)
    by_weights = torch.autograd.grad(forward, state["hidden"], retain_graph=True)[0]
    close(by_weights, torch.autograd.grad(backward, state["hidden"], retain_graph=True)[0])
    (reverse,) = torch.autograd.grad(forward, features)
    plain = torch.relu(features @ state["hidden"].T + state["hidden_bias"]) @ state["output"].T + state["output_bias"]
    (direct,) = torch.autograd.grad(torch.nn.functional.cross_entropy(plain, given.batch.groups), features)
    close(reverse, -2 * ramp(torch.tensor(1.0)) * direct)


def test_gap_by_hand():
    scores, groups = torch.tensor([1.0, 3.0, 5.0, 0.0]), torch.tensor([0, 0, 1, 2])
    ones = torch.ones(4)
    close(gap(scores, groups, ones, 4), 5.0)
    close(gap(scores, groups, torch.tensor([1.0, 1, 1, 0]), 4), 3.0)
    close(gap(scores, torch.zeros(4, dtype=torch.long), ones, 4), 0.0)
    close(gap(scores, groups, torch.zeros(4), 4), 0.0)


@pytest.mark.parametrize(("name", "power"), [("error_rate_gap", 1), ("squared_error_rate_gap", 2)])
def test_error_rate_gaps_of_two_groups_are_the_papers_differences(name, power):
    kind = component(name)
    given = case(kind, 40)
    batch = given.batch._replace(groups=given.batch.groups % 2)
    part = kind.build({"false_positive": 2.0, "false_negative": 3.0})
    score = given.logits[:, 1] - given.logits[:, 0]

    def mean(label, group):
        return score[(batch.labels == label) & (batch.groups == group)].mean()

    expected = 2 * (mean(0, 0) - mean(0, 1)).abs() ** power + 3 * (mean(1, 0) - mean(1, 1)).abs() ** power
    close(part.penalty(part.init(given.statistics, 6), None, given.logits, batch, given.progress)[0], expected)


def test_a_gap_is_zero_where_groups_agree_and_its_descent_closes_it():
    kind = component("error_rate_gap")
    given, part = case(kind, 40), kind.build({})
    state = part.init(given.statistics, 6)
    close(part.penalty(state, None, torch.ones(40, 2), given.batch, given.progress)[0], 0.0)
    logits = given.logits.clone().requires_grad_()
    before = part.penalty(state, None, logits, given.batch, given.progress)[0]
    (gradient,) = torch.autograd.grad(before, logits)
    after = part.penalty(state, None, logits - 0.1 * gradient, given.batch, given.progress)[0]
    assert after < before


def test_group_distances_by_hand():
    p = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.6, 0.4]])
    found = group_distances(p, torch.tensor([0, 0, 1, 1]), torch.ones(4), 3)
    close(found, [abs(0.2 - 0.4), abs(0.6 - 0.4), 0.0])


def test_duals_climb_while_the_constraint_is_violated_and_fall_to_zero_when_it_holds():
    kind = component("group_constraints")
    given, part = case(kind), kind.build({"tolerance": 0.1, "step": 1.0})
    state = part.init(given.statistics, 6)
    parted = 10 * torch.stack(
        [(given.batch.groups == 0).float(), (given.batch.groups != 0).float(), *[torch.full((16,), -1.0)] * 2], 1
    )
    distances = group_distances(torch.softmax(parted, -1), given.batch.groups, given.batch.weights, 3)
    penalty, state = part.penalty(state, None, parted, given.batch, given.progress)
    close(state["dual"], (distances - 0.1).clamp(min=0))
    close(penalty, (state["dual"] * (distances - 0.1)).sum())
    for _ in range(200):
        _, state = part.penalty(state, None, torch.zeros(16, 4), given.batch, given.progress)
    close(state["dual"], torch.zeros(3))


def test_separation_is_the_supervised_contrastive_loss_by_hand():
    features, labels = torch.tensor([[1.0, 0], [2.0, 0], [0, 1.0]]), torch.tensor([0, 0, 1])
    own = -math.log(math.exp(1 / 0.5) / (math.exp(1 / 0.5) + math.exp(0)))
    close(separation(features, labels, 2, 0.5), 2 * own / 3)
    close(separation(features[:1], labels[:1], 2, 0.5), 0.0)


def test_separation_falls_when_classes_move_apart():
    labels = torch.tensor([0, 0, 1, 1])
    together = torch.tensor([[1.0, 0.1], [0.1, 1.0], [1.0, 0.2], [0.2, 1.0]])
    apart = torch.tensor([[1.0, 0.1], [1.0, 0.0], [0.1, 1.0], [0.0, 1.0]])
    assert separation(apart, labels, 2, 0.3) < separation(together, labels, 2, 0.3)


# --- neural collapse ---

FEATURES = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
MEMBER = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])


def test_spread_by_hand_and_of_collapsed_classes_is_zero():
    points = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    shares, present = class_shares(MEMBER)
    close(shares.T @ FEATURES, [[2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    assert present.all()
    close(spread(FEATURES, MEMBER, shares, shares.T @ FEATURES), (1.0 + 0.0 + 0.0) / 3)
    close(spread(MEMBER @ points, MEMBER, shares, points), 0.0)


def test_the_gradient_of_the_spread_is_that_of_the_means_moving_with_their_rows():
    g = torch.Generator().manual_seed(0)
    features = torch.randn(9, 4, generator=g, dtype=torch.double, requires_grad=True)
    kinds = torch.nn.functional.one_hot(torch.arange(9) % 4 % 3, 4).double()
    shares, present = class_shares(kinds * torch.rand(9, 1, generator=g, dtype=torch.double))
    assert present.tolist() == [True, True, True, False]
    (found,) = torch.autograd.grad(spread(features, kinds, shares, shares.T @ features), features)
    squares = shares.T @ features.square().sum(-1) - (shares.T @ features).square().sum(-1)
    (expected,) = torch.autograd.grad(squares.sum() / 3, features)
    close(found, expected)


def test_smallest_angles_by_hand_and_a_simplex_is_the_best_that_can_be():
    centres = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])
    everyone = torch.tensor([True, True, True])
    near = math.acos(0.999 * math.cos(math.pi / 4))
    close(smallest_angles(centres, everyone), near)
    right = math.acos(0.0)
    close(smallest_angles(centres, torch.tensor([True, True, False])), right)
    close(smallest_angles(centres, torch.tensor([True, False, False])), 0.0)
    best = smallest_angles(simplex(6, 4), torch.ones(4, dtype=torch.bool))
    close(best, math.acos(-0.999 / 3))
    for seed in range(20):
        drawn = torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))
        assert smallest_angles(drawn, torch.ones(4, dtype=torch.bool)) <= best


def test_an_absent_class_keeps_others_away_by_its_running_mean():
    kind = component("neural_collapse")
    part, given = kind.build({"within": 0.0, "between": 1.0, "momentum": 0.75}), case(kind)
    state = part.init(given.statistics, 6)
    first = given.batch._replace(labels=torch.zeros(16, dtype=torch.long))
    penalty, state = part.penalty(state, given.batch.features, given.logits, first, given.progress)
    close(penalty, 0.0)
    mean = given.batch.features.mean(0)
    close(state["centres"][0], mean)
    _, moved = part.penalty(state, 5 * given.batch.features, given.logits, first, given.progress)
    close(moved["centres"][0], 0.75 * mean + 0.25 * 5 * mean)
    labels = 1 + torch.arange(16) % 2
    features = torch.eye(6)[labels]
    second = given.batch._replace(labels=labels)
    penalty, state = part.penalty(state, features, given.logits, second, given.progress)
    centres = torch.stack([mean, features[0], features[1]])
    apart = centres - centres.mean(0)
    cosines = torch.nn.functional.cosine_similarity(apart[:, None], apart[None, :], dim=-1) - 2 * torch.eye(3)
    close(penalty, -torch.arccos(0.999 * cosines.max(-1).values).mean())
    assert state["seen"].tolist() == [1, 1, 1, 0]


def test_the_angles_are_those_around_the_mean_of_the_classes_so_that_where_all_features_lie_does_not_matter():
    here = torch.tensor([True, True, False])
    close(centred(torch.tensor([[1.0, 0.0], [3.0, 4.0], [9.0, 9.0]]), here)[:2], [[-1.0, -2.0], [1.0, 2.0]])
    kind = component("neural_collapse")
    part, given = kind.build({}), case(kind)
    state = part.init(given.statistics, 6)
    found, moved = (
        part.penalty(state, given.batch.features + far, given.logits, given.batch, given.progress)[0]
        for far in (0.0, 3.0)
    )
    close(found, moved)


def test_feature_norm_by_hand():
    weights = torch.tensor([1.0, 1.0, 0.0, 2.0])
    close(mean_squared_norm(FEATURES, weights), (1 + 9 + 2 * 8) / 4 / 2)
