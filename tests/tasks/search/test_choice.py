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


def close(trial, accuracy, log_loss, error=0.01, **metrics):
    return Standing(
        trial,
        False,
        {"balanced_accuracy": accuracy, "log_loss": log_loss, "objective_error": error, "ece": 0.0, **metrics},
    )


def test_of_trials_too_close_to_tell_apart_the_one_with_the_lowest_log_loss_is_chosen():
    goal = Goal("balanced_accuracy", {"ece": 0.1})
    standings = [
        close(0, 0.805, 0.4), close(1, 0.81, 0.5), close(2, 0.799, 0.3), close(3, 0.82, 0.1, ece=0.2), close(4, 0.806, 0.4)
    ]  # fmt: skip
    chosen = goal.best(standings)
    assert chosen.trial == 4
    assert goal.why(chosen, standings) == (
        "Trial 4 has the lowest log_loss (0.4000) of the 3 trials that keep ece <= 0.1 and whose balanced_accuracy is "
        "within one standard error (0.0100) of the highest (0.8100); its own is 0.8060."
    )
    free = Goal("balanced_accuracy", {})
    assert free.best(standings[:3]).trial == 0
    assert free.why(standings[0], standings[:3]).startswith(
        "Trial 0 has the lowest log_loss (0.4000) of the 2 trials whose"
    )


def test_without_an_error_or_where_no_limit_is_kept_nothing_is_too_close():
    assert (
        Goal("balanced_accuracy", {}).best([close(0, 0.80, 0.1, error=None), close(1, 0.81, 0.5, error=None)]).trial
        == 1
    )
    broken = [close(0, 0.80, 0.1, ece=0.3), close(1, 0.81, 0.5, ece=0.2)]
    assert Goal("balanced_accuracy", {"ece": 0.1}).best(broken).trial == 1


def test_a_calibration_error_that_chance_explains_breaks_no_limit():
    goal = Goal("balanced_accuracy", {"ece": 0.03})
    assert goal.violation({"ece": 0.05, "ece_by_chance": 0.045}) == 0
    assert goal.violation({"ece": 0.05, "ece_by_chance": 0.03}) == pytest.approx((0.04 - 0.03) / 0.03)
    assert goal.violation({"ece": 0.05}) == pytest.approx((0.05 - 0.03) / 0.03)
