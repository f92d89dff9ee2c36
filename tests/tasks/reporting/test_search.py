"""What the search came to, in words: what the chosen recipe earns, and what the limits cost."""

from typing import Any

from tasks.reporting.search import search_view


def trial(number: int, recipe: str, value: float, violation: float, width: float = 0.02) -> dict[str, Any]:
    metrics = {
        "balanced_accuracy": value, "objective_low": value - width, "objective_high": value + width,
        "equalized_odds_difference": 0.15 * (1 + violation),
    }  # fmt: skip
    return {
        "trial": number, "recipe": recipe, "learner": "trees", "values": {}, "status": "finished", "metrics": metrics,
        "feasible": violation == 0, "violation": violation,
    }  # fmt: skip


def earned(*trials: dict[str, Any]) -> str:
    objective = {"maximize": "balanced_accuracy", "subject_to": {"equalized_odds_difference": 0.15}}
    chosen = min(trials, key=lambda t: (t["violation"], -t["metrics"]["balanced_accuracy"]))
    choice = {"trial": chosen["trial"], "recipe": chosen["recipe"], "learner": "trees", "feasible": True}
    return search_view({"objective": objective, "trials": list(trials)}, choice).earned


def test_where_doing_nothing_wins_within_the_limits_the_price_of_the_limits_is_said():
    said = earned(trial(0, "none", 0.5, 0.0), trial(1, "prior_threshold", 0.74, 0.538))
    assert "no balancing did better within the limits" in said
    assert "beyond them prior_threshold with trees reaches 0.740 (53.8% over)" in said


def test_limits_that_cost_nothing_beyond_chance_have_no_price():
    assert "price" not in earned(trial(0, "none", 0.72, 0.0), trial(1, "prior_threshold", 0.73, 0.5))
    assert "price" not in earned(trial(0, "none", 0.5, 0.0), trial(1, "ldam_drw", 0.74, 0.0))
