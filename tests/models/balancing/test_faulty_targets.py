"""Losses for targets that are not what they seem: labels left out, values too low, positives that nobody noted."""

import math

import torch

from models.balancing import component
from models.balancing.loss.asymmetric import asymmetric
from models.balancing.loss.hidden_positives import KEPT, expected, observed
from models.balancing.loss.multi_focal import multi_focal, rarity, recalled
from models.balancing.loss.none import PLAIN
from models.balancing.loss.upper_side import upper_and_unlabelled
from models.balancing.probe import case

close = torch.testing.assert_close


# --- labels left out ---


def test_rarity_by_hand_and_without_an_exponent_no_label_is_rarer():
    counts = torch.tensor([1e4, 1e4 * math.exp(-3), 1e4 * math.exp(-8)])
    close(rarity(counts, 0.5), torch.tensor([1.0, 2.0, 3.0]))
    close(rarity(counts, 0.0), torch.ones(3))


def test_multi_focal_by_hand_and_of_equally_frequent_labels_is_the_asymmetric_loss():
    p, targets = torch.tensor([[0.5, 0.3]]), torch.tensor([[1.0, 0.0]])
    found = multi_focal(p, targets, torch.tensor([1.0, 2.0]), 1.0, 1.0, 0.1)
    close(found, torch.tensor([[-0.5 * math.log(0.5), -2 * 0.2**3 * math.log(0.8)]]))
    even = multi_focal(p, targets, torch.ones(2), 1.0, 1.0, 0.1)
    close(even, asymmetric(p, targets, 1.0, 2.0, 0.1))


def test_no_gradient_goes_through_the_focus():
    z = torch.tensor([[0.3, -0.7]], requires_grad=True)
    targets, rarities = torch.tensor([[1.0, 0.0]]), torch.tensor([1.0, 1.4])
    (found,) = torch.autograd.grad(multi_focal(z.sigmoid(), targets, rarities, 2.0, 3.0, 0.0).sum(), z)
    p = z.detach().sigmoid()
    close(found[0, 0], -((1 - p[0, 0]) ** 2) * (1 - p[0, 0]))
    close(found[0, 1], 1.4 * p[0, 1] ** 4.4 * p[0, 1])


def test_a_label_is_recalled_where_it_is_sure_and_surer_than_in_the_batch_and_never_beyond_one():
    p = torch.tensor([[0.9, 0.9], [0.2, 0.95], [0.8, 0.95]])
    close(recalled(p, torch.zeros(3, 2), 0.7), torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
    close(recalled(p, torch.zeros(3, 2), 1.0), torch.zeros(3, 2))
    given = case(component("multi_focal"))
    sure = given.logits.abs() * 20 * (torch.arange(len(given.logits))[:, None] % 2 * 2 - 1)
    part = component("multi_focal").build({"start": 0.5})
    state = part.init(given.statistics)
    before, after = (part.losses(state, sure, given.batch, torch.tensor(at)) for at in (0.4, 0.6))
    assert after.sum() < before.sum()


# --- values too low ---


def test_the_upper_side_by_hand():
    numbers, targets = torch.tensor([0.0, 0.0, 0.0, 0.0]), torch.tensor([1.0, 3.0, -2.0, -4.0])
    every, above = (-1.0 - 3.0 + 2.0 + 4.0) / 4, (1.0 / 0.8 + 1.0 + 9.0 / 0.8 + 3.0) / 2
    close(upper_and_unlabelled(numbers, targets, torch.ones(4), 0.3, 0.4), torch.tensor(every + 0.3 * above))


def slope(numbers, targets, weights, share=0.5, noise=0.3):
    """By a weight w and a bias b of numbers = w x + b, at the numbers given for x = -1, 0, 1."""
    x = torch.tensor([-1.0, 0.0, 1.0])
    line = torch.tensor([numbers[2] - numbers[1], numbers[1]], requires_grad=True)
    z = (line[0] * x + line[1])[:, None].expand_as(targets).reshape(-1)
    loss = upper_and_unlabelled(z, targets.reshape(-1), weights.reshape(-1), share, noise)
    return torch.autograd.grad(loss, line)[0]


def test_its_gradient_on_lowered_labels_is_that_of_the_clean_loss_on_labels_without_a_fault():
    """All labels of a problem with their probabilities: one above and one below the line at each x, lowered in every way."""
    line, scatter = torch.tensor([-0.5, 0.1, 0.7]), torch.tensor([0.2, 0.6])
    clean = torch.stack([line + scatter[0], line + scatter[1], line - scatter[0], line - scatter[1]], 1)
    z = line[:, None].clone()
    w, b = torch.tensor(0.6, requires_grad=True), torch.tensor(0.1, requires_grad=True)
    fitted = w * torch.tensor([-1.0, 0.0, 1.0])[:, None] + b
    close(fitted.detach(), z)
    squared, absolute = (clean - fitted).square() / 0.6, fitted - clean
    wanted = torch.stack(torch.autograd.grad(torch.where(clean >= z, squared, absolute).mean(), (w, b)))
    close(slope(line, clean, torch.ones(3, 4)), wanted)
    lowered, kept = torch.cat([clean, clean - 5.0], 1), torch.full((3, 4), 0.35)
    close(slope(line, lowered, torch.cat([kept, 1 - kept], 1)), wanted)


def test_it_has_no_slope_at_the_line_where_noise_is_the_mean_distance_above_times_the_odds_of_the_share():
    line = torch.tensor([-0.5, 0.1, 0.7])
    targets = torch.stack([line + 0.2, line + 0.6, line - 5.0, line - 7.0, line - 9.0, line - 9.5], 1)
    close(slope(line, targets, torch.ones(3, 6), 0.5, 0.4), torch.zeros(2), atol=1e-6, rtol=0)
    close(slope(line, targets, torch.ones(3, 6), 0.3, 0.4 * 0.3 / 0.7), torch.zeros(2), atol=1e-6, rtol=0)
    assert (
        slope(line - 0.1, targets, torch.ones(3, 6), 0.5, 0.4)[1]
        < 0
        < slope(line + 0.1, targets, torch.ones(3, 6), 0.5, 0.4)[1]
    )


# --- positives that nobody noted ---


def test_hidden_positives_by_hand_and_with_all_noted_it_is_cross_entropy():
    z, noted = torch.zeros(2), torch.tensor([1.0, 0.0])
    half = torch.tensor([0.5, 0.5])
    close(observed(z, noted, half), torch.tensor([-math.log(0.25), -math.log(0.75)]))
    close(expected(z, noted, half), torch.tensor([1.0, 0.25 / 0.75]))
    given = case(component("hidden_positives"))
    every = observed(given.logits[:, 1] - given.logits[:, 0], given.batch.targets[:, 1], torch.ones(len(given.logits)))
    close(every, PLAIN["binary"](given.logits, given.batch.targets), rtol=1e-3, atol=1e-3)


def test_its_gradient_is_that_of_the_cross_entropy_with_the_expected_classes():
    z = torch.linspace(-3, 3, 8).requires_grad_()
    noted, e = torch.tensor([0.0, 1.0] * 4), torch.linspace(0.1, 0.9, 8)
    q, p = expected(z, noted, e).detach(), z.sigmoid()
    (found,) = torch.autograd.grad(observed(z, noted, e).sum(), z)
    (wanted,) = torch.autograd.grad(-(q * p.log() + (1 - q) * (1 - p).log()).sum(), z)
    close(found, wanted)


def test_the_propensity_of_a_group_moves_by_hand_and_ends_at_the_noted_by_the_positive():
    part, given = component("hidden_positives").build({"propensity": 0.5}), case(component("hidden_positives"))
    state = part.init(given.statistics)
    after = part.advance(state, given.logits, given.batch, given.progress)
    q = expected(given.logits[:, 1] - given.logits[:, 0], given.batch.targets[:, 1], torch.full((16,), 0.5))
    first = given.batch.groups == 0
    close(after["noted"][0], KEPT * 0.5 + given.batch.targets[first, 1].sum())
    close(after["positive"][0], KEPT + q[first].sum())
    # A hundred rows that are surely positive or negative, of whose sixty positives twelve are noted.
    positive = torch.arange(100) < 60
    logits = torch.stack([torch.zeros(100), torch.where(positive, 30.0, -30.0)], 1)
    noted = (torch.arange(100) < 12).float()
    batch = given.batch._replace(
        targets=torch.stack([1 - noted, noted], 1), groups=torch.zeros(100, dtype=torch.long), weights=torch.ones(100)
    )
    for _ in range(400):
        state = part.advance(state, logits, batch, given.progress)
    close(state["noted"][0] / state["positive"][0], torch.tensor(0.2), rtol=1e-3, atol=1e-4)
