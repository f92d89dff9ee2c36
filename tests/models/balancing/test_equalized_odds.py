"""Equalized odds by thresholds: the balanced variant against what it must reach, and where the two must agree."""

import torch

from models.balancing.adjust.equalized_odds import fair_thresholds
from models.balancing.adjust.group_rates import candidate_cuts
from models.balancing.component import Scores


def scored(rows, share, groups, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(rows, generator=generator) < share).long()
    group = torch.randint(groups, (rows,), generator=generator)
    margin = 2.0 * labels + 0.8 * group + torch.randn(rows, generator=generator, dtype=torch.float64)
    scores = Scores(*(torch.stack([torch.zeros_like(margin), margin], 1) for _ in range(2)))
    return scores, labels, group


def cuts_of(rows, share, groups):
    scores, labels, group = scored(rows, share, groups)
    return candidate_cuts(scores, labels, group, torch.ones(rows), groups), scores, labels, group


def balanced_accuracy(scores, labels, group, thresholds):
    positive = scores.decision[:, 1] > thresholds[group]
    return ((positive[labels == 1]).double().mean() + (~positive[labels == 0]).double().mean()) / 2


def test_with_one_group_it_is_the_threshold_of_the_largest_balanced_accuracy():
    cuts, scores, labels, group = cuts_of(4000, 0.05, 1)
    found = balanced_accuracy(scores, labels, group, fair_thresholds(cuts, 1.0, balanced=True))
    best = max(balanced_accuracy(scores, labels, group, t[None]) for t in cuts.thresholds[0])
    torch.testing.assert_close(found, best)


def test_the_gap_stays_within_the_tolerance_and_rare_positives_are_found():
    cuts, scores, labels, group = cuts_of(20000, 0.1, 2)
    balanced, plain = (fair_thresholds(cuts, 0.03, balanced=b) for b in (True, False))
    positive = scores.decision[:, 1] > balanced[group]
    for label in (0, 1):
        rates = [positive[(group == g) & (labels == label)].double().mean() for g in range(2)]
        assert abs(rates[0] - rates[1]) <= 0.03 + 1e-9
    assert balanced_accuracy(scores, labels, group, balanced) > balanced_accuracy(scores, labels, group, plain) + 0.05


def test_with_classes_of_one_size_both_variants_agree():
    scores, labels, group = scored(4000, 0.5, 2)
    keep = torch.cat([torch.nonzero(labels == c).squeeze(1)[:1500] for c in (0, 1)])
    cuts = candidate_cuts(
        Scores(scores.log_probabilities[keep], scores.decision[keep]), labels[keep], group[keep], torch.ones(3000), 2
    )
    assert torch.equal(fair_thresholds(cuts, 0.05, balanced=True), fair_thresholds(cuts, 0.05, balanced=False))
