"""The training loop: populations equal single runs, checkpoints resume exactly, phases switch, bad members drop out."""

import dataclasses
import math

import pytest
import torch

from models.balancing.component import Loss, Source, hyper
from models.balancing.discovery import catalogue
from models.balancing.loss.none import cross_entropy
from models.data import Split
from models.learners import learner
from models.learners.augmenting import drawn_moves, moved
from models.learners.dropout import dropout_factors
from models.learners.learner import Input, Member, Plan, TimeIsUp
from models.learners.memory import device_lost, member_bytes, out_of_memory
from models.learners.population import Population
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
STEPS = len(TRAIN) // effective_batch(len(TRAIN), 64)
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


def test_a_member_that_leaves_a_value_out_has_the_recipes_own_and_takes_none_from_the_others():
    rate, recipe = {"learning_rate": 4e-3}, parse({"loss": {"focal": {"gamma": 0.5}}})
    chosen = [Member(rate, 0), Member({**rate, "loss.gamma": 5.0}, 0)]
    together = MLP().fit(recipe, chosen, TRAIN, VALID, INPUTS, PLAN)
    for one, gamma in enumerate((0.5, 5.0)):
        (alone,) = MLP().fit(
            parse({"loss": {"focal": {"gamma": gamma}}}), [Member(rate, 0)], TRAIN, VALID, INPUTS, PLAN
        )
        torch.testing.assert_close(together[one].model.logits(VALID), alone.model.logits(VALID), rtol=1e-3, atol=1e-3)


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
    # The last one is of a population that is finished, as it may be while another waits.
    for epoch in (2, PLAN.budget):
        for a, b in zip(whole, fit(recipe, members(recipe, count), resume=saved[epoch]), strict=True):
            assert torch.equal(a.model.logits(VALID), b.model.logits(VALID))
            assert a.history == b.history


@pytest.mark.parametrize("recipe", ["focal_mixup", "crt_mixup"])
def test_dropout_is_each_members_own(recipe):
    plain = members(recipe, 3)
    chosen = [
        dataclasses.replace(m, values={**m.values, "dropout": d}) for m, d in zip(plain, (0.0, 0.3, 0.5), strict=True)
    ]
    saved = {}
    together = fit(recipe, chosen, on_epoch=lambda epoch, make: saved.setdefault(epoch, make()))
    for one in (0, 1):
        alone = fit(recipe, [chosen[one]])[0]
        torch.testing.assert_close(together[one].model.logits(VALID), alone.model.logits(VALID), rtol=1e-3, atol=1e-3)
    without, resumed = fit(recipe, plain), fit(recipe, chosen, resume=saved[2])
    assert torch.equal(together[0].model.logits(VALID), without[0].model.logits(VALID))
    assert not torch.allclose(together[1].model.logits(VALID), without[1].model.logits(VALID), atol=0.01)
    assert all(a.history == b.history for a, b in zip(together, resumed, strict=True))


def test_dropped_units_are_zero_at_their_rate_and_the_mean_stays():
    keys = torch.tensor([1, -7, 2**31 - 1], dtype=torch.int32)
    factors = dropout_factors(keys, torch.tensor([64, 0, 128], dtype=torch.uint8), 1000, 41)
    assert set(factors[0].unique().tolist()) == {0.0, torch.tensor(4 / 3).item()}
    assert torch.equal(factors[1], torch.ones(1000, 41))
    for own in factors[[0, 2]]:
        assert float(own.mean()) == pytest.approx(1.0, abs=0.02)
        assert own.mean(0).sub(1).abs().max() < 0.15
        assert own.mean(1).sub(1).abs().max() < 0.7
    assert not torch.equal(dropout_factors(keys[:1], torch.tensor([128], dtype=torch.uint8), 1000, 41)[0], factors[2])


def test_the_bits_of_dropout_are_the_published_hash_of_position_and_step():
    key, rows, units, level = 123456789, 3, 7, 100
    factors = dropout_factors(
        torch.tensor([key], dtype=torch.int32), torch.tensor([level], dtype=torch.uint8), rows, units
    )
    kept = []
    for word in range(-(-rows * units // 4)):
        x = (word * 0x9E3779B9 ^ key) & 0xFFFFFFFF
        x = (x ^ x >> 16) * 0x7FEB352D & 0xFFFFFFFF
        x = (x ^ x >> 15) * 0x846CA68B & 0xFFFFFFFF
        kept += [byte >= level for byte in (x ^ x >> 16).to_bytes(4, "little")]
    assert (factors.flatten() > 0).tolist() == kept[: rows * units]


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


@dataclasses.dataclass(frozen=True)
class Breaking(Loss):
    """Cross-entropy that is no number from a batch on, for members that ask for it."""

    broken: float = hyper(0.0, 0.0, 1.0, minimum=0.0, maximum=1.0)
    name = "breaking"
    formula = "L = 0 / 0"
    source = Source("-")

    def losses(self, state, logits, batch, progress):
        late = (progress > (1 + 6.5 / STEPS) / PLAN.budget) & (progress < 1)
        return cross_entropy(logits, batch.targets) * torch.where(late & (self.broken > 0.5), math.nan, 1.0)


def test_a_member_that_breaks_is_named_with_method_epoch_and_batch_and_changes_no_bit_of_the_others(monkeypatch):
    monkeypatch.setitem(catalogue(), "breaking", Breaking)
    chosen = members("none", 3)
    sound = [dataclasses.replace(m, values={**m.values, "loss.broken": 0.0}) for m in chosen]
    broken = [sound[0], dataclasses.replace(sound[1], values={**sound[1].values, "loss.broken": 1.0}), sound[2]]
    whole, others = fit("breaking", sound), fit("breaking", broken)
    assert others[1].error == "breaking: the training loss is not finite in epoch 2, batch 8"
    for position in (0, 2):
        assert torch.equal(whole[position].model.logits(VALID), others[position].model.logits(VALID))
        assert whole[position].history == others[position].history


def stop_after(epochs):
    def on_epoch(epoch, make):
        if epoch == epochs:
            raise TimeIsUp

    return on_epoch


def test_when_the_time_is_up_every_member_gives_its_best_so_far():
    whole, stopped = (
        fit("focal_mixup", members("focal_mixup", 2)),
        fit("focal_mixup", members("focal_mixup", 2), on_epoch=stop_after(2)),
    )
    for before, after in zip(whole, stopped, strict=True):
        assert (after.stopped, after.budget_used, after.history) == (True, 2, before.history[:2])
        assert not before.stopped
        assert torch.isfinite(after.model.logits(VALID)).all()


def test_an_epoch_that_is_too_long_ends_where_it_is_and_still_gives_a_model():
    steps = []

    def over():
        steps.append(1)
        return len(steps) > 2

    (outcome,) = fit("focal", members("focal", 1), plan=dataclasses.replace(PLAN, over=over), on_epoch=stop_after(1))
    assert len(steps) == 3
    assert (outcome.stopped, outcome.budget_used, len(outcome.history)) == (True, 1, 1)
    assert torch.isfinite(outcome.model.logits(VALID)).all()


def test_where_memory_is_short_a_population_trains_in_smaller_ones(monkeypatch):
    chosen = members("focal_mixup", 5)
    whole, epoch = fit("focal_mixup", chosen), Population.run_epoch

    def short(population):
        if len(population.alive) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        epoch(population)

    monkeypatch.setattr(Population, "run_epoch", short)
    saved = []
    small = fit("focal_mixup", chosen, on_epoch=lambda _, make: saved.append(make()))
    assert all(o.note.startswith("memory was too short for 3 members at once") for o in small[2:])
    for a, b in zip(whole, small, strict=True):
        torch.testing.assert_close(a.model.logits(VALID), b.model.logits(VALID), rtol=1e-3, atol=1e-3)
    for point in (saved[1], saved[len(saved) // 2], saved[-2]):
        for a, b in zip(small, fit("focal_mixup", chosen, resume=point), strict=True):
            assert torch.equal(a.model.logits(VALID), b.model.logits(VALID))


def test_memory_that_is_too_short_for_one_member_is_an_error(monkeypatch):
    def short(population):
        raise MemoryError

    monkeypatch.setattr(Population, "run_epoch", short)
    with pytest.raises(MemoryError):
        fit("none", members("none", 3))


def test_what_torch_says_when_memory_is_short_or_a_device_is_gone_is_told_apart():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert out_of_memory(caught.value)
    assert not device_lost(caught.value)
    lost = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    assert device_lost(lost)
    assert not out_of_memory(lost)
    assert device_lost(RuntimeError("No CUDA GPUs are available"))
    full = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    assert out_of_memory(full)
    assert not device_lost(full)
    assert not device_lost(torch.AcceleratorError("CUDA error: device-side assert triggered"))
    assert not device_lost(RuntimeError("shapes cannot be multiplied"))


def test_populations_are_as_large_as_their_members_memory_allows():
    mlp, plan = MLP(), Plan(budget=1, hidden=(256, 256))
    assert mlp.largest_population(parse("focal"), TRAIN, INPUTS, plan) == 16
    # It draws 33 numbers for every row of an epoch, which are there twice when they are put beside the other members', and
    # keeps the place of each row and of the one that is mixed in.
    small = MLP().architecture(parse("unimix"), INPUTS, 2, plan)
    sizes = [member_bytes(build_net(small, 0), INPUTS, rows, plan, parse("unimix")) for rows in (100_000, 200_000)]
    assert sizes[1] - sizes[0] == pytest.approx(100_000 * (2 * 8 + 2 * (16 * 2 * 4 + 4)), rel=0.01)
    wide = dataclasses.replace(plan, hidden=(4096, 4096))
    assert mlp.largest_population(parse("focal"), TRAIN, INPUTS, wide) == 1
    assert learner("trees").largest_population(parse("none"), TRAIN, INPUTS, plan) == 1


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
    run = lambda shift=0.25, **options: learner("resnet32").fit(  # noqa: E731
        parse("none"), [Member({"shift": shift, "flip": 0.5}, 1)], split, split, inputs, plan, **options
    )[0]
    whole = run(on_epoch=lambda epoch, make: saved.setdefault(epoch, make()))
    assert not torch.equal(whole.model.logits(split), run(shift=0.0).model.logits(split))
    resumed = run(resume=saved[1])
    assert torch.equal(whole.model.logits(split), resumed.model.logits(split))
    assert learner("mlp").refuses(parse("none"), image=True) == "mlp works on tables"


def test_moved_images_by_hand():
    image = torch.tensor([[[[1, 2, 3], [4, 5, 6]]]], dtype=torch.uint8)
    moves = torch.tensor([[0, 0, 0], [1, 0, 0], [0, -1, 0], [0, 0, 1], [-1, 1, 1]])
    found = moved(image.expand(5, 1, 2, 3), moves)
    assert found.dtype == torch.uint8
    assert found.squeeze(1).tolist() == [
        [[1, 2, 3], [4, 5, 6]],
        [[0, 0, 0], [1, 2, 3]],
        [[2, 3, 0], [5, 6, 0]],
        [[3, 2, 1], [6, 5, 4]],
        [[0, 6, 5], [0, 0, 0]],
    ]


def test_images_are_moved_as_far_and_mirrored_as_often_as_is_asked():
    drawn = drawn_moves(torch.Generator().manual_seed(0), (40, 50), (32, 16), 0.125, 0.5)
    assert drawn[..., 0].unique().tolist() == list(range(-4, 5))
    assert drawn[..., 1].unique().tolist() == list(range(-2, 3))
    assert drawn[..., 2].float().mean() == pytest.approx(0.5, abs=0.03)
    generator = torch.Generator().manual_seed(0)
    assert not drawn_moves(generator, (2, 3), (8, 8), 0.0, 0.0).any()
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(0).get_state())


def test_learning_rate_rises_then_falls_to_zero():
    assert learning_rate_factor(0.0) < 0.05
    assert learning_rate_factor(0.05) == pytest.approx(1.0)
    assert learning_rate_factor(1.0) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("rows", "expected"), [(100000, 512), (6700, 128), (600, 32), (20, 20)])
def test_small_tables_take_smaller_batches(rows, expected):
    assert effective_batch(rows, 512) == expected
