"""Mixtures of chosen partners against their papers: UniMix and SelMix."""

import pytest
import torch

from models.balancing import component
from models.balancing.component import Seen, View
from models.balancing.mix.selmix import (
    confusion,
    drawn_pairs,
    figure_by_logits,
    logits_by_mixture,
    pair_distribution,
)
from models.balancing.mix.unimix import drawn_partners, unimix_share
from models.balancing.probe import case
from models.data import one_hot
from models.recipe import parse


def close(found, expected):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-4, atol=1e-5)


def test_unimix_share_by_hand():
    drawn = torch.tensor([0.1, 0.1, 0.6])
    rows, partners = torch.tensor([90.0, 10.0, 10.0]), torch.tensor([10.0, 90.0, 90.0])
    close(unimix_share(drawn, rows, partners), [0.2, 1.0, 0.5])


def test_unimix_shares_of_even_classes_are_those_of_mixup_up_to_the_order_of_the_pair():
    drawn, even = torch.rand(2000, generator=torch.Generator().manual_seed(0)), torch.ones(2000)
    share = unimix_share(drawn, even, even)
    torch.testing.assert_close(share.sort().values, ((drawn + 0.5) % 1).sort().values)


def test_partners_are_drawn_by_a_power_of_their_class_size():
    sizes = torch.tensor([100.0] * 8 + [10.0] * 2)
    uniforms = torch.rand(20000, generator=torch.Generator().manual_seed(0))
    for power, expected in [(-1.0, 0.2 / 0.28), (0.0, 0.2)]:
        rare = (drawn_partners(uniforms, sizes, power) >= 8).float().mean()
        assert rare.item() == pytest.approx(expected, abs=0.01)


# --- selective mixup ---

LOGITS = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
PRIOR = torch.tensor([0.4, 0.3, 0.2, 0.1])


def test_confusion_by_hand():
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 1.0]])
    close(confusion(logits, torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 1, 2, 0])), [[0.25, 0.25], [0.5, 1e-7]])


def test_the_figures_derivative_by_logits_is_that_of_a_softmax_confusion_matrix():
    logits = LOGITS.clone().requires_grad_()
    shares = PRIOR[:, None] * torch.softmax(logits, -1)
    for slope in (torch.diag(1 / (4 * PRIOR)), torch.rand(4, 4, generator=torch.Generator().manual_seed(1))):
        (expected,) = torch.autograd.grad((slope * shares).sum(), logits, retain_graph=True)
        close(figure_by_logits(shares.detach(), slope), expected)


def test_the_change_of_logits_is_that_of_a_gradient_step_of_the_last_layer_on_the_mixture():
    g = torch.Generator().manual_seed(0)
    weight, means, share = torch.randn(4, 6, generator=g), torch.randn(4, 6, generator=g), 0.8
    found = logits_by_mixture(means, means @ weight.T, share)
    for i, j in [(0, 0), (1, 3), (3, 1)]:
        w = weight.clone().requires_grad_()
        mixed = share * means[i] + (1 - share) * means[j]
        (gradient,) = torch.autograd.grad(torch.nn.functional.cross_entropy(w @ mixed, torch.tensor(i)), w)
        close(found[i, j], means @ -gradient.T)


def test_pairs_that_lose_are_not_drawn_and_a_sharp_softmax_draws_the_best():
    gains = torch.tensor([[1.0, -2.0], [2.0, 0.5]])
    even = pair_distribution(gains, 0.0)
    close(even, [[1 / 3, 0.0], [1 / 3, 1 / 3]])
    close(pair_distribution(gains, 1000.0), [[0.0, 0.0], [1.0, 0.0]])


def test_drawn_pairs_follow_the_distribution_over_classes():
    labels = torch.tensor([0] * 300 + [1] * 60 + [2] * 40)
    pairs = torch.tensor([[0.0, 0.3, 0.1], [0.0, 0.2, 0.0], [0.4, 0.0, 0.0]])
    g, seen = torch.Generator().manual_seed(0), torch.zeros(3, 3)
    for _ in range(25):
        first, second = drawn_pairs(pairs, labels, torch.rand(400, generator=g), torch.rand(400, generator=g))
        seen += one_hot(labels[first], 3).T @ one_hot(labels[second], 3) / 10000
    torch.testing.assert_close(seen, pairs, rtol=0, atol=0.02)


def test_selmix_keeps_the_first_rows_label_and_brings_balanced_sampling():
    kind = component("selmix")
    part, given = kind.build({}), case(kind)
    state = part.init(given.statistics)
    batch = given.batch._replace(inputs=one_hot(given.batch.labels, 4))
    draws = {k: v[0] for k, v in part.draw(torch.Generator().manual_seed(0), 1, 16).items()}
    early = part.mix(state, batch, None, draws, torch.tensor(0.5))
    assert all(torch.equal(getattr(early, k), getattr(batch, k)) for k in ("inputs", "targets", "labels", "rows"))
    mixed = part.mix(state, batch, None, draws, given.progress)
    assert torch.equal(mixed.inputs.argmax(-1), mixed.labels)
    assert torch.equal(mixed.targets, one_hot(mixed.labels, 4))
    assert mixed.inputs.max(-1).values.min() >= 0.6
    assert parse("selmix").sample.name == "class_balanced_sampling"


def test_a_class_that_is_missed_is_mixed_most_and_its_price_grows():
    labels = torch.tensor([0] * 50 + [1] * 50 + [2] * 50)
    features = one_hot(labels, 3) + 0.1 * torch.randn(150, 3, generator=torch.Generator().manual_seed(0))
    logits = features @ torch.diag(torch.tensor([4.0, 4.0, 4.0]))
    logits[100:, 1] += 4.5
    seen = Seen(features, logits, labels, labels * 0, torch.ones(150))
    view = View({}, lambda: seen, lambda: seen, case(component("selmix")).statistics, torch.Generator(), 0.5)
    for name in ("selmix", "selmix_worst_recall"):
        part = component(name).build({"sharpness": 20.0, "start": 0.5})
        state = {"pairs": torch.full((3, 3), 1 / 9), "prices": torch.full((3,), 1 / 3)}
        after = part.survey(state, view)
        assert after["pairs"].sum(1).argmax() == 2
        assert torch.equal(after["prices"], state["prices"]) is (name == "selmix")
    assert after["prices"].argmax() == 2
