"""What may be averaged with the chosen trial: other learners, trained with the same methods."""

from models.recipe import competitors
from tasks.search.campaign import Record, Result, Trial
from tasks.search.choice import Goal
from tasks.search.companions import companions_of
from tasks.search.space import Pair

GOAL = Goal("balanced_accuracy", {})
RECIPES = competitors(["weighted_ce", "temperature_prior_threshold", "tau_normalization", "random_over"])


def record(number, recipe, learner, log_loss):
    trial = Trial(number, Pair(RECIPES[recipe], learner), {}, number, 0, False)
    return Record(trial, [(1, Result({"log_loss": log_loss}))], "finished")


def test_the_best_of_every_other_learner_that_trained_alike():
    chosen = record(0, "prior_threshold", "trees", 0.3)
    candidates = [
        chosen, record(1, "none", "mlp", 0.5), record(2, "temperature_prior_threshold", "mlp", 0.4),
        record(3, "none", "tabm", 0.3), record(4, "none", "trees", 0.1), record(5, "weighted_ce", "mlp", 0.1),
        record(6, "random_over", "mlp", 0.1), record(7, "none", "mlp", None),
    ]  # fmt: skip
    assert [r.trial.id for r in companions_of(chosen, candidates, GOAL)] == [3, 2]


def test_weights_that_are_changed_after_training_are_not_averaged():
    chosen = record(0, "none", "trees", 0.3)
    assert companions_of(chosen, [chosen, record(1, "tau_normalization", "mlp", 0.1)], GOAL) == []
