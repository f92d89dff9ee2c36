"""Every method found trains a tiny population: alone as in company, resumed as uninterrupted, without asking the host."""

import dataclasses
import functools

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from models.adjustment import average
from models.balancing import catalogue
from models.balancing.averaging import WeightAverager
from models.balancing.component import WeightAdjuster
from models.balancing.rules import distinct
from models.data import Split
from models.learners.learner import Input, Member, Model, Plan
from models.learners.population import Population
from models.learners.torch import MLP, ResNet32, TabM
from models.recipe import parse
from models.schema import CLASSES
from tests.models.learners import elsewhere
from tests.models.learners.rows import table

torch.set_num_threads(1)

NOT_OF_NETS = ("resample", "grow", "adjust")
OTHERS = ("ordinal", "multilabel", "regression")
METHODS = [
    m for m in catalogue().values() if m.slot not in NOT_OF_NETS or issubclass(m, (WeightAdjuster, WeightAverager))
]
PLAN = Plan(budget=3, batch_size=32, hidden=(8,), patience=10)
READS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "is_nonzero", "bincount"}
"""Operations that hand a value to the host, or whose result's size depends on values."""


class NoReading(TorchDispatchMode):
    """Fails at the first operation that waits for the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        masks = [a for a in args if isinstance(a, (list, tuple))] if name.startswith("index") else []
        if name in READS or any(isinstance(i, torch.Tensor) and i.dtype == torch.bool for m in masks for i in m):
            raise AssertionError(f"{name} in the batch loop: the host waits for the device")
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def no_reading_in_the_batch_loop(monkeypatch):
    step = Population._step

    def watched(self, *args, **kwargs):
        with NoReading():
            step(self, *args, **kwargs)

    monkeypatch.setattr(Population, "_step", watched)


def of_kind(split: Split, task: str) -> Split:
    """The same rows with another kind of target: three classes in order, three labels, or a number in three bins."""
    x = split.numeric
    number = x[:, 0] + 0.5 * x[:, 1]
    bins = torch.bucketize(number, torch.tensor([0.5, 1.2]))
    if task == "regression":
        return dataclasses.replace(split, labels=bins, classes=3, task=task, values=number[:, None])
    if task == "multilabel":
        carried = (x[:, :3] > torch.tensor([0.0, 0.5, 1.0])).float()
        rarest = (carried * torch.arange(1, 4)).amax(1).long()
        return dataclasses.replace(split, labels=rarest, classes=4, task=task, values=carried)
    return dataclasses.replace(split, labels=bins, classes=3, task=task)


def images(rows: int, seed: int) -> Split:
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(rows) % 2
    x = torch.randint(0, 256, (rows, 1, 8, 8), generator=g, dtype=torch.uint8)
    x[labels == 1] //= 2
    ones, zeros = torch.ones(rows), torch.zeros(rows, dtype=torch.long)
    empty = torch.zeros(rows, 0, dtype=torch.long)
    return Split(x, empty, labels, zeros, ones, torch.arange(rows), zeros.bool(), 2, 1)


def rows_for(method, rows: int, seed: int) -> Split:
    """Rows of two classes, or of the first other kind of target for a method that takes no classes."""
    split = table(rows, seed)
    return split if "binary" in method.tasks else of_kind(split, next(t for t in OTHERS if t in method.tasks))


def trainer(method, rows=360, **changes):
    """A function that trains members of the method's recipe on data that suit it, and the validation rows."""
    recipe, plan = parse(method.name), dataclasses.replace(PLAN, **changes)
    if "image" in method.needs:
        split, shape = images(64, 0), Input(0, (), (1, 8, 8), (0.4,), (0.25,))
        return lambda chosen, **o: ResNet32().fit(recipe, chosen, split, split, shape, plan, **o), split
    train, valid = rows_for(method, rows, 0), rows_for(method, rows // 3, 1)
    if recipe.resample is not None and recipe.resample.synthesizes:
        train = dataclasses.replace(train, synthetic=torch.arange(rows) >= 5 * rows // 9)
    if "unlabelled" in method.needs:
        train = train.joined(table(rows // 3, 2).unlabelled())
    if recipe.reads_champion:
        known, train = with_champion(train, valid)
        plan = dataclasses.replace(plan, champion=known.champion)
    return lambda chosen, **o: MLP().fit(recipe, chosen, train, valid, Input(4, (3,)), plan, **o), valid


@functools.cache
def champion_of(task: str) -> tuple[Model, ...]:
    """A trained net for this kind of target."""
    train, valid = (
        (table(160, 0), table(60, 1))
        if task == "multiclass"
        else (of_kind(table(160, 0), task), of_kind(table(60, 1), task))
    )
    chosen = Member({"learning_rate": 2e-3, "weight_decay": 0.01}, 3)
    return (MLP().fit(parse("none"), [chosen], train, valid, Input(4, (3,)), PLAN)[0].model,)


def with_champion(train: Split, valid: Split) -> tuple[Plan, Split]:
    """A plan with a champion to start from, and the training rows with what it says of them."""
    models = champion_of(train.task)
    said = average(models, train).log_probabilities.float() if train.task in CLASSES else None
    return dataclasses.replace(PLAN, champion=models), dataclasses.replace(train, champion=said)


def members(method, count):
    space = parse(method.name).space()
    ends = [
        {k: (r.choices[-1] if r.choices else r.high) for k, r in space.items()},
        {k: r.default for k, r in space.items()},
    ]
    return [
        Member({"learning_rate": 2e-3 * (i + 1), "weight_decay": 0.01, **ends[i % 2]}, 10 + i) for i in range(count)
    ]


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_trains_alone_as_in_company_and_resumes_exactly(method):
    fit, valid = trainer(method)
    chosen, saved = members(method, 2), []
    whole = fit(chosen, on_epoch=lambda epoch, make: saved.append(make()))
    assert [o.error for o in whole] == [None, None]
    logits = [o.model.logits(valid) for o in whole]
    assert all(torch.isfinite(z).all() for z in logits)
    for position in {1, len(saved) - 2}:
        resumed = fit(chosen, resume=saved[position])
        for before, after in zip(whole, resumed, strict=True):
            assert torch.equal(before.model.logits(valid), after.model.logits(valid))
            assert before.history == after.history
    alone = fit([chosen[1]])[0]
    torch.testing.assert_close(logits[1], alone.model.logits(valid), rtol=1e-3, atol=1e-3)


PAIRS = [(m, t, MLP()) for m in METHODS for t in distinct(m) if t in OTHERS and "image" not in m.needs]
PAIRS += [(m, t, TabM()) for m in METHODS for t in OTHERS if m.name == "none"]


@pytest.mark.parametrize(("method", "task", "learner"), PAIRS, ids=lambda x: x if isinstance(x, str) else x.name)
def test_trains_for_every_kind_of_target_that_it_serves(method, task, learner):
    train, valid = of_kind(table(160, 0), task), of_kind(table(60, 1), task)
    recipe = parse(method.name)
    # A phase that validation rows cannot judge leaves no history.
    plan = PLAN
    if recipe.reads_champion:
        plan, train = with_champion(train, valid)
    plan = dataclasses.replace(plan, budget=2 + any(phase.pretext is not None for phase in recipe.phases))
    outcomes = learner.fit(recipe, members(method, 2), train, valid, Input(4, (3,)), plan)
    assert [o.error for o in outcomes] == [None, None]
    for outcome in outcomes:
        logits = outcome.model.logits(valid)
        assert logits.shape == (60, 3 if task != "regression" else 1)
        assert torch.isfinite(logits).all()
        assert outcome.history[-1] != outcome.history[0]


def test_reading_a_value_in_the_batch_loop_is_noticed():
    with pytest.raises(AssertionError, match="the host waits"), NoReading():
        float(torch.ones(3).sum())
    with pytest.raises(AssertionError, match="the host waits"), NoReading():
        torch.ones(3)[torch.tensor([True, False, True])]


ELSEWHERE = (
    "none", "mixup", "feasible_learning", "adversary", "muon", "crt", "pseudo_labels", "wise_ft", "stratified_batches",
)  # fmt: skip
"""Methods that bring what others do not: nothing, partners, rows' memory, parameters, directions, phases, guesses, anchors, an order."""


@pytest.mark.parametrize("name", ELSEWHERE)
def test_nothing_that_training_needs_is_left_on_the_other_device(name):
    method = catalogue()[name]
    chosen = members(method, 2)
    (here, valid), (there, _) = trainer(method, 96, budget=2), trainer(method, 96, budget=2, device=elsewhere.DEVICE)
    on_host = here(chosen)
    with elsewhere.accelerator():
        found = there(chosen)
        logits = [outcome.model.logits(valid) for outcome in found]
    assert [o.error for o in found] == [None, None]
    for one, other in zip(on_host, logits, strict=True):
        assert torch.equal(one.model.logits(valid), other)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_trains_on_an_accelerator(method):
    (here, valid), (there, _) = trainer(method), trainer(method, device="cuda")
    chosen = members(method, 2)
    outcomes = there(chosen)
    assert [(o.error, o.note) for o in outcomes] == [(None, None)] * 2
    for one, other in zip(here(chosen), outcomes, strict=True):
        found, reached = one.model.logits(valid), other.model.logits(valid)
        assert torch.isfinite(reached).all()
        if "image" in method.needs:
            continue  # mixed precision of a convolutional net on 64 images agrees only roughly
        if valid.task != "regression":
            found, reached = torch.softmax(found, -1), torch.softmax(reached, -1)
        assert (found - reached).abs().mean() < 0.05
