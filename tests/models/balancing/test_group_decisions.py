"""Decisions that treat groups alike: against fairlearn, against the linear programs they solve, and where they must agree."""

import warnings

import numpy as np
import pytest
import torch
from fairlearn.postprocessing import ThresholdOptimizer as Reference
from sklearn.base import BaseEstimator

from models.balancing import component
from models.balancing.adjust.coins import coins
from models.balancing.adjust.ensemble_equalized_odds import Rows, derived, fitted_table, majority, patterns_of
from models.balancing.adjust.threshold_optimizer import positive_probability
from models.balancing.component import Scores
from models.data import Statistics

ENSEMBLES = ("aggregate_then_postprocess", "postprocess_then_aggregate", "ensemble_postprocess")


def scores_of(*margins):
    members = torch.stack([torch.log_softmax(torch.stack([torch.zeros_like(m), m], 1), -1) for m in margins])
    mean = torch.logsumexp(members, 0) - np.log(len(members))
    return Scores(mean, mean, members)


def problem(rows=6000, groups=3, models=1, seed=0):
    g = torch.Generator().manual_seed(seed)
    labels = (torch.rand(rows, generator=g) < 0.3).long()
    group = torch.randint(groups, (rows,), generator=g)
    noise = torch.randn(models, rows, generator=g, dtype=torch.float64)
    return scores_of(*(2.0 * labels + 0.8 * group - 1.5 + noise)), labels, group


def fitted(name, scores, labels, group, groups=3, **values):
    part = component(name).build(values)
    ones = torch.ones(len(labels))
    state = part.fit(
        scores, labels, group, ones, Statistics(torch.ones(2), torch.ones(groups), torch.ones(2, groups), 2)
    )
    return part.adjust(state, scores, group).decision.argmax(1), state


def rates(decided, labels, group, groups=3):
    return torch.tensor(
        [[float(decided[(group == g) & (labels == y)].double().mean()) for y in (0, 1)] for g in range(groups)]
    )


def gap(values):
    return float((values.amax(0) - values.amin(0)).max())


# --- coins ---


def test_coins_are_uniform_and_a_row_keeps_its_own():
    scores = torch.randn(40000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = coins(scores)
    counts = torch.histc(found, 20, 0, 1)
    assert float(((counts - 2000).square() / 2000).sum()) < 44  # the 0.1% point of chi-squared with 19 degrees
    assert torch.equal(coins(scores[7:9] + 1e-9), found[7:9])
    assert abs(float(torch.corrcoef(torch.stack([found, coins(scores, 1)]))[0, 1])) < 0.02
    assert abs(float(torch.corrcoef(torch.stack([found, scores[:, 0]]))[0, 1])) < 0.02


# --- fairlearn's thresholds ---


class Given(BaseEstimator):
    fitted_ = True

    def fit(self, x, y):
        return self

    def predict(self, x):
        return np.asarray(x)[:, 0]


@pytest.mark.parametrize("constraint", ["equalized_odds", "demographic_parity"])
def test_threshold_optimizer_decides_with_the_probabilities_of_fairlearn(constraint):
    scores, labels, group = problem(2000)
    margins = (scores.decision[:, 1] - scores.decision[:, 0]).numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = Reference(
            estimator=Given(),
            constraints=constraint,
            objective="balanced_accuracy_score",
            prefit=True,
            predict_method="predict",
        ).fit(margins[:, None], labels.numpy(), sensitive_features=group.numpy())
        expected = reference._pmf_predict(margins[:, None], sensitive_features=group.numpy())[:, 1]
    decided, state = fitted("threshold_optimizer", scores, labels, group, constraint=constraint)
    p = positive_probability(torch.tensor(margins), state["table"][group])
    np.testing.assert_allclose(p.numpy(), expected, atol=1e-12)
    assert torch.equal(decided == 1, p > coins(scores.decision))


def test_threshold_optimizer_leaves_a_group_without_a_class_as_it_was():
    scores, labels, group = problem(600)
    labels = torch.where(group == 2, 0, labels)
    decided, _ = fitted("threshold_optimizer", scores, labels, group)
    assert torch.equal(decided[group == 2], scores.decision.argmax(1)[group == 2])


def test_threshold_optimizer_makes_the_error_rates_agree():
    scores, labels, group = problem(20000)
    assert gap(rates(scores.decision.argmax(1), labels, group)) > 0.3
    assert gap(rates(fitted("threshold_optimizer", scores, labels, group)[0], labels, group)) < 0.04


# --- parity of one rate ---


@pytest.mark.parametrize("tolerance", [0.0, 0.05])
def test_parity_thresholds_make_their_rate_agree_and_no_other(tolerance):
    scores, labels, group = problem(20000)
    found, _ = fitted("demographic_parity", scores, labels, group, tolerance=tolerance)
    selected = torch.tensor([float((found[group == g] == 1).double().mean()) for g in range(3)])
    assert float(selected.max() - selected.min()) <= tolerance + 0.011
    found, _ = fitted("equal_opportunity", scores, labels, group, tolerance=tolerance)
    after = rates(found, labels, group)
    assert gap(after[:, 1:]) <= tolerance + 0.011


@pytest.mark.parametrize("name", ["demographic_parity", "equal_opportunity"])
def test_with_a_tolerance_of_1_or_one_group_a_parity_is_the_best_threshold(name):
    scores, labels, group = problem(3000, groups=1)
    found, _ = fitted(name, scores, labels, group, groups=1, tolerance=0.0)
    r = rates(found, labels, group, 1)[0]
    margins = scores.decision[:, 1] - scores.decision[:, 0]
    tried = [
        rates(margins > t, labels, group, 1)[0]
        for t in torch.quantile(margins, torch.linspace(0.01, 0.99, 99).double())
    ]
    assert float(r[1] - r[0]) >= max(float(t[1] - t[0]) for t in tried) - 0.01


# --- ensembles ---


def test_derived_predictor_by_hand():
    """Two groups; a positive decision is right twice as often in the first. Equal rates leave it the second's."""
    positives, negatives = np.array([[0.0, 10.0], [5.0, 5.0]]), np.array([[10.0, 0.0], [5.0, 5.0]])
    found = derived(positives, negatives, balanced=True)
    # The second group's decisions say nothing: both of its rates are equal, and so must be the first's.
    tpr, fpr = (part * found for part in (positives / 10, negatives / 10))
    np.testing.assert_allclose(tpr.sum(1)[0], tpr.sum(1)[1], atol=1e-9)
    np.testing.assert_allclose(fpr.sum(1)[0], fpr.sum(1)[1], atol=1e-9)
    np.testing.assert_allclose(tpr.sum(1), fpr.sum(1), atol=1e-9)
    # With one group nothing constrains: decide for the majority of each pattern.
    np.testing.assert_allclose(derived(np.array([[1.0, 9.0]]), np.array([[9.0, 1.0]])), [[0.0, 1.0]])


def test_patterns_and_majority_by_hand():
    votes = torch.tensor([[True, False, True], [True, False, False], [False, False, True]])
    assert patterns_of(votes).tolist() == [3, 0, 5]
    assert majority(votes, torch.zeros(3).bool()).tolist() == [True, False, True]
    assert majority(votes[:2], torch.tensor([False, False, True])).tolist() == [True, False, True]


def test_of_one_model_the_three_variants_are_hardts_predictor_as_fairlearn_finds_it():
    scores, labels, group = problem(4000)
    tables = [fitted(name, scores, labels, group)[1]["table"].reshape(3, 2) for name in ENSEMBLES]
    torch.testing.assert_close(tables[0], tables[1])
    torch.testing.assert_close(tables[0], tables[2])
    hard = scores.decision.argmax(1).double().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = Reference(
            estimator=Given(),
            constraints="equalized_odds",
            objective="balanced_accuracy_score",
            prefit=True,
            predict_method="predict",
        ).fit(hard[:, None], labels.numpy(), sensitive_features=group.numpy())
        theirs = reference._pmf_predict(hard[:, None], sensitive_features=group.numpy())[:, 1]
    ours = tables[0][group, torch.tensor(hard).long()].numpy()
    y = labels.numpy()
    value = [p[y == 1].mean() - p[y == 0].mean() for p in (ours, theirs)]
    assert value[0] == pytest.approx(value[1], abs=2e-3)  # fairlearn looks at a grid of 1000 false positive rates


def test_the_joint_variant_errs_least_and_all_three_make_the_rates_agree():
    scores, labels, group = problem(20000, models=3)
    assert gap(rates(scores.decision.argmax(1), labels, group)) > 0.3
    balanced = {}
    for name in ENSEMBLES:
        found = rates(fitted(name, scores, labels, group)[0], labels, group)
        assert gap(found) < 0.05, name
        balanced[name] = float((found[:, 1] - found[:, 0]).mean())
    assert balanced["ensemble_postprocess"] == max(balanced.values())


def test_a_group_without_evidence_keeps_the_majority():
    votes = torch.tensor([[True, False], [True, False], [False, True]])
    rows = (torch.tensor([0, 0]), torch.tensor([0, 0]), torch.ones(2))
    default = torch.tensor([0.0, 0, 0, 1, 0, 1, 1, 1])
    table = fitted_table(patterns_of(votes), default, Rows(*rows), 2, True)
    torch.testing.assert_close(table, default.double().expand(2, 8))
