"""Populations that pause, shrink and go on: who is left is bit for bit who was never interrupted."""

import dataclasses

import pytest
import torch

from models.learners.learner import Input, Member, Plan, TimeIsUp
from models.learners.torch import MLP
from models.recipe import parse
from tests.models.learners.rows import table

torch.set_num_threads(1)

TRAIN, VALID = table(600, 0), table(200, 1)
PLAN = Plan(budget=4, batch_size=64, hidden=(16,), patience=10)
PAUSED, LEFT = dataclasses.replace(PLAN, until=2), dataclasses.replace(PLAN, kept={2: (0, 2)})
RECIPES = ["none", "focal_mixup", "ldam_drw", "crt_mixup", "group_dro_class_balanced_sampling", "wise_ft"]


def fit(recipe, plan, **options):
    values = {k: r.default for k, r in parse(recipe).space().items()}
    chosen = [
        Member({"learning_rate": 2e-3 * (i + 1), "weight_decay": 0.01, "dropout": 0.1 * i, **values}, 10 + i)
        for i in range(3)
    ]
    return MLP().fit(parse(recipe), chosen, TRAIN, VALID, Input(4, (3,)), plan, **options)


def same(one, other):
    assert one.history == other.history
    assert torch.equal(one.model.logits(VALID), other.model.logits(VALID))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_member_that_goes_on_is_the_one_that_was_trained_straight_through(recipe):
    pauses, saved = [], {}
    straight = fit(recipe, PLAN)
    on_the_way = fit(recipe, dataclasses.replace(PAUSED, on_pause=pauses.append))
    assert [outcome.history for outcome in on_the_way] == [outcome.history[:2] for outcome in straight]
    gone_on = fit(recipe, LEFT, resume=pauses[0], on_epoch=lambda epoch, make: saved.setdefault(epoch, make()))
    assert list(saved) == [3, 4]
    killed = fit(recipe, LEFT, resume=saved[3])
    for member in (0, 2):
        same(gone_on[member], straight[member])
        same(killed[member], straight[member])
    assert gone_on[1].model is None


def test_without_the_checkpoint_the_same_comes_out_from_the_start():
    pauses = []
    fit("focal_mixup", dataclasses.replace(PAUSED, on_pause=pauses.append))
    going_on, anew = fit("focal_mixup", LEFT, resume=pauses[0]), fit("focal_mixup", LEFT)
    in_small = fit("focal_mixup", dataclasses.replace(LEFT, together=2), resume=pauses[0])
    for member in (0, 2):
        same(going_on[member], anew[member])
        torch.testing.assert_close(in_small[member].history, anew[member].history, rtol=1e-4, atol=1e-4)


def test_what_a_pause_gives_is_each_members_best_so_far_and_changes_nothing_of_what_follows():
    def over(epoch, _make):
        if epoch == 2:
            raise TimeIsUp

    pauses, again = [], []
    paused = fit("ldam_drw", dataclasses.replace(PAUSED, on_pause=pauses.append))
    for one, other in zip(paused, fit("ldam_drw", PLAN, on_epoch=over), strict=True):
        same(one, other)
        assert (one.stopped, other.stopped, one.budget_used) == (False, True, 2)
    # A second rung after which only one is left, and a third to the end.
    second = dataclasses.replace(PLAN, until=3, kept={2: (0, 2)}, on_pause=again.append)
    fit("ldam_drw", second, resume=pauses[0])
    last = fit("ldam_drw", dataclasses.replace(PLAN, kept={2: (0, 2), 3: (2,)}), resume=again[0])
    same(last[2], fit("ldam_drw", PLAN)[2])
    assert [outcome.model is None for outcome in last] == [True, True, False]


def test_nobody_is_asked_to_keep_what_the_time_ended():
    def over(_epoch, _make):
        raise TimeIsUp

    pauses = []
    stopped = fit("none", dataclasses.replace(PAUSED, on_pause=pauses.append), on_epoch=over)
    assert all(outcome.stopped for outcome in stopped)
    assert not pauses
