"""The training loop: populations equal single runs, checkpoints resume exactly, phases switch, bad members drop out."""

import dataclasses

import pytest
import torch

from models.data import Split
from models.learners import learner
from models.learners.learner import Input, Member, Plan
from models.learners.torch import MLP, NetModel, build_net, effective_batch, learning_rate_factor
from models.recipe import parse

torch.set_num_threads(1)


def make(rows: int, seed: int = 0) -> Split:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 6, generator=g)
    c = torch.randint(0, 4, (rows, 2), generator=g)
    groups = torch.randint(0, 3, (rows,), generator=g)
    noise = 0.3 * torch.randn(rows, generator=g)
    labels = (x[:, 0] + 0.5 * (c[:, 0] == 1) + 0.2 * groups + noise > 1.2).long()
    ones, none = torch.ones(rows), torch.zeros(rows, dtype=torch.bool)
    return Split(x, c, labels, groups, ones, torch.arange(rows), none, 2, 3)


TRAIN, VALID = make(1500), make(400, 1)
INPUTS = Input(6, (4, 4))
PLAN = Plan(budget=4, batch_size=64, hidden=(16,), patience=10)
RECIPES = [
    "none", "focal_mixup", "ldam_drw", "group_dro_class_balanced_sampling", "crt_mixup", "lws_label_smoothing",
    "feasible_learning_adversary_sam", "per_class_normalized_balanced_mixup_separation",
]  # fmt: skip
"""Compositions; single methods are the training battery's."""


def members(recipe, count):
    space = parse(recipe).space()
    return [
        Member(
            {"learning_rate": 2e-3 * (i + 1), "weight_decay": 0.01, **{k: r.default for k, r in space.items()}}, 10 + i
        )
        for i in range(count)
    ]


def fit(recipe, chosen, plan=PLAN, **options):
    return MLP().fit(parse(recipe), chosen, TRAIN, VALID, INPUTS, plan, **options)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_member_of_a_population_is_the_member_alone(recipe):
    chosen = members(recipe, 3)
    together = fit(recipe, chosen)
    alone = fit(recipe, [chosen[1]])[0]
    torch.testing.assert_close(together[1].model.logits(VALID), alone.model.logits(VALID), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_same_seed_same_bits(recipe):
    first, second = (fit(recipe, members(recipe, 2)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a.model.logits(VALID), b.model.logits(VALID))
        assert a.history == b.history


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("count", [1, 2])
def test_a_checkpoint_resumes_exactly(recipe, count):
    saved = {}
    whole = fit(recipe, members(recipe, count), on_epoch=lambda epoch, make: saved.setdefault(epoch, make()))
    resumed = fit(recipe, members(recipe, count), resume=saved[2])
    for a, b in zip(whole, resumed, strict=True):
        assert torch.equal(a.model.logits(VALID), b.model.logits(VALID))
        assert a.history == b.history


def test_it_learns():
    outcome = fit("none", members("none", 1), dataclasses.replace(PLAN, budget=8))[0]
    accuracy = (outcome.model.logits(VALID).argmax(-1) == VALID.labels).float().mean()
    assert accuracy > max(0.85, float((VALID.labels == 0).float().mean()))


def test_balanced_methods_find_more_of_the_rare_class():
    recall = {}
    for recipe in ("none", "balanced_softmax", "weighted_ce", "class_balanced_sampling"):
        decided = fit(recipe, members(recipe, 1))[0].model.logits(VALID).argmax(-1)
        recall[recipe] = float((decided[VALID.labels == 1] == 1).float().mean())
    assert all(recall[r] > recall["none"] for r in recall if r != "none")


def test_a_diverging_member_is_dropped_and_the_others_are_untouched():
    good = members("none", 2)
    bad = Member({**good[0].values, "learning_rate": 1e30}, 99)
    outcomes = fit("none", [good[0], bad, good[1]])
    assert outcomes[1].model is None
    assert "not finite in epoch" in outcomes[1].error
    alone = fit("none", good)
    torch.testing.assert_close(outcomes[2].model.logits(VALID), alone[1].model.logits(VALID), rtol=1e-3, atol=1e-3)


def test_patience_stops_a_member_early_and_keeps_its_best():
    plan = dataclasses.replace(PLAN, budget=40, patience=2)
    outcome = fit("none", [Member({"learning_rate": 0.03, "weight_decay": 0.0}, 1)], plan)[0]
    assert outcome.budget_used < 40
    best = min(range(len(outcome.history)), key=outcome.history.__getitem__)
    assert best == outcome.budget_used - 1 - 2


def test_deferred_reweighting_begins_at_its_share():
    plan = dataclasses.replace(PLAN, budget=5)
    plain = fit({"loss": "none"}, members("none", 1), plan)[0]
    deferred = fit({"schedule": "drw"}, members("none", 1), plan)[0]
    assert deferred.history[:4] == plain.history[:4]
    assert deferred.history[4] != plain.history[4]


def test_mixing_and_sampling_do_not_depend_on_the_other_members():
    chosen = members("focal_mixup", 3)
    assert fit("focal_mixup", chosen[:2])[0].history == pytest.approx(
        fit("focal_mixup", [chosen[0], chosen[2]])[0].history, rel=1e-4
    )


def test_a_saved_net_is_rebuilt():
    model = fit("ldam_drw", members("ldam_drw", 1))[0].model
    again = NetModel.rebuild(model.architecture(), model.tensors())
    assert torch.equal(model.logits(VALID), again.logits(VALID))


def test_resnet32_is_the_published_architecture():
    description = {
        "net": "resnet32",
        "channels": 3,
        "mean": [0.5] * 3,
        "deviation": [0.2] * 3,
        "classes": 10,
        "head": None,
    }
    net = build_net(description, 0)
    assert sum(p.numel() for p in net.parameters()) == 464154
    assert not net.batched
    assert net(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8), torch.zeros(2, 0)).shape == (2, 10)


def test_resnet32_trains_and_resumes_exactly():
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (96, 1, 8, 8), generator=g, dtype=torch.uint8)
    labels = torch.arange(96) % 2
    images[labels == 1] //= 2
    empty, zeros, ones = torch.zeros(96, 0, dtype=torch.long), torch.zeros(96, dtype=torch.long), torch.ones(96)
    split = Split(images, empty, labels, zeros, ones, torch.arange(96), zeros.bool(), 2, 1)
    inputs, plan = Input(0, (), (1, 8, 8), (0.4,), (0.25,)), Plan(budget=3, batch_size=32)
    saved = {}
    run = lambda **options: learner("resnet32").fit(  # noqa: E731
        parse("none"), [Member({}, 1)], split, split, inputs, plan, **options
    )[0]
    whole = run(on_epoch=lambda epoch, make: saved.setdefault(epoch, make()))
    resumed = run(resume=saved[1])
    assert torch.equal(whole.model.logits(split), resumed.model.logits(split))
    assert learner("mlp").refuses(parse("none"), image=True) == "mlp works on tables"


def test_learning_rate_rises_then_falls_to_zero():
    assert learning_rate_factor(0.0) < 0.05
    assert learning_rate_factor(0.05) == pytest.approx(1.0)
    assert learning_rate_factor(1.0) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("rows", "expected"), [(100000, 512), (6700, 128), (600, 32), (20, 20)])
def test_small_tables_take_smaller_batches(rows, expected):
    assert effective_batch(rows, 512) == expected
