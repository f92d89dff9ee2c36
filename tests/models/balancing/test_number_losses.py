"""Losses of numbers and of labels: values worked out by hand, and limits that are other methods."""

import math

import torch

from models.balancing import component
from models.balancing.loss.balanced_mse import balanced_squared_error
from models.balancing.loss.cisir import correlation, importance, involution
from models.balancing.loss.none import PLAIN
from models.balancing.probe import case

close = torch.testing.assert_close


def test_balanced_mse_by_hand():
    numbers, targets = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])
    first = math.log(1 + math.exp(-2.0))
    second = math.log(math.exp(-0.5) + math.exp(-0.5)) + 0.5
    close(
        balanced_squared_error(numbers, targets, torch.ones(len(targets)), torch.tensor(1.0)),
        torch.tensor([2 * first, 2 * second]),
    )


def test_balanced_mse_counts_the_values_of_the_batch_by_the_weights_of_their_rows():
    numbers, targets = torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [2.0]])
    found = balanced_squared_error(numbers, targets, torch.tensor([1.0, 3.0]), torch.tensor(1.0))
    close(found, torch.tensor([2 * math.log(0.5 + 1.5 * math.exp(-2.0)), 2 * math.log(2.0)]))


def test_balanced_mse_pulls_harder_away_from_frequent_values():
    """A prediction between a crowd and a lone value gets a gradient towards the lone one that the squared error lacks."""
    targets = torch.tensor([[0.0]] * 9 + [[4.0]])
    numbers = torch.full((10, 1), 0.4, requires_grad=True)
    (balanced,) = torch.autograd.grad(
        balanced_squared_error(numbers, targets, torch.ones(len(targets)), torch.tensor(1.0)).mean(), numbers
    )
    (plain,) = torch.autograd.grad(PLAIN["regression"](numbers, targets).mean(), numbers)
    assert balanced.sum() < plain.sum()


def test_bin_classification_without_strength_is_the_squared_error_and_by_hand():
    given = case(component("bin_classification"))
    part = component("bin_classification").build({"strength": 0.0})
    state = part.parameters(given.statistics, 6, torch.Generator().manual_seed(0))
    plain = PLAIN["regression"](given.logits, given.batch.targets)
    close(part.losses(state, given.logits, given.batch, given.progress), plain)
    even = {"weight": torch.zeros(4, 6), "bias": torch.zeros(4)}
    told = (
        component("bin_classification").build({"strength": 2.0}).losses(even, given.logits, given.batch, given.progress)
    )
    close(told, plain + 2 * math.log(4))


def test_asymmetric_loss_of_labels_without_focus_and_shift_is_binary_cross_entropy():
    given = case(component("asymmetric"), task="multilabel")
    part = component("asymmetric").build({"positive": 0.0, "negative": 0.0, "shift": 0.0})
    losses = part.losses({}, given.logits, given.batch, given.progress)
    close(losses, PLAIN["multilabel"](given.logits, given.batch.targets))


def test_the_involution_by_hand_and_is_its_own_inverse():
    density = torch.tensor([0.1, 0.36, 0.6, 0.9])
    close(involution(density, 1.0), 1 - density)
    close(involution(density, 2.0)[2], torch.tensor(0.8))
    close(involution(density, 0.5)[1], torch.tensor(0.16))
    for shape in (0.5, 1.0, 3.0):
        close(involution(involution(density, shape), shape), density, rtol=1e-4, atol=1e-5)
        assert (involution(density, shape).diff() < 0).all()


def test_importance_favours_rare_bins_and_its_mean_over_the_rows_is_one():
    counts = torch.tensor([900.0, 90.0, 10.0])
    weights = importance(counts, 1.0)
    assert (weights.diff() > 0).all()
    close((weights * counts).sum(), counts.sum())
    close(weights[1] / weights[2], (1 - torch.tensor(90 / 900.9)) / (1 - torch.tensor(10 / 900.9)))


def test_bins_with_equally_many_rows_count_alike_whatever_the_shape():
    shape = component("cisir").hyperparameters()["shape"]
    for value in (shape.minimum, shape.maximum):
        close(importance(torch.full((4,), 25.0), value), torch.ones(4))


def test_correlation_is_pearsons_and_cisir_without_it_and_with_bins_alike_is_the_squared_error():
    given = case(component("cisir"), task="regression")
    z, t = given.logits[:, 0], given.batch.targets[:, 0]
    close(correlation(z, t, torch.ones_like(z)), torch.corrcoef(torch.stack([z, t]))[0, 1], rtol=1e-4, atol=1e-5)
    alike = {"bin_counts": torch.full_like(given.statistics.class_counts, 20.0)}
    batch = given.batch._replace(weights=torch.ones_like(z))
    part = component("cisir").build({"strength": 0.0})
    close(
        part.losses(alike, given.logits, batch, given.progress), PLAIN["regression"](given.logits, batch.targets).mean()
    )
    more = component("cisir").build({"strength": 2.0}).losses(alike, given.logits, batch, given.progress)
    close(more, (z - t).square().mean() + 2 * (1 - correlation(z, t, batch.weights)))
