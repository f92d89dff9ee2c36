"""Losses that adapt, draw or decide, against their papers."""

import math

import pytest
import torch

from models.balancing import component
from models.balancing.loss.ens_loss import drawn_slopes, inverse_box_cox
from models.balancing.loss.equalization import equalized
from models.balancing.loss.integrated_risk import integrated_risk, tail_sensitive_utility
from models.balancing.loss.label_distributionally_robust import adapted_temperature, robust_margin
from models.balancing.loss.none import cross_entropy
from models.balancing.probe import case
from models.data import one_hot

COUNTS = torch.tensor([1000.0, 100.0, 10.0])
LOGITS = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(3, (64,), generator=torch.Generator().manual_seed(1))
TARGETS = one_hot(LABELS, 3)
BINARY = LOGITS[:, :2]
YES = one_hot(LABELS.clamp(max=1), 2)


def close(found, expected):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-5, atol=1e-6)


# --- each row its own temperature, each step its own loss ---


def test_aldr_finds_the_temperature_that_maximizes_the_loss_of_each_row():
    price, start = 4.0 * math.log(3) / 2.0, 2.0
    found = adapted_temperature(LOGITS, TARGETS, start, price, 0.3).squeeze(-1)
    assert (found > start * (1 - 1 / 4.0)).all()
    grid = torch.linspace(0.5, 2.5, 4001)
    values = torch.stack([robust_margin(LOGITS, TARGETS, t, 0.3) - price * (t - start) ** 2 / 2 for t in grid])
    torch.testing.assert_close(found, grid[values.argmax(0)], rtol=0, atol=5e-3)
    part, given = component("aldr_kl").build({"start": 2.0, "price": 4.0, "margin": 0.3}), case(component("aldr_kl"))
    batch = given.batch._replace(targets=TARGETS)
    torch.testing.assert_close(part.losses({}, LOGITS, batch, given.progress), values.max(0).values, rtol=0, atol=1e-4)


def test_aldr_at_a_high_price_is_ldr():
    part, given = component("aldr_kl").build({"start": 0.7, "price": 1e6, "margin": 0.2}), case(component("aldr_kl"))
    batch = given.batch._replace(targets=TARGETS)
    close(part.losses({}, LOGITS, batch, given.progress), robust_margin(LOGITS, TARGETS, 0.7, 0.2))


def test_inverse_box_cox_by_hand():
    z = torch.tensor([-3.0, -0.5, 0.5])
    close(inverse_box_cox(z, torch.tensor(0.5)), [0.0, 0.75**2, 1.0])
    close(inverse_box_cox(z, torch.tensor(0.0)), [math.exp(-3), math.exp(-0.5), 1.0])
    close(inverse_box_cox(z, torch.tensor(-0.5)), [2.5**-2, 1.25**-2, 1.0])


@pytest.mark.parametrize("power", [-0.8, 0.0, 0.6])
def test_a_drawn_loss_is_convex_and_calibrated_with_a_bounded_tail(power):
    g = torch.Generator().manual_seed(0)
    margins, normals = 3 * torch.randn(200, generator=g), torch.randn(200, generator=g)
    slopes = drawn_slopes(margins, normals, torch.tensor(power))[margins.argsort()]
    assert (slopes.diff() >= 0).all()
    assert (slopes < 0).all()
    beyond = margins.sort().values > 1
    assert (slopes[beyond] >= -1 / margins.sort().values[beyond] - 1e-5).all()


def test_the_gradient_of_ens_loss_is_the_drawn_slope_and_its_value_the_logistic_loss():
    part, given = component("ens_loss").build({}), case(component("ens_loss"), 64)
    state = {"normals": torch.randn(64, generator=torch.Generator().manual_seed(1)), "power": torch.tensor(0.3)}
    logits, batch = BINARY.clone().requires_grad_(), given.batch._replace(targets=YES)
    losses = part.losses(state, logits, batch, given.progress)
    close(losses.detach(), cross_entropy(BINARY, YES))
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    sign = 2 * YES[:, 1] - 1
    slopes = drawn_slopes(sign * (BINARY[:, 1] - BINARY[:, 0]), state["normals"], state["power"])
    close(gradient, torch.stack([-sign * slopes, sign * slopes], 1))


def test_equalization_by_hand_and_without_rare_classes_is_cross_entropy():
    p = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    targets, rare = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]), torch.tensor([[0.0, 0, 1], [0, 0, 1]])
    close(equalized(p.log(), targets, rare), [-math.log(0.5 / 0.8), -math.log(0.5)])
    close(equalized(LOGITS, TARGETS, 0 * TARGETS), cross_entropy(LOGITS, TARGETS))
    kind = component("equalization")
    given = case(kind)
    for values, expected in [
        ({"probability": 0.0}, cross_entropy(given.logits, given.batch.targets)),
        ({"probability": 1.0, "threshold": 1000.0}, torch.zeros(16)),
    ]:
        part = kind.build(values)
        state = {**part.init(given.statistics), "uniforms": torch.full((16,), 0.5)}
        close(part.losses(state, given.logits, given.batch, given.progress), expected)


def test_no_other_row_pushes_a_rare_class_down():
    kind = component("equalization")
    given, part = case(kind), kind.build({"probability": 1.0, "threshold": 0.5})
    logits = given.logits.clone().requires_grad_()
    state = {**part.init(given.statistics), "uniforms": torch.full((16,), 0.5)}
    (gradient,) = torch.autograd.grad(part.losses(state, logits, given.batch, given.progress).sum(), logits)
    rare = given.statistics.prior * 4 < 0.5
    others = given.batch.labels[:, None] != torch.arange(4)[None, :]
    assert (gradient[others & rare] == 0).all()
    assert (gradient[others & ~rare] > 0).all()


# --- decisions ---


def test_integrated_risk_by_hand_and_without_tolerance_is_class_weighted_cross_entropy():
    utility = tail_sensitive_utility(COUNTS, 0.2)
    close(utility, [[1.0, 0.2, 0.2], [0.0, 1.0, 0.2], [0.0, 0.0, 1.0]])
    p = torch.tensor([[0.5, 0.3, 0.2]])
    found = integrated_risk(p.log(), torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([1.0, 3.0, 9.0]), utility)
    close(found, [-3 * (math.log(0.3) + 0.2 * math.log(0.2))])
    weighted, part = component("weighted_ce").build({}), component("integrated_risk").build({"tolerance": 0.0})
    given = case(component("weighted_ce"))
    ours, theirs = (
        m.losses(m.init(given.statistics), given.logits, given.batch, given.progress) for m in (part, weighted)
    )
    close(ours, theirs)
