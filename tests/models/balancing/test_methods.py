"""Each method against its paper: hand-worked values, limit cases, identities with other methods."""

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from models.balancing import component
from models.balancing.adjust.temperature import fit_scale_and_bias
from models.balancing.component import Scores
from models.balancing.head.cosine import SCALE, NormalizedLinear
from models.balancing.loss.balanced_softmax import balanced_softmax
from models.balancing.loss.class_balanced import effective_number_weights
from models.balancing.loss.focal import focal
from models.balancing.loss.ldam import ldam, margins
from models.balancing.loss.logit_adjusted import logit_adjusted
from models.balancing.loss.none import cross_entropy
from models.balancing.loss.weighted_ce import inverse_frequency
from models.balancing.mix.mixup import beta_from_uniforms, mixup
from models.balancing.sample.class_balanced_sampling import power_sampling
from models.balancing.weigh.group_dro import group_dro
from models.data import Batch, Statistics, one_hot

COUNTS = torch.tensor([1000.0, 100.0, 10.0])
LOGITS = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(3, (64,), generator=torch.Generator().manual_seed(1))
TARGETS = one_hot(LABELS, 3)
STATISTICS = Statistics(COUNTS, torch.tensor([600.0, 510.0]), torch.stack([COUNTS * 0.6, COUNTS * 0.4], 1), 1110)


def test_cross_entropy_is_torchs():
    torch.testing.assert_close(
        cross_entropy(LOGITS, TARGETS), functional.cross_entropy(LOGITS, LABELS, reduction="none")
    )
    soft = torch.softmax(LOGITS.flip(0), -1)
    torch.testing.assert_close(cross_entropy(LOGITS, soft), functional.cross_entropy(LOGITS, soft, reduction="none"))


def test_inverse_frequency_is_sklearns_balanced():
    labels = np.repeat([0, 1, 2], COUNTS.long())
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    torch.testing.assert_close(inverse_frequency(COUNTS, 1.0), torch.tensor(expected, dtype=torch.float32))
    torch.testing.assert_close(inverse_frequency(COUNTS, 0.0), torch.ones(3))
    assert float((inverse_frequency(COUNTS, 0.5) * COUNTS).sum() / COUNTS.sum()) == pytest.approx(1)


def test_effective_number_by_hand_and_at_its_limits():
    beta = 0.99
    raw = [(1 - beta) / (1 - beta**n) for n in COUNTS.tolist()]
    expected = torch.tensor([3 * r / sum(raw) for r in raw])
    torch.testing.assert_close(effective_number_weights(COUNTS, beta), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(effective_number_weights(COUNTS, 0.0), torch.ones(3))
    nearly_one = effective_number_weights(COUNTS, 1 - 1e-7)
    torch.testing.assert_close(nearly_one / nearly_one[0], COUNTS[0] / COUNTS, rtol=1e-3, atol=1e-3)


def test_effective_number_weigher_with_cross_entropy_is_the_class_balanced_loss():
    loss, weigher = (
        component("class_balanced").build({"beta": 0.999}),
        component("effective_number").build({"beta": 0.999}),
    )
    batch = Batch(LOGITS, torch.zeros(64, 0), TARGETS, LABELS, LABELS, torch.ones(64), LABELS)
    direct = loss.losses(loss.init(STATISTICS), LOGITS, batch, torch.tensor(0.0))
    plain = cross_entropy(LOGITS, TARGETS)
    weights, _ = weigher.weigh(weigher.init(STATISTICS), plain, batch, torch.tensor(0.0))
    torch.testing.assert_close(direct, weights * plain)


def test_focal_by_hand_and_gamma_zero_is_cross_entropy():
    torch.testing.assert_close(focal(LOGITS, TARGETS, 0.0), cross_entropy(LOGITS, TARGETS))
    p = 0.8
    given = torch.tensor([[math.log(p), math.log(1 - p)]])
    expected = -((1 - p) ** 2) * math.log(p)
    assert focal(given, torch.tensor([[1.0, 0.0]]), 2.0).item() == pytest.approx(expected, rel=1e-5)


def test_ldam_margins_by_hand():
    found = margins(COUNTS, 0.5)
    assert found[2].item() == pytest.approx(0.5)
    assert found[0].item() == pytest.approx(0.5 * (10 / 1000) ** 0.25)
    cosine = torch.tensor([[0.2, 0.1, 0.3]])
    target = torch.tensor([[0.0, 0.0, 1.0]])
    expected = functional.cross_entropy(30 * (cosine - target * found), torch.tensor([2]), reduction="none")
    torch.testing.assert_close(ldam(cosine, target, found, 30.0), expected)


def test_ldam_without_margin_is_cross_entropy_and_brings_its_head():
    torch.testing.assert_close(ldam(LOGITS, TARGETS, torch.zeros(3), 1.0), cross_entropy(LOGITS, TARGETS))
    from models.recipe import parse

    assert parse("ldam_drw").head.name == "cosine"


def test_cosine_head_is_the_scaled_cosine():
    head, features = NormalizedLinear(8, 3), torch.randn(5, 8)
    expected = SCALE * functional.cosine_similarity(features[:, None], head.weight[None], dim=-1)
    torch.testing.assert_close(head(features), expected, rtol=1e-4, atol=1e-4)


def test_balanced_softmax_is_the_logit_adjusted_loss_with_tau_one():
    prior = COUNTS / COUNTS.sum()
    torch.testing.assert_close(balanced_softmax(LOGITS, TARGETS, COUNTS), logit_adjusted(LOGITS, TARGETS, prior, 1.0))
    torch.testing.assert_close(logit_adjusted(LOGITS, TARGETS, prior, 0.0), cross_entropy(LOGITS, TARGETS))
    even = torch.full((3,), 7.0)
    torch.testing.assert_close(balanced_softmax(LOGITS, TARGETS, even), cross_entropy(LOGITS, TARGETS))


def test_power_sampling_draws_classes_as_stated():
    labels = torch.repeat_interleave(torch.arange(3), COUNTS.long())
    for power, expected in [
        (0.0, torch.full((3,), 1 / 3)),
        (0.5, COUNTS.sqrt() / COUNTS.sqrt().sum()),
        (1.0, COUNTS / 1110),
    ]:
        p = power_sampling(labels, COUNTS, power)
        torch.testing.assert_close(torch.stack([p[labels == c].sum() for c in range(3)]), expected)


def test_group_dro_by_hand():
    losses, groups = torch.tensor([1.0, 3.0, 2.0]), torch.tensor([0, 0, 1])
    q = torch.tensor([0.25, 0.5, 0.25])
    weights, after = group_dro(q, losses, groups, torch.ones(3), 0.1, torch.tensor([10.0, 10.0, 10.0]), 0.0)
    raw = [0.25 * math.exp(0.1 * 2), 0.5 * math.exp(0.1 * 2), 0.25]
    expected = torch.tensor([r / sum(raw) for r in raw])
    torch.testing.assert_close(after, expected)
    objective = (weights * losses).mean()
    torch.testing.assert_close(objective, expected[0] * 2 + expected[1] * 2)


def test_group_dro_with_no_step_is_the_mean_over_groups():
    losses, groups = torch.rand(64), LABELS
    weights, _ = group_dro(torch.full((3,), 1 / 3), losses, groups, torch.ones(64), 0.0, COUNTS, 0.0)
    means = torch.stack([losses[groups == g].mean() for g in range(3)])
    torch.testing.assert_close((weights * losses).mean(), means.mean())


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0])
def test_mixup_share_follows_the_beta_distribution(alpha):
    uniforms = torch.rand(20000, 24, 2, generator=torch.Generator().manual_seed(0))
    drawn = torch.func.vmap(lambda u: beta_from_uniforms(u, alpha))(uniforms)
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.01)
    assert drawn.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)
    assert torch.isfinite(drawn).all()
    assert (drawn >= 0).all()
    assert (drawn <= 1).all()


def test_mixup_by_hand():
    mixed = mixup(torch.tensor([[1.0], [3.0]]), torch.tensor([1, 0]), torch.tensor(0.75))
    torch.testing.assert_close(mixed, torch.tensor([[1.5], [2.5]]))


def _scores(z):
    return Scores(torch.log_softmax(z.double(), -1), torch.log_softmax(z.double(), -1))


def test_prior_threshold_of_two_classes_is_a_threshold_at_the_prior():
    counts = torch.tensor([900.0, 100.0])
    statistics = Statistics(counts, counts, counts[:, None], 1000)
    p = torch.tensor([0.05, 0.0999, 0.1001, 0.3])
    scores = _scores(torch.stack([1 - p, p], 1).log())
    part = component("prior_threshold").build({})
    adjusted = part.adjust(part.fit(scores, None, None, None, statistics), scores, None)
    assert adjusted.decision.argmax(-1).tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(adjusted.log_probabilities, scores.log_probabilities)


def test_logit_adjustment_with_tau_one_decides_as_the_prior_threshold_and_with_zero_as_before():
    scores = _scores(LOGITS)
    threshold, adjustment = component("prior_threshold").build({}), component("logit_adjustment")
    at_prior = threshold.adjust(threshold.fit(scores, None, None, None, STATISTICS), scores, None)
    for tau, expected in [(1.0, at_prior), (0.0, scores)]:
        part = adjustment.build({"tau": tau})
        found = part.adjust(part.fit(scores, None, None, None, STATISTICS), scores, None)
        assert torch.equal(found.decision.argmax(-1), expected.decision.argmax(-1))


def _decided_by(name, scores, **values):
    part = component(name).build(values)
    return part.adjust(part.fit(scores, None, None, None, STATISTICS), scores, None)


def test_backdoor_adjustment_by_hand_adjusts_each_model_before_their_mean_and_not_after():
    p = torch.tensor([[[0.98, 0.02]], [[0.8, 0.2]]], dtype=torch.float64)
    counts = torch.tensor([90.0, 10.0])
    mean = p.mean(0).log()
    scores = Scores(mean, mean, p.log())
    part = component("backdoor_adjustment").build({})
    found = part.adjust(
        part.fit(scores, None, None, None, Statistics(counts, counts, counts[:, None], 100)), scores, None
    )
    # Odds of the rare class: 0.02 / 0.98 * 9 and 0.2 / 0.8 * 9; as shares of each model, then their mean.
    rare = ((0.18 / 1.16) + (1.8 / 2.6)) / 2
    torch.testing.assert_close(found.decision.exp(), torch.tensor([[1 - rare, rare]], dtype=torch.float64))
    assert rare < 0.5 < 0.11 * 9 / (0.11 * 9 + 0.89)
    assert found.log_probabilities is scores.log_probabilities


def test_backdoor_adjustment_of_one_model_or_of_equal_ones_is_logit_adjustment():
    one = _scores(LOGITS)
    for members in (None, one.decision[None], one.decision.expand(3, -1, -1)):
        scores = one._replace(members=members)
        for tau in (0.0, 0.5, 1.0):
            alike = _decided_by("logit_adjustment", scores, tau=tau).decision
            mixture = _decided_by("backdoor_adjustment", scores, tau=tau).decision
            torch.testing.assert_close(mixture, torch.log_softmax(alike, -1))


def test_backdoor_adjustment_hears_a_calibration_before_it_and_not_a_decision():
    g = torch.Generator().manual_seed(0)
    members = torch.log_softmax(torch.randn(3, 8, 3, generator=g, dtype=torch.float64), -1)
    mean = torch.logsumexp(members, 0) - math.log(3)
    scores = Scores(mean, mean, members)
    plain = _decided_by("backdoor_adjustment", scores).decision
    moved = scores._replace(decision=mean.flip(-1))
    torch.testing.assert_close(_decided_by("backdoor_adjustment", moved).decision, plain)
    shift = torch.log(torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64))
    calibrated = scores._replace(log_probabilities=torch.log_softmax(mean + shift, -1))
    found = _decided_by("backdoor_adjustment", calibrated, tau=0.0).decision
    torch.testing.assert_close(found, torch.logsumexp(torch.log_softmax(members + shift, -1), 0) - math.log(3))


def test_temperature_takes_back_a_known_temperature():
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(20000, 3, generator=generator)
    labels = torch.multinomial(torch.softmax(z, -1), 1, generator=generator).squeeze(1)
    scale, bias = fit_scale_and_bias(torch.log_softmax(3 * z, -1), labels, torch.ones(20000), bias=False)
    assert scale.item() == pytest.approx(1 / 3, rel=0.03)
    assert bias.abs().max() == 0


def test_bias_corrected_temperature_takes_back_a_known_prior_shift():
    generator = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(40000, 3, generator=generator)
    labels = torch.multinomial(torch.softmax(z, -1), 1, generator=generator).squeeze(1)
    shift = torch.tensor([0.0, 1.5, -2.0])
    scale, bias = fit_scale_and_bias(torch.log_softmax(z + shift, -1), labels, torch.ones(40000), bias=True)
    assert scale.item() == pytest.approx(1, rel=0.03)
    torch.testing.assert_close((bias - bias[0]).float(), -shift, rtol=0.1, atol=0.1)


def test_calibration_never_changes_a_decision():
    scores = _scores(LOGITS)
    for name in ("temperature", "bias_corrected_temperature"):
        part = component(name).build({})
        adjusted = part.adjust(part.fit(scores, LABELS, LABELS, torch.ones(64), STATISTICS), scores, LABELS)
        assert torch.equal(adjusted.decision, scores.decision)
