"""Weights averaged: by the formulas, from one anchor, and never worse than promised."""

import dataclasses

import pytest
import torch

from models.balancing.adjust.model_soups import GreedySoup, greedy_soup
from models.balancing.adjust.weight_interpolation import WiseFT, interpolated
from models.data import Split
from models.errors import InputError
from models.learners import branching
from models.learners.branching import flat, plain_loss, with_weights
from models.learners.learner import Input, Member, Plan
from models.learners.torch import MLP, ResNet32, TabM
from models.recipe import parse

torch.set_num_threads(1)
PLAN = Plan(budget=6, batch_size=32, hidden=(8,), patience=10)
MEMBERS = [
    Member({"learning_rate": 4e-3, "weight_decay": 0.01}, 1),
    Member({"learning_rate": 8e-3, "weight_decay": 0.01}, 2),
]


def table(rows, seed=0):
    g = torch.Generator().manual_seed(seed)
    x, c = torch.randn(rows, 4, generator=g), torch.randint(0, 3, (rows, 1), generator=g)
    labels = (x[:, 0] + x[:, 1] + 0.5 * torch.randn(rows, generator=g) > 0.8).long()
    none = torch.zeros(rows, dtype=torch.bool)
    return Split(x, c, labels, labels * 0, torch.ones(rows), torch.arange(rows), none, 2, 1)


TRAIN, VALID = table(240), table(120, 1)


def fit(recipe, members=MEMBERS, learner=None, **options):
    found = (learner or MLP()).fit(parse(recipe), members, TRAIN, VALID, Input(4, (3,)), PLAN, **options)
    assert [o.error for o in found] == [None] * len(members)
    return found


def weights(outcome):
    return flat({k: v for k, v in outcome.model.tensors().items() if v.is_floating_point()})


def test_a_greedy_soup_takes_in_what_does_not_make_it_worse():
    ingredients = torch.tensor([[3.0, 0.0], [-1.0, 0.0], [-2.0, 0.0], [9.0, 9.0]])

    def judge(weights):
        return float(weights.norm())

    # -1 is the best; with -2 the mean is worse; with 3 it is (-1 + 3) / 2 = 1, as good; 9 makes it worse.
    torch.testing.assert_close(greedy_soup(ingredients, judge), torch.tensor([1.0, 0.0]))
    torch.testing.assert_close(greedy_soup(ingredients[:1], judge), ingredients[0])
    torch.testing.assert_close(greedy_soup(ingredients[[1, 1, 1]], judge), ingredients[1])


def test_interpolation_by_hand_and_at_its_ends():
    a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, -2.0])
    torch.testing.assert_close(interpolated(a, b, 0.25), torch.tensor([1.5, 1.0]))
    assert torch.equal(interpolated(a, b, 0.0), a)
    assert torch.equal(interpolated(a, b, 1.0), b)


def test_the_share_is_a_point_on_the_line_between_both_trainings():
    ends = [fit({"adjust": {"wise_ft": {"share": share}}})[0] for share in (0.0, 0.5, 1.0)]
    before, middle, after = (weights(o) for o in ends)
    assert float((before - after).abs().max()) > 1e-3
    torch.testing.assert_close(middle, (before + after) / 2)


def test_the_search_sets_the_share_of_each_member_for_itself():
    chosen = [
        dataclasses.replace(MEMBERS[0], values={**MEMBERS[0].values, "adjust.wise_ft.share": s}) for s in (0.1, 0.9)
    ]
    together = fit("wise_ft", chosen)
    alone = fit({"adjust": {"wise_ft": {"share": 0.9}}}, MEMBERS[:1])[0]
    torch.testing.assert_close(weights(together[1]), weights(alone), rtol=1e-3, atol=1e-3)
    assert not torch.allclose(weights(together[0]), weights(together[1]))


@pytest.fixture
def parting(monkeypatch):
    """The anchors, the weights and the learning rates when the members part."""
    seen, real = {}, branching.part_ways

    def watched(population):
        real(population)
        seen.update(
            anchors=population.anchors.clone(), flat=population.weights.flat.clone(),
            rates=population.hyper["learning_rate"].clone(), alive=list(population.alive),
        )  # fmt: skip

    monkeypatch.setattr("models.learners.population.part_ways", watched)
    return seen


def test_all_ingredients_begin_at_the_anchor_and_end_apart(parting, monkeypatch):
    made = []
    monkeypatch.setattr(GreedySoup, "average", lambda self, anchor, k, judge: made.append((anchor, k, judge)) or k[0])
    fit("greedy_soup")
    torch.testing.assert_close(parting["flat"], parting["anchors"].repeat_interleave(4, 0))
    assert parting["alive"] == list(range(8))
    torch.testing.assert_close(parting["rates"][:4], 4e-3 * torch.tensor([0.3, 1.0, 1.0, 3.0]))
    for _, ingredients, _ in made:
        gaps = torch.cdist(ingredients, ingredients) + 10 * torch.eye(4)
        assert float(gaps.min()) > 1e-3


def test_a_greedy_soup_is_no_worse_on_validation_rows_than_its_best_ingredient(monkeypatch):
    made, real = [], GreedySoup.average

    def watched(self, anchor, ingredients, judge):
        found = real(self, anchor, ingredients, judge)
        made.append((judge(found), min(judge(one) for one in ingredients)))
        return found

    monkeypatch.setattr(GreedySoup, "average", watched)
    outcomes = fit("greedy_soup")
    for outcome, (soup, best) in zip(outcomes, made, strict=True):
        assert soup <= best + 1e-12
        assert plain_loss(outcome.model, VALID) == pytest.approx(soup)


def test_a_uniform_soup_is_the_mean_and_a_net_of_several_members_can_be_one(monkeypatch):
    from models.balancing.adjust.model_soups import UniformSoup

    made, real = [], UniformSoup.average

    def watched(self, anchor, ingredients, judge):
        made.append(ingredients)
        return real(self, anchor, ingredients, judge)

    monkeypatch.setattr(UniformSoup, "average", watched)
    outcome = fit("uniform_soup", MEMBERS[:1], TabM())[0]
    rebuilt = with_weights(outcome.model, made[0].mean(0))
    assert torch.equal(rebuilt.logits(VALID), outcome.model.logits(VALID))
    assert torch.isfinite(outcome.model.logits(VALID)).all()


def test_what_cannot_be_averaged_is_refused():
    assert "and there is one" in WiseFT().objection(parse("none"))
    with pytest.raises(InputError, match="ends with a part of the net alone"):
        parse("crt_wise_ft")
    with pytest.raises(InputError, match="another method averages the same weights"):
        parse({"adjust": ["wise_ft", "uniform_soup"], "schedule": "drs"})
    assert "running statistics" in ResNet32().refuses(parse("wise_ft"), image=True)
    assert parse("bang").schedule.name == "smoothed_fine_tuning"
