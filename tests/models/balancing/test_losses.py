"""Losses against their papers: hand-worked values, limit cases, identities with other losses."""

import math

import pytest
import torch
from torch.nn import functional

from models.balancing import component
from models.balancing.loss.any_loss import Confusion, f_beta, soft_confusion
from models.balancing.loss.asymmetric import asymmetric, asymmetric_single_label
from models.balancing.loss.auc_margin import auc_margin, violation
from models.balancing.loss.dice import batch_dice, dice, self_adjusting_dice, tversky
from models.balancing.loss.encouraging import bonus, encouraging
from models.balancing.loss.fair_error_bound_scaling import group_scales, set_dice
from models.balancing.loss.focal import focal
from models.balancing.loss.influence_balanced import EPSILON, class_factor, influence
from models.balancing.loss.label_distributionally_robust import robust_margin
from models.balancing.loss.label_smoothing import class_smoothing, smoothed, smoothed_by_class
from models.balancing.loss.logit_adjusted import logit_adjusted
from models.balancing.loss.none import cross_entropy
from models.balancing.loss.seesaw import seesaw
from models.balancing.loss.vector_scaling import vector_scaling
from models.balancing.probe import case
from models.data import one_hot

COUNTS = torch.tensor([1000.0, 100.0, 10.0])
LOGITS = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(3, (64,), generator=torch.Generator().manual_seed(1))
TARGETS = one_hot(LABELS, 3)
BINARY = LOGITS[:, :2]
YES = one_hot(LABELS.clamp(max=1), 2)
P = torch.tensor([0.3, 0.9])


def close(found, expected):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), rtol=1e-5, atol=1e-6)


# --- metrics as losses ---


def test_soft_confusion_of_confident_rows_is_the_confusion_matrix():
    decided = torch.tensor([1, 1, 0, 0, 1, 0])
    truth = torch.tensor([1, 0, 1, 0, 1, 0])
    counts = soft_confusion(20 * one_hot(decided, 2), one_hot(truth, 2), torch.ones(6))
    close(torch.stack(list(counts)), torch.tensor([2.0, 1.0, 1.0, 2.0]))
    weighted = soft_confusion(20 * one_hot(decided, 2), one_hot(truth, 2), torch.tensor([2.0, 1, 1, 1, 1, 1]))
    close(weighted.true_positive, 3.0)


def test_approximation_is_the_steep_sigmoid_of_the_paper():
    logits = torch.tensor([[0.0, math.log(0.52 / 0.48)]])
    counts = soft_confusion(logits, torch.tensor([[0.0, 1.0]]), torch.ones(1))
    close(counts.true_positive, 1 / (1 + math.exp(-73 * 0.02)))


def test_f_beta_by_hand():
    counts = Confusion(*torch.tensor([6.0, 2.0, 4.0, 8.0]))
    close(f_beta(counts, 1.0), 12 / 18)
    close(f_beta(counts, 2.0), 5 * 6 / (5 * 6 + 4 * 2 + 4))
    close(counts.recall, 6 / 8)
    close(counts.specificity, 8 / 12)


@pytest.mark.parametrize(
    ("name", "value"),
    [("f_beta_loss", 12 / 18), ("balanced_accuracy_loss", 17 / 24), ("g_mean_loss", (0.75 * 2 / 3) ** 0.5)],
)
def test_metric_losses_are_one_less_the_metric(name, value):
    part, given = component(name).build({}), case(component(name), 20)
    truth, decided = torch.zeros(20, dtype=torch.long), torch.zeros(20, dtype=torch.long)
    truth[:8], decided[:6], decided[8:12] = 1, 1, 1
    batch = given.batch._replace(targets=one_hot(truth, 2), labels=truth, weights=torch.ones(20))
    close(part.losses({}, 20 * one_hot(decided, 2), batch, given.progress), 1 - value)


def test_the_g_mean_leads_away_from_missing_every_positive():
    given = case(component("g_mean_loss"), 16)
    logits = torch.tensor([[math.log(3.0), 0.0]]).repeat(16, 1).requires_grad_()
    loss = component("g_mean_loss").build({}).losses({}, logits, given.batch, given.progress)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert (gradient[given.batch.labels == 1, 1] < -1e-6).all()


# --- overlap ---


def test_dice_by_hand():
    close(dice(torch.tensor([[0.8]]), torch.tensor([[1.0]]), 1.0), [1 - (1.6 + 1) / (0.64 + 1 + 1)])
    close(dice(torch.tensor([[0.2]]), torch.tensor([[0.0]]), 1.0), [1 - 1 / (0.04 + 1)])


def test_the_overlap_of_two_classes_is_that_of_the_positive_one():
    given = case(component("dice"), 6, task="binary")
    p, t = torch.softmax(given.logits, -1)[:, 1:], given.batch.targets[:, 1:]
    for name, expected in (
        ("dice", dice(p, t, 1.0)),
        ("tversky", tversky(p, t, 0.3, 0.7, 1.0)),
        ("self_adjusting_dice", self_adjusting_dice(p, t, 1.0, 1.0)),
    ):
        close(component(name).build({}).losses({}, given.logits, given.batch, given.progress), expected)


def test_dice_of_a_batch_by_hand_and_of_hard_decisions_is_one_less_f1():
    p, t = torch.tensor([[0.8], [0.4], [0.1]]), torch.tensor([[1.0], [0.0], [1.0]])
    close(batch_dice(p, t, torch.ones(3), 1.0), 1 - (2 * 0.9 + 1) / (0.64 + 0.16 + 0.01 + 2 + 1))
    close(batch_dice(p[:1], t[:1], torch.ones(1), 1.0), dice(p[:1], t[:1], 1.0).squeeze())
    hit, alarm, missed = torch.ones(3, 1), torch.ones(2, 1), torch.zeros(1, 1)
    decided, truth = torch.cat([hit, alarm, missed]), torch.tensor([[1.0], [1], [1], [0], [0], [1]])
    close(batch_dice(decided, truth, torch.ones(6), 0.0), 1 - 2 * 3 / (2 * 3 + 2 + 1))


def test_tversky_with_equal_prices_of_a_half_is_the_dice_of_linear_denominator():
    p = torch.softmax(LOGITS, -1)
    close(tversky(p, TARGETS, 0.5, 0.5, 0.5), self_adjusting_dice(p, TARGETS, 0.0, 1.0))


def test_self_adjusting_dice_by_hand():
    found = self_adjusting_dice(torch.tensor([[0.8]]), torch.tensor([[1.0]]), 1.0, 1.0)
    close(found, [1 - (2 * 0.2 * 0.8 + 1) / (0.2 * 0.8 + 1 + 1)])


# --- focusing ---


def test_asymmetric_without_shift_and_with_equal_focus_is_the_focal_loss():
    p = torch.softmax(BINARY, -1)[:, 1]
    close(asymmetric(p, YES[:, 1], 2.0, 2.0, 0.0), focal(BINARY, YES, 2.0))
    close(asymmetric(p, YES[:, 1], 0.0, 0.0, 0.0), cross_entropy(BINARY, YES))


def test_asymmetric_by_hand_and_easy_negatives_are_dropped():
    found = asymmetric(torch.tensor([0.3, 0.04, 0.3]), torch.tensor([0.0, 0.0, 1.0]), 1.0, 4.0, 0.05)
    close(found, [-(0.25**4) * math.log(0.75), 0.0, -0.7 * math.log(0.3)])


def test_asymmetric_single_label_without_smoothing_is_the_focal_loss_and_by_hand():
    close(asymmetric_single_label(LOGITS, TARGETS, 1.5, 4.0, 0.0), focal(LOGITS, TARGETS, 1.5))
    p = torch.tensor([[0.7, 0.2, 0.1]])
    expected = -(0.9 + 0.1 / 3) * 0.3 * math.log(0.7) - 0.1 / 3 * (0.2**2 * math.log(0.2) + 0.1**2 * math.log(0.1))
    close(asymmetric_single_label(p.log(), torch.tensor([[1.0, 0, 0]]), 1.0, 2.0, 0.1), [expected])


def test_bonus_by_hand_is_smooth_where_its_tangent_begins():
    end = 0.75
    close(bonus(P.log(), end), [math.log(0.7), math.log(0.25) - (0.9 - 0.75) / 0.25])
    x = torch.tensor([end - 1e-4, end + 1e-4], dtype=torch.float64).log().requires_grad_()
    (slopes,) = torch.autograd.grad(bonus(x, end).sum(), x)
    assert slopes[0].item() == pytest.approx(slopes[1].item(), rel=1e-2)


def test_encouraging_loss_is_cross_entropy_and_the_bonus():
    p = torch.softmax(LOGITS, -1).gather(1, LABELS[:, None]).squeeze(1)
    expected = -p.log() + torch.where(p > 0.75, math.log(0.25) - (p - 0.75) / 0.25, (1 - p).log())
    close(encouraging(LOGITS, TARGETS, 0.75), expected)


# --- adjusted logits ---


def test_vs_loss_without_scaling_is_logit_adjustment_and_without_both_cross_entropy():
    prior = COUNTS / COUNTS.sum()
    close(vector_scaling(LOGITS, TARGETS, COUNTS, 0.0, 1.3), logit_adjusted(LOGITS, TARGETS, prior, 1.3))
    close(vector_scaling(LOGITS, TARGETS, COUNTS, 0.0, 0.0), cross_entropy(LOGITS, TARGETS))
    scaled = LOGITS * torch.tensor([1.0, 0.1**0.5, 0.01**0.5])
    close(vector_scaling(LOGITS, TARGETS, COUNTS, 0.5, 0.0), cross_entropy(scaled, TARGETS))


def test_seesaw_by_hand():
    logits, seen = torch.tensor([[2.0, 1.0, 1.5]]), torch.tensor([100.0, 10.0, 1000.0])
    p = torch.softmax(logits, -1)[0]
    s1 = (10 / 100) ** 0.8
    s2 = 1.0
    expected = -math.log(math.exp(2) / (math.exp(2) + s1 * math.exp(1) + s2 * math.exp(1.5)))
    label = torch.tensor([0])
    close(seesaw(logits, label, one_hot(label, 3), seen, 0.8, 2.0), [expected])
    label, more = (
        torch.tensor([1]),
        float((p[0] / p[1]) ** 2),
    )
    most = float((p[2] / p[1]) ** 2)
    expected = -math.log(math.exp(1) / (math.exp(1) + more * math.exp(2) + most * math.exp(1.5)))
    close(seesaw(logits, label, one_hot(label, 3), seen, 0.8, 2.0), [expected])


def test_seesaw_without_powers_or_with_even_counts_and_no_compensation_is_cross_entropy():
    close(seesaw(LOGITS, LABELS, TARGETS, COUNTS, 0.0, 0.0), cross_entropy(LOGITS, TARGETS))
    close(seesaw(LOGITS, LABELS, TARGETS, torch.full((3,), 9.0), 0.8, 0.0), cross_entropy(LOGITS, TARGETS))


def test_seesaw_counts_the_rows_that_it_has_seen():
    kind = component("seesaw")
    given, part = case(kind), kind.build({})
    state = part.init(given.statistics)
    for _ in range(2):
        state = part.advance(state, given.logits, given.batch, given.progress)
    torch.testing.assert_close(state["seen"], 2 * torch.bincount(given.batch.labels, minlength=4).float())
    lighter = part.init(given.statistics)
    for _ in range(2):
        batch = given.batch._replace(weights=given.batch.weights * 1e-3)
        lighter = part.advance(lighter, given.logits, batch, given.progress)
    losses = [part.losses(known, given.logits, given.batch, given.progress) for known in (state, lighter)]
    torch.testing.assert_close(*losses)


# --- smoothing ---


def test_label_smoothing_is_torchs():
    expected = functional.cross_entropy(LOGITS, LABELS, reduction="none", label_smoothing=0.2)
    close(cross_entropy(LOGITS, smoothed(TARGETS, 0.2)), expected)


def test_label_aware_smoothing_by_hand():
    smoothing = class_smoothing(COUNTS, 0.4, 0.1)
    middle = 0.1 + 0.3 * math.sin(math.pi / 2 * 90 / 990)
    close(smoothing, torch.tensor([0.4, middle, 0.1]))
    close(smoothed_by_class(torch.tensor([[1.0, 0, 0]]), smoothing), torch.tensor([[0.6, 0.2, 0.2]]))
    close(smoothed_by_class(TARGETS, smoothing).sum(-1), torch.ones(64))


def test_label_aware_smoothing_of_even_classes_is_that_of_the_tail():
    close(class_smoothing(torch.full((3,), 5.0), 0.4, 0.1), torch.full((3,), 0.1))
    close(smoothed_by_class(TARGETS, torch.zeros(3)), TARGETS)


# --- influence ---


def test_influence_is_the_norm_of_the_gradient_by_the_last_layer():
    features, weight = torch.rand(1, 5), torch.randn(3, 5, requires_grad=True)
    target = torch.tensor([[0.0, 1.0, 0.0]])
    (gradient,) = torch.autograd.grad(cross_entropy(features @ weight.T, target).sum(), weight)
    close(influence((features @ weight.T).detach(), target, features), gradient.abs().sum()[None])


def test_influence_balanced_is_cross_entropy_until_its_start_and_by_hand_after():
    close(class_factor(COUNTS), torch.tensor([1.0, 10, 100]) / 37)
    kind = component("influence_balanced")
    given, part = case(kind), kind.build({"alpha": 5.0})
    state, batch = part.init(given.statistics), given.batch
    plain = cross_entropy(given.logits, batch.targets)
    close(part.losses(state, given.logits, batch, torch.tensor(0.3)), plain)
    factor = class_factor(given.statistics.class_counts)[batch.labels]
    expected = 5 * factor * plain / (influence(given.logits, batch.targets, batch.features) + EPSILON)
    close(part.losses(state, given.logits, batch, torch.tensor(0.7)), expected)


# --- robust to labels ---


def test_ldr_is_cross_entropy_at_one_and_its_limits_are_the_mean_and_the_largest_margin():
    close(robust_margin(LOGITS, TARGETS, 1.0, 0.0), cross_entropy(LOGITS, TARGETS) - math.log(3))
    margins = LOGITS + 0.5 * (1 - TARGETS) - LOGITS.gather(1, LABELS[:, None])
    near = robust_margin(LOGITS, TARGETS, 1e-3, 0.5)
    torch.testing.assert_close(near, margins.max(-1).values, rtol=1e-2, atol=1e-2)
    far = robust_margin(LOGITS.double(), TARGETS.double(), 1e4, 0.5)
    torch.testing.assert_close(far, margins.double().mean(-1), rtol=1e-3, atol=1e-3)


# --- AUC ---


def test_auc_margin_at_its_inner_optimum_is_the_squared_auc_surrogate():
    g = torch.Generator().manual_seed(0)
    h, y = torch.rand(400, generator=g), (torch.rand(400, generator=g) < 0.3).float()
    p = y.mean()
    a, b = h[y == 1].mean(), h[y == 0].mean()
    dual = 1 + b - a
    found = auc_margin(h, y, p, a, b, dual, 1.0).mean() / (p * (1 - p))
    pairs = (1 - h[y == 1][:, None] + h[y == 0][None, :]) ** 2
    torch.testing.assert_close(found, pairs.mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(violation(h, y, p, 1.0).mean(), p * (1 - p) * dual, rtol=1e-4, atol=1e-6)


def test_auc_margins_dual_climbs_and_never_falls_below_zero():
    kind = component("auc_margin")
    given, part = case(kind), kind.build({"dual_step": 0.5})
    state = {**part.init(given.statistics), **part.parameters(given.statistics, 6, torch.Generator())}
    apart = 40 * (given.batch.targets - 0.5)
    up = part.advance(state, -apart, given.batch, given.progress)["dual"]
    assert up > 0
    down = {**state, "dual": torch.tensor([0.01])}
    far_apart = part.advance(down, apart, given.batch, given.progress)["dual"]
    assert far_apart >= 0
    zero_margin = component("auc_margin").build({"margin": 0.0, "dual_step": 0.5})
    assert zero_margin.advance(down, apart, given.batch, given.progress)["dual"] == 0


def test_auc_margins_dual_counts_rows_by_their_weights():
    kind = component("auc_margin")
    given, part = case(kind), kind.build({})
    state, both = part.init(given.statistics), torch.tensor([0, *range(16)])
    once = given.batch._replace(weights=1 + (torch.arange(16) == 0).float())
    twice = once._replace(targets=once.targets[both], weights=torch.ones(17))
    found, expected = (
        part.advance({**state, "dual": torch.tensor([0.5])}, z, batch, given.progress)["dual"]
        for z, batch in ((given.logits, once), (given.logits[both], twice))
    )
    close(found, expected)


# --- groups ---


def test_fair_error_bound_scales_by_hand_and_lowers_the_harder_group():
    p, t = (
        torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4], [0.5, 0.5]]),
        torch.tensor([[0.0, 1], [1, 0], [0, 1], [1, 0]]),
    )
    groups, ones = torch.tensor([0, 0, 1, 1]), torch.ones(4)

    def by_hand(rows):
        loss = 0.0
        for c in range(2):
            inter = float((p[rows, c] * t[rows, c]).sum())
            loss += 1 - (2 * inter + 1e-5) / (float((p[rows, c] ** 2).sum() + t[rows, c].sum()) + 1e-5)
        return loss

    easy, hard = by_hand([0, 1]), by_hand([2, 3])
    scales = group_scales(p, t, groups, ones, 3, 1.0)
    close(scales, [math.tanh(1), math.tanh(1), math.tanh(easy / hard), math.tanh(easy / hard)])
    close(set_dice(p, t, ones), by_hand([0, 1, 2, 3]))
    assert scales[2] < scales[0]
    close(group_scales(p, t, groups * 0, ones, 3, 1.0), torch.full((4,), math.tanh(1)))
