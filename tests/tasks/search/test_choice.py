"""What wins: the objective among those that keep the limits, else the least violation; ties are never left to chance."""

import itertools

import pytest

from tasks.search.choice import Goal, Standing

GOAL = Goal("balanced_accuracy", {"ece": 0.1, "equalized_odds_difference": 0.2})


def standing(trial, accuracy, ece=0.05, odds=0.1, baseline=False):
    return Standing(trial, baseline, {"balanced_accuracy": accuracy, "ece": ece, "equalized_odds_difference": odds})


def test_the_highest_objective_among_the_feasible_wins():
    standings = [standing(0, 0.7), standing(1, 0.8), standing(2, 0.95, ece=0.11)]
    assert GOAL.best(standings).trial == 1
    assert GOAL.why(standings[1], standings) == (
        "Trial 1 has the highest balanced_accuracy (0.8000) of the 2 trials that keep ece <= 0.1, "
        "equalized_odds_difference <= 0.2."
    )


def test_the_violation_is_the_sum_of_relative_excesses():
    assert GOAL.violation({"ece": 0.15, "equalized_odds_difference": 0.3}) == pytest.approx(0.5 + 0.5)
    assert GOAL.violation({"ece": 0.1, "equalized_odds_difference": 0.2}) == 0


def test_a_limit_of_zero_is_measured_in_hundredths():
    assert Goal("accuracy", {"ece": 0.0}).violation({"ece": 0.02}) == pytest.approx(2.0)


def test_nothing_feasible_the_least_violation_wins_whatever_its_objective():
    standings = [standing(0, 0.9, ece=0.3), standing(1, 0.6, ece=0.12)]
    assert GOAL.best(standings).trial == 1
    why = GOAL.why(standings[1], standings)
    assert why.startswith("Nothing is feasible")
    assert "ece 0.1200 > 0.1" in why


def test_a_limited_metric_that_cannot_be_told_is_no_pass():
    unknown = standing(0, 0.9, odds=None)
    assert GOAL.violation(unknown.metrics) == 1.0
    assert GOAL.best([unknown, standing(1, 0.6)]).trial == 1
    assert "equalized_odds_difference cannot be told" in GOAL.why(unknown, [unknown])


def test_ties_go_to_a_baseline_then_to_the_lower_trial_in_whatever_order_they_come():
    standings = [standing(3, 0.8), standing(1, 0.8), standing(2, 0.8, baseline=True), standing(0, 0.8, ece=0.2)]
    for order in itertools.permutations(standings):
        assert [s.trial for s in sorted(order, key=GOAL.rank)] == [2, 1, 3, 0]


def test_an_undefined_objective_comes_last():
    assert GOAL.best([standing(0, None), standing(1, 0.1)]).trial == 1


def test_a_failed_trial_is_not_chosen():
    assert GOAL.best([Standing(0, True, None), standing(1, 0.1, ece=0.9)]).trial == 1
