"""Schedules against their papers: what acts when, and what it trains."""

import pytest
import torch

from models.balancing import component
from models.balancing.optimize.max_norm import bound
from models.data import Split
from models.errors import InputError
from models.learners.batches import row_order
from models.learners.learner import Input, Member, Plan
from models.learners.population import Population
from models.learners.torch import MLP, build_net
from models.recipe import parse

torch.set_num_threads(1)

PLAN = Plan(budget=4, batch_size=32, hidden=(8,), patience=10)


def table(rows: int, seed: int) -> Split:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 4, generator=g)
    labels = (x[:, 0] + 0.3 * torch.randn(rows, generator=g) > 0.9).long()
    groups = (torch.rand(rows, generator=g) < 0.2).long()
    ones, empty = torch.ones(rows), torch.zeros(rows, 0, dtype=torch.long)
    return Split(x, empty, labels, groups, ones, torch.arange(rows), ones < 0, 2, 2)


def population(spec):
    recipe = parse(spec)
    member = Member({"learning_rate": 3e-3, "weight_decay": 0.01}, 10)
    architecture = MLP().architecture(recipe, Input(4), 2, PLAN)
    made = Population(recipe, [member], [build_net(architecture, 10)], table(320, 0), table(160, 1), PLAN)
    made.architecture = architecture
    return made


def trained(made):
    return {k: v.detach().clone() for k, v in made.weights.views.items()}


def test_weight_balancing_bounds_a_classifier_that_alone_goes_on_learning():
    made = population({"schedule": {"weight_balancing": {"start": 0.5, "share": 0.25}}})
    made.run_epoch()
    made.run_epoch()
    before = trained(made)
    assert made.active.loss.name == "none"
    made.run_epoch()
    after = trained(made)
    assert (made.active.loss.name, made.active.optimize.name) == ("class_balanced", "max_norm")
    assert all(torch.equal(after[k], before[k]) for k in before if not k.startswith("classifier."))
    limit = bound(before["classifier.weight"][0], 0.25)
    assert after["classifier.weight"].norm(dim=-1).max() <= limit + 1e-6
    assert before["classifier.weight"].norm(dim=-1).max() > limit


def test_two_phase_training_draws_classes_alike_first_and_leaves_the_last_layer_to_the_rows_as_they_are():
    made = population({"schedule": {"two_phase": {"start": 0.5}}})
    made.run_epoch()
    labels = made.train.labels[row_order(made, 50, 32)[0]].float().mean()
    assert labels.item() == pytest.approx(0.5, abs=0.05)
    made.run_epoch()
    before = trained(made)
    made.run_epoch()
    after = trained(made)
    assert made.active.sample is None
    assert all(torch.equal(after[k], before[k]) is not k.startswith("classifier.") for k in before)


def test_methods_that_change_class_weights_refuse_a_head_without_them():
    for name in ("max_norm", "weight_balancing", "multiplicative_adjustment"):
        with pytest.raises(InputError, match="needs a linear classifier, and head 'cosine' makes another"):
            parse({component(name).slot: name, "head": "cosine"})
    assert parse({"regularize": "feature_norm", "head": "fixed_simplex", "adjust": "multiplicative_adjustment"}).head
