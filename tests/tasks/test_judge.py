"""The gate as a pure function: it decides in every case, and the default policy refuses models that deserve it."""

import itertools

import numpy as np
import pytest

from models.errors import InputError
from models.metrics.fairness import Evidence
from models.metrics.figures import Terms
from models.metrics.names import BY_GROUP, BY_NAME, METRICS
from models.metrics.scored import Grouping, Scored
from tasks.judge import Unfit, judge, suited
from tasks.judging import Scores, terms_of
from tasks.params import Gates, Rule, load_params

TERMS = Terms(draws=100, evidence=Evidence(rows=50, per_class=10))


def logistic(x):
    return 1 / (1 + np.exp(-x))


def population(rows=9000, seed=0):
    """Labels with 6% positives, their odds as a good model knows them, and two attributes, one with a small group."""
    rng = np.random.default_rng(seed)
    sex, region = rng.integers(0, 2, rows), rng.choice(3, rows, p=[0.6, 0.37, 0.03])
    odds = -3.9 + 1.9 * rng.normal(size=rows) + 0.2 * sex
    labels = (rng.random(rows) < logistic(odds)).astype(int)
    groupings = (Grouping("sex", ("F", "M"), sex), Grouping("region", ("north", "south", "islands"), region))
    return labels, odds, groupings


def scores(labels, p, decisions, groupings):
    p = np.asarray(p, dtype=float)
    return Scores(
        Scored.of(labels, np.asarray(decisions, dtype=int), np.column_stack([1 - p, p])), ("no", "yes"), groupings
    )


def good(rows=9000, seed=0, blur=0.0):
    labels, odds, groupings = population(rows, seed)
    blurred = odds + blur * np.random.default_rng([seed, 1]).normal(size=rows)
    return scores(labels, logistic(blurred), logistic(blurred) > labels.mean(), groupings)


def constant():
    """Says 'no' to everyone, with the base rate as its probability: accurate, calibrated, and fair by every gap."""
    labels, _, groupings = population()
    return scores(labels, np.full(len(labels), labels.mean()), np.zeros(len(labels)), groupings)


def unfair():
    """Bought balanced accuracy with a far lower threshold for one sex, and so a gap between the groups."""
    labels, odds, groupings = population()
    p = logistic(odds)
    thresholds = np.where(groupings[0].ids == 1, 0.02, 0.15)
    return scores(labels, p, p > thresholds, groupings)


def miscalibrated():
    """What reweighting leaves behind without recalibration: the good one's ranking with probabilities far too high."""
    labels, odds, groupings = population()
    return scores(labels, logistic(odds + 2.75), logistic(odds) > labels.mean(), groupings)


def policy(*rules, **settings):
    return Gates.model_validate({"rules": rules, **settings})


def rule(metric="accuracy", **limit):
    return {"metric": metric, **limit}


@pytest.fixture(scope="module")
def default(repository):
    """The policy and the terms that a user gets."""
    params = load_params(repository / "params.yaml")
    return suited(params.gates, "binary")[0], terms_of(
        params.evaluate.model_copy(update={"bootstrap": 200}), params.seed
    )


def failed(verdict):
    return {(o.rule.metric, o.attribute) for o in verdict.outcomes if o.outcome == "fail"}


@pytest.mark.parametrize("champion", [None, "good"])
def test_the_default_policy_lets_a_good_model_through(default, champion):
    verdict = judge(good(blur=0.1), good() if champion else None, *default)
    assert verdict.verdict == "pass", verdict.summary


@pytest.mark.parametrize("champion", [None, "good"])
@pytest.mark.parametrize(
    ("candidate", "reasons"),
    [
        (constant, {("balanced_accuracy", None), ("worst_class_recall", None), ("roc_auc", None)}),
        (unfair, {("equalized_odds_difference", "sex")}),
        (miscalibrated, {("ece", None)}),
    ],
)
def test_the_default_policy_refuses_planted_bad_models(default, candidate, reasons, champion):
    verdict = judge(candidate(), good() if champion else None, *default)
    assert verdict.verdict == "fail"
    assert reasons <= failed(verdict)
    assert all(BY_NAME[metric].title in verdict.summary for metric, _ in reasons)


def test_the_planted_models_are_as_good_as_they_look_by_one_figure_alone():
    # Each of them would get through a policy that looks at one side only.
    labels, odds, groupings = population()
    unbalanced = scores(labels, logistic(odds), logistic(odds) > 0.5, groupings)
    found = judge(unfair(), unbalanced, policy(rule("balanced_accuracy", worse_by_at_most=0.0)), TERMS)
    assert found.verdict == "pass"
    assert found.outcomes[0].difference.low > 0.05, "it is more balanced, beyond doubt"
    found = judge(constant(), good(), policy(rule(at_least=0.9), rule("ece", at_most=0.01)), TERMS)
    assert found.verdict == "pass"
    found = judge(miscalibrated(), good(), policy(rule("roc_auc", worse_by_at_most=0.0)), TERMS)
    assert found.verdict == "pass"


def test_a_policy_without_rules_is_refused():
    with pytest.raises(InputError, match="no rules"):
        judge(good(500), None, Gates.model_construct(rules=(), insufficient_evidence="warn"), TERMS)


def test_the_first_model_is_judged_by_absolute_rules():
    rules = (rule("accuracy", at_least=0.5), rule("roc_auc", worse_by_at_most=0.01))
    verdict = judge(good(2000), None, policy(*rules), TERMS)
    assert verdict.verdict == "pass"
    assert [o.applies for o in verdict.outcomes] == [True, False]
    assert "first model" in verdict.outcomes[1].why
    assert "first model" in verdict.summary
    assert verdict.summary.startswith("The one rule passed; 1 more compares with a champion")
    assert judge(good(2000), None, policy(rule(at_least=0.99), rules[1]), TERMS).verdict == "fail"
    assert judge(good(2000), None, policy(rules[1]), TERMS).verdict == "pass"


def test_a_champion_that_does_not_fit_leaves_no_evidence_and_a_verdict():
    gone = Unfit("It needs the column 'income'.")
    rules = (rule("accuracy", at_least=0.5), rule("roc_auc", worse_by_at_most=0.01))
    verdict = judge(good(2000), gone, policy(*rules), TERMS)
    assert [o.outcome for o in verdict.outcomes] == ["pass", "insufficient evidence"]
    assert "needs the column 'income'" in verdict.outcomes[1].why
    assert verdict.verdict == "pass"
    assert (
        judge(good(2000), gone, policy(*rules, insufficient_evidence="fail"), TERMS).verdict == "insufficient evidence"
    )
    # With nothing else to go by, a champion that cannot be compared is not outvoted by silence.
    assert judge(good(2000), gone, policy(rules[1]), TERMS).verdict == "insufficient evidence"


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("champion", [None, "unfit", "good"])
@pytest.mark.parametrize("kind", ["good", "constant", "one class", "one row", "no attributes"])
def test_there_is_a_verdict_in_every_case(metric, champion, kind):
    found = {"good": lambda: good(300), "constant": constant}.get(kind, lambda: good(300))()
    if kind in ("one class", "one row"):
        rows = np.flatnonzero(found.scored.labels == 0) if kind == "one class" else np.array([0])
        groupings = tuple(Grouping(g.name, g.groups, g.ids[rows]) for g in found.groupings)
        found = Scores(found.scored.take(rows), found.classes, groupings)
    if kind == "no attributes":
        found = Scores(found.scored, found.classes)
    others = {None: None, "unfit": Unfit("Its classes differ."), "good": found}
    terms = Terms(draws=50, evidence=Evidence(50, 10))
    for limit, by in itertools.product(("at_least", "at_most", "worse_by_at_most"), ("estimate", "interval")):
        verdict = judge(found, others[champion], policy({"metric": metric, limit: 0.3, "judge_by": by}), terms)
        assert verdict.verdict in ("pass", "fail", "insufficient evidence")
        assert verdict.summary.endswith(".")
        assert verdict.outcomes
        assert all(o.why.endswith(".") for o in verdict.outcomes)
        if kind == "one row" and (limit != "worse_by_at_most" or champion is not None):
            assert verdict.verdict == "insufficient evidence"


def test_few_rows_are_insufficient_evidence_not_a_verdict():
    verdict = judge(good(40), None, policy(rule(at_least=0.1)), TERMS)
    assert verdict.verdict == "insufficient evidence"
    assert "40 rows, needs 50" in verdict.outcomes[0].why
    assert verdict.outcomes[0].figure.value is not None, "it is shown all the same"


def test_a_small_group_is_named_and_keeps_a_rule_from_passing_in_full():
    labels, odds, _ = population(2000)
    p = logistic(odds)
    race = Grouping("race", ("A", "B", "C", "D"), np.r_[np.full(12, 2), np.arange(1988) % 2])
    found = scores(labels, p, p > labels.mean(), (race,))
    verdict = judge(found, None, policy(rule("worst_group_accuracy", at_least=0.3), rule(at_least=0.3)), TERMS)
    outcome = verdict.outcomes[0]
    assert outcome.outcome == "insufficient evidence"
    assert outcome.held
    assert "C: 12 rows, needs 50" in outcome.why
    assert "D: 0 rows, needs 50" in outcome.why
    assert verdict.verdict == "pass"
    assert "Worst-group accuracy by race" in verdict.summary
    alone = policy(rule("worst_group_accuracy", at_least=0.3), insufficient_evidence="fail")
    assert judge(found, None, alone, TERMS).verdict == "insufficient evidence"
    # What can be judged and breaks the limit is a failure, whatever is missing.
    assert judge(found, None, policy(rule("worst_group_accuracy", at_least=0.999)), TERMS).verdict == "fail"


def test_rules_on_groups_are_judged_for_each_attribute_or_the_named_one():
    found = good(3000)
    verdict = judge(found, None, policy(rule("demographic_parity_difference", at_most=0.9)), TERMS)
    assert [o.attribute for o in verdict.outcomes] == ["sex", "region"]
    verdict = judge(found, None, policy(rule("demographic_parity_difference", at_most=0.9, attribute="sex")), TERMS)
    assert [o.attribute for o in verdict.outcomes] == ["sex"]
    both = policy(rule("demographic_parity_difference", at_most=0.9, attribute="sex & region"))
    assert [o.attribute for o in judge(found, None, both, TERMS).outcomes] == ["sex & region"]
    wrong = policy(rule("demographic_parity_difference", at_most=0.9, attribute="sexx"))
    with pytest.raises(InputError, match=r"'sexx' is no sensitive attribute.*'sex'"):
        judge(found, None, wrong, TERMS)


def test_without_attributes_a_rule_on_groups_lacks_evidence():
    found = Scores(good(2000).scored, ("no", "yes"))
    verdict = judge(found, None, policy(rule("equalized_odds_difference", at_most=0.1), rule(at_least=0.1)), TERMS)
    assert verdict.outcomes[0].outcome == "insufficient evidence"
    assert "no sensitive attribute" in verdict.outcomes[0].why
    assert verdict.verdict == "pass"


def test_the_interval_is_judged_where_the_rule_says_so():
    found = good(600)
    value = judge(found, None, policy(rule(at_least=0.0)), TERMS).outcomes[0].figure
    between = (value.value + value.low) / 2
    assert judge(found, None, policy(rule(at_least=between)), TERMS).verdict == "pass"
    strict = judge(found, None, policy(rule(at_least=between, judge_by="interval")), TERMS)
    assert strict.verdict == "fail"
    assert "of the whole interval" in strict.outcomes[0].why
    above = (value.value + value.high) / 2
    assert judge(found, None, policy(rule(at_most=above)), TERMS).verdict == "pass"
    assert judge(found, None, policy(rule(at_most=above, judge_by="interval")), TERMS).verdict == "fail"


def decided(labels, wrong):
    """Decisions that are wrong for the first so many rows of each class."""
    decisions = labels.copy()
    for c in (0, 1):
        decisions[np.flatnonzero(labels == c)[:wrong]] = 1 - c
    return decisions


def test_against_the_champion_the_direction_of_the_metric_counts():
    labels = np.r_[np.ones(200, dtype=int), np.zeros(200, dtype=int)]
    p = np.linspace(0.99, 0.01, 400)
    better, worse = (scores(labels, p, decided(labels, n), ()) for n in (10, 20))
    up = policy(rule("accuracy", worse_by_at_most=0.04))
    assert judge(worse, better, up, TERMS).verdict == "fail"
    assert judge(better, worse, up, TERMS).verdict == "pass"
    outcome = judge(worse, better, up, TERMS).outcomes[0]
    assert outcome.difference.value == pytest.approx(-0.05)
    assert outcome.champion_value == pytest.approx(0.95)
    assert outcome.difference.low < -0.05 < outcome.difference.high < 0
    sharp, blunt = (
        scores(labels, q, labels, ()) for q in (np.where(labels == 1, 0.9, 0.1), np.where(labels == 1, 0.7, 0.3))
    )
    down = policy(rule("brier", worse_by_at_most=0.05))
    assert judge(blunt, sharp, down, TERMS).verdict == "fail"
    assert judge(sharp, blunt, down, TERMS).verdict == "pass"


def test_a_limit_met_exactly_is_kept():
    labels = np.r_[np.ones(100, dtype=int), np.zeros(100, dtype=int)]
    p = np.linspace(0.99, 0.01, 200)
    first, second = (scores(labels, p, decided(labels, n), ()) for n in (15, 10))
    assert judge(first, second, policy(rule(worse_by_at_most=0.05)), TERMS).verdict == "pass"
    assert judge(first, None, policy(rule(at_least=0.85)), TERMS).verdict == "pass"


def test_the_same_model_again_is_never_worse():
    found = good(1500)
    rules = [rule(metric, worse_by_at_most=0.0, judge_by="interval") for metric in METRICS]
    verdict = judge(found, found, policy(*rules), TERMS)
    assert {o.outcome for o in verdict.outcomes} <= {"pass", "insufficient evidence"}
    assert failed(verdict) == set()


def test_the_same_arguments_give_the_same_verdict():
    rules = [rule(metric, worse_by_at_most=0.02) for metric in METRICS]
    first, second = (judge(good(800), good(800, blur=0.4), policy(*rules), TERMS) for _ in range(2))
    assert first == second


def test_champion_and_candidate_must_be_of_the_same_rows():
    with pytest.raises(ValueError, match="same rows"):
        judge(good(500, seed=0), good(500, seed=1), policy(rule(worse_by_at_most=0.1)), TERMS)


def test_several_classes():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 900)
    p = rng.dirichlet(np.ones(3), 900)
    p[np.arange(900), labels] += 0.4
    p /= p.sum(1, keepdims=True)
    found = Scores(
        Scored.of(labels, p.argmax(1), p), ("x", "y", "z"), (Grouping("g", ("a", "b"), rng.integers(0, 2, 900)),)
    )
    rules = [rule(metric, at_least=0.0) for metric in METRICS] + [
        rule(metric, worse_by_at_most=1.0) for metric in METRICS
    ]
    verdict = judge(found, found, policy(*rules), TERMS)
    assert {o.outcome for o in verdict.outcomes} == {"pass"}
    assert all((o.attribute == "g") == (o.rule.metric in BY_GROUP) for o in verdict.outcomes)
    assert isinstance(verdict.outcomes[0].rule, Rule)
