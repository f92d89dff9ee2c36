"""Figures with their evidence: small groups are never dropped, never zero, and never look certain."""

import numpy as np
import pytest

from models.metrics.fairness import Evidence
from models.metrics.figures import Terms, class_figures, group_figures, overall_figures
from models.metrics.gaps import gap_figures, worst
from models.metrics.names import BY_GROUP, OVERALL
from models.metrics.scored import Grouping, Scored, intersection

CLASSES = ("good", "bad")
TERMS = Terms(draws=100, evidence=Evidence(rows=20, per_class=5))


def scored(labels, decisions):
    d = np.asarray(decisions)
    p = np.where(d == 1, 0.8, 0.2) + np.linspace(-0.1, 0.1, len(d))
    return Scored.of(labels, decisions, np.column_stack([1 - p, p]))


def rows_of(*groups):
    """Labels, decisions and group names from (name, TP, FN, FP, TN) per group."""
    labels, decisions, names = [], [], []
    for name, tp, fn, fp, tn in groups:
        labels += [1] * (tp + fn) + [0] * (fp + tn)
        decisions += [1] * tp + [0] * fn + [1] * fp + [0] * tn
        names += [name] * (tp + fn + fp + tn)
    return scored(labels, decisions), names


def test_a_declared_group_without_rows_has_its_place():
    found, names = rows_of(("A", 20, 10, 10, 60), ("B", 20, 10, 10, 60))
    grouping = Grouping.of("race", names, ("A", "B", "C"))
    groups = group_figures(found, CLASSES, grouping, TERMS)
    assert tuple(groups) == ("A", "B", "C")
    assert (groups["C"].rows, groups["C"].per_class, groups["C"].evidence) == (0, (0, 0), "insufficient")
    assert groups["C"].why == "0 rows, needs 20"
    assert all(figure.value is None and figure.low is None for figure in groups["C"].metrics.values())
    for name, gap in gap_figures(found, CLASSES, grouping, TERMS).items():
        assert gap.evidence == "partial", name
        assert gap.used == ("A", "B")
        assert gap.insufficient == {"C": "0 rows, needs 20"}


def test_a_group_that_was_not_declared_is_not_lost():
    found, names = rows_of(("A", 20, 10, 10, 60), ("missing", 20, 10, 10, 60))
    grouping = Grouping.of("race", names, ("A",))
    assert grouping.groups == ("A", "missing")
    assert group_figures(found, CLASSES, grouping, TERMS)["missing"].rows == 100


def test_a_small_selected_minority_does_not_disappear_behind_equal_majorities():
    # Two groups without any selection, and one member of a third who is selected: 0 with [0, 0] would be the wrong answer.
    found, names = rows_of(("A", 0, 6, 0, 24), ("B", 0, 6, 0, 24), ("C", 0, 0, 1, 0))
    gap = gap_figures(found, CLASSES, Grouping.of("race", names, "ABC"), TERMS)["demographic_parity_difference"]
    assert gap.value == 0
    assert gap.high > 0.1
    assert gap.evidence == "partial"
    assert gap.insufficient == {"C": "1 row, needs 20"}


def test_a_group_without_positives_leaves_the_odds_undecided():
    found, names = rows_of(("A", 20, 10, 10, 60), ("B", 0, 0, 10, 90))
    gaps = gap_figures(found, CLASSES, Grouping.of("sex", names, ("A", "B")), TERMS)
    for name in ("equal_opportunity_difference", "equalized_odds_difference", "equalized_odds_ratio"):
        assert (gaps[name].value, gaps[name].low, gaps[name].high) == (None, None, None)
        assert gaps[name].evidence == "insufficient"
        assert gaps[name].insufficient == {"B": "0 rows of class 'bad', needs 5"}
    assert gaps["demographic_parity_difference"].evidence == "sufficient"


def test_every_rate_of_zero_is_no_ratio():
    found, names = rows_of(("A", 0, 30, 0, 70), ("B", 0, 30, 0, 70))
    gap = gap_figures(found, CLASSES, Grouping.of("sex", names, ("A", "B")), TERMS)["demographic_parity_ratio"]
    assert gap.value is None
    assert "0 / 0" in gap.note


def test_a_figure_needs_only_the_rows_that_it_is_made_of():
    found, names = rows_of(("A", 2, 1, 10, 60), ("B", 20, 10, 10, 60))
    group = group_figures(found, CLASSES, Grouping.of("sex", names, ("A", "B")), TERMS)["A"]
    assert group.evidence == "insufficient"
    assert group.why == "3 rows of class 'bad', needs 5"
    assert group.metrics["accuracy"].value == pytest.approx(62 / 73)
    assert group.metrics["false_positive_rate"].value == pytest.approx(10 / 70)
    assert group.metrics["selection_rate"].rows == 73
    for name in ("true_positive_rate", "balanced_accuracy", "roc_auc"):
        assert group.metrics[name].value is None, name
        assert group.metrics[name].evidence == "insufficient"
    assert group.metrics["true_positive_rate"].note == "3 rows to take this share of, needs 5"


def test_group_rates_by_hand():
    found, names = rows_of(("A", 20, 10, 15, 55), ("B", 12, 18, 7, 63))
    group = group_figures(found, CLASSES, Grouping.of("sex", names, ("A", "B")), TERMS)["A"].metrics
    values = {name: group[name].value for name in ("base_rate", "selection_rate", "true_positive_rate", "precision")}
    assert values == pytest.approx(
        {"base_rate": 0.3, "selection_rate": 0.35, "true_positive_rate": 2 / 3, "precision": 20 / 35}
    )
    gaps = gap_figures(found, CLASSES, Grouping.of("sex", names, ("A", "B")), TERMS)
    assert gaps["equalized_odds_difference"].value == pytest.approx(20 / 30 - 12 / 30)
    assert gaps["demographic_parity_ratio"].value == pytest.approx(0.19 / 0.35)
    assert gaps["worst_group_accuracy"].value == pytest.approx(0.75)


def test_several_classes_are_compared_one_by_one():
    rng = np.random.default_rng(0)
    labels, p = rng.integers(0, 3, 600), rng.dirichlet(np.ones(3), 600)
    found = Scored.of(labels, p.argmax(1), p)
    grouping = Grouping("g", ("a", "b"), rng.integers(0, 2, 600))
    group = group_figures(found, ("x", "y", "z"), grouping, TERMS)["a"]
    inside = grouping.ids == 0
    for c, rates in enumerate(group.by_class):
        assert rates["selection_rate"].value == pytest.approx((found.decisions[inside] == c).mean())
    assert "selection_rate" not in group.metrics
    rare = Scored.of(np.where((labels == 2) & (grouping.ids == 1), 0, labels), found.decisions, p)
    gap = gap_figures(rare, ("x", "y", "z"), grouping, TERMS)["equal_opportunity_difference"]
    assert gap.evidence == "partial"
    assert gap.insufficient == {"b": "0 rows of class 'z', needs 5"}


def test_overall_figures_keep_their_value_and_say_that_rows_are_few():
    found, _ = rows_of(("A", 4, 2, 1, 5))
    figures = overall_figures(found, CLASSES, TERMS)
    assert tuple(figures) == OVERALL
    assert {figure.evidence for figure in figures.values()} == {"insufficient"}
    assert figures["accuracy"].value == 0.75
    assert figures["accuracy"].note == "12 rows, needs 20"


def test_figures_do_not_depend_on_which_others_are_asked_for():
    found, _ = rows_of(("A", 20, 10, 15, 55))
    together = overall_figures(found, CLASSES, TERMS)
    assert all(overall_figures(found, CLASSES, TERMS, [name])[name] == together[name] for name in OVERALL)


def test_by_class():
    found, _ = rows_of(("A", 20, 10, 15, 55))
    figures = class_figures(found, CLASSES, TERMS)
    assert figures["bad"]["recall"].value == pytest.approx(2 / 3)
    assert figures["bad"]["precision"].rows == 35
    assert figures["good"]["f1"].value == pytest.approx(110 / 135)
    never = class_figures(scored([1] * 30 + [0] * 30, [0] * 60), CLASSES, TERMS)["bad"]
    assert never["precision"].value is None
    assert never["precision"].evidence == "insufficient"
    assert (never["recall"].value, never["recall"].low) == (0, 0)
    assert never["recall"].high > 0.1


def test_intersections_hold_every_combination():
    sex, race = Grouping("sex", ("F", "M"), np.array([0, 1, 1])), Grouping("race", ("A", "B"), np.array([0, 0, 1]))
    both = intersection([sex, race])
    assert both.name == "sex & race"
    assert both.groups == ("F & A", "F & B", "M & A", "M & B")
    assert both.counts.tolist() == [1, 0, 1, 1]


def test_the_worst_attribute():
    found, names = rows_of(("A", 20, 10, 10, 60), ("B", 10, 20, 10, 60))
    by = {
        "sex": Grouping.of("sex", names, ("A", "B")),
        "dull": Grouping("dull", ("x", "y"), np.arange(len(names)) % 2),
        "empty": Grouping("empty", ("x",), np.zeros(len(names), dtype=np.int64)),
    }
    gaps = {name: gap_figures(found, CLASSES, grouping, TERMS) for name, grouping in by.items()}
    name = "equal_opportunity_difference"
    assert worst(name, {attribute: figures[name] for attribute, figures in gaps.items()}) == "sex"
    assert worst(name, {"empty": gaps["empty"][name]}) is None


@pytest.mark.parametrize("seed", range(10))
def test_no_interval_is_a_point_and_each_holds_its_value(seed):
    rng = np.random.default_rng(seed)
    labels = np.r_[np.ones(12, dtype=int), rng.integers(0, 2, 200)]
    decisions = np.where(rng.random(212) < rng.choice([0.7, 1.0]), labels, 0)
    found, grouping = scored(labels, decisions), Grouping("g", ("a", "b", "c"), rng.choice(3, 212, p=[0.6, 0.3, 0.1]))
    figures = [*overall_figures(found, CLASSES, TERMS).values()]
    figures += [
        figure for group in group_figures(found, CLASSES, grouping, TERMS).values() for figure in group.metrics.values()
    ]
    gaps = gap_figures(found, CLASSES, grouping, TERMS)
    assert tuple(sorted(gaps)) == tuple(sorted(BY_GROUP))
    for figure in (*figures, *gaps.values()):
        if figure.value is not None:
            assert figure.low <= figure.value <= figure.high
            assert figure.low < figure.high
