"""A step that was recorded once and is replayed trains as the loop does that calls every operation anew."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from models.balancing.loss.none import Plain
from models.data import Split
from models.learners import objective, population
from models.learners.capture import RecordedSteps
from models.learners.learner import Input, Member, Plan
from models.learners.torch import MLP, ResNet32, TabM
from models.recipe import parse
from tests.models.learners.rows import table

torch.set_num_threads(1)

PLAN = Plan(budget=4, batch_size=32, hidden=(8, 8), patience=10)


class Tape(TorchDispatchMode):
    """Records a step as a CUDA graph does: operations on fixed memory, with every number of Python's as it was.

    What a graph cannot hold is refused: a value that is read, a result whose size depends on values, a tensor made of
    Python's numbers, which lies on the host, and random numbers.
    """

    REFUSED = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal", "is_nonzero", "bincount",
               "lift_fresh", "rand", "randn", "randint", "randperm", "bernoulli", "bernoulli_", "uniform_", "normal_",
               "random_", "native_dropout")  # fmt: skip

    def __init__(self):
        super().__init__()
        self.calls, self.replays = [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in self.REFUSED:
            raise RuntimeError(f"{name} cannot be recorded")
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, made))
        return made

    @torch.no_grad()
    def replay(self):
        self.replays += 1
        for func, args, kwargs, places in self.calls:
            given = {memory(t) for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
            for place, value in zip(tree_leaves(places), tree_leaves(func(*args, **kwargs)), strict=True):
                if isinstance(place, torch.Tensor) and memory(place) not in given:
                    place.detach().copy_(value)


def memory(tensor):
    return tensor.untyped_storage().data_ptr()


class OnTape:
    """In the place of the GPU's recorder; a step that is refused has not changed what is trained."""

    def __init__(self):
        self.tapes = []

    def prepare(self, step):
        step()

    def record(self, step):
        tape = Tape()
        with tape:
            step()
        self.tapes.append(tape)
        return tape.replay


def images(rows):
    g = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (rows, 1, 8, 8), generator=g, dtype=torch.uint8)
    zeros, empty = torch.zeros(rows, dtype=torch.long), torch.zeros(rows, 0, dtype=torch.long)
    return Split(x, empty, torch.arange(rows) % 2, zeros, torch.ones(rows), torch.arange(rows), zeros.bool(), 2, 1)


TRAIN, VALID = table(160, 0), table(80, 1)


def members(spec, rates, dropout=0.0):
    values = {k: r.default for k, r in parse(spec).space().items()}
    return [
        Member({"weight_decay": 0.01, "dropout": dropout, **values, "learning_rate": rate}, 10 + i)
        for i, rate in enumerate(rates)
    ]


def trained(spec, chosen, learner=None, plan=PLAN):
    recipe = spec if not isinstance(spec, (str, Mapping)) else parse(spec)
    rows, inputs = (TRAIN, VALID), Input(4, (3,))
    if isinstance(learner, ResNet32):
        rows, inputs = (images(64), images(64)), Input(0, (), (1, 8, 8), (0.4,), (0.25,))
    return (learner or MLP()).fit(recipe, chosen, *rows, inputs, plan), rows[1]


@pytest.fixture
def recorder(monkeypatch):
    """Populations whose steps are recorded on the host, unless their plan does not want it."""
    made = OnTape()
    monkeypatch.setattr(population, "recorded_steps", lambda device, wanted: RecordedSteps(made) if wanted else None)
    return made


def assert_same_training(spec, chosen, learner=None, plan=PLAN):
    loop, valid = trained(spec, chosen, learner, dataclasses.replace(plan, recorded=False))
    replayed, _ = trained(spec, chosen, learner, plan)
    for one, other in zip(loop, replayed, strict=True):
        assert (one.error, str(one.history), other.note) == (other.error, str(other.history), None)
        if one.model is not None:
            assert torch.equal(one.model.logits(valid), other.model.logits(valid))
    return replayed


SPECS = [
    "none",
    "group_dro",  # state
    "feasible_learning",  # memory of every row
    "mixup",  # randomness and partners
    "ldam_drw",  # margins, and a loss that changes in the middle
    "crt",  # a second phase on frozen features
    "adversary",  # parameters of its own
    "muon",  # directions of its own
    "per_class_normalized",  # gradients by class
    {"sample": "self_paced", "loss": "focal", "optimize": "sam", "regularize": ["separation"]},
    "ema",  # judged by other weights than those that step
]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_replayed_step_trains_to_the_same_bits(spec, recorder):
    assert_same_training(spec, members(spec, [2e-3, 4e-3], dropout=0.3))
    assert len(recorder.tapes) == len(parse(spec).phases)
    assert sum(tape.replays for tape in recorder.tapes) == 4 * 5 - 3 * len(recorder.tapes)


@pytest.mark.parametrize("learner", [TabM(), ResNet32()], ids=lambda x: x.name)
def test_every_net_can_be_recorded(learner, recorder):
    chosen = [dataclasses.replace(m, values={**m.values, "shift": 0.25, "flip": 0.5}) for m in members("none", [2e-3])]
    assert_same_training("none", chosen, learner, dataclasses.replace(PLAN, budget=3))
    assert sum(t.replays for t in recorder.tapes) >= 3


def test_members_that_are_dropped_leave_a_smaller_step_to_record(recorder):
    # The one in the middle diverges, those with higher rates wait in vain: the population shrinks more than once.
    chosen = members("none", [2e-3, 1e30, 0.3, 3e-3])
    plan = dataclasses.replace(PLAN, budget=8, patience=1)
    outcomes = assert_same_training("none", chosen, plan=plan)
    assert "not finite" in outcomes[1].error
    assert len({o.budget_used for o in outcomes}) > 1
    assert len(recorder.tapes) > 1


@dataclasses.dataclass(frozen=True)
class MadeOnTheHost(Plain):
    """A loss with a constant that comes from the host in every step."""

    name: ClassVar[str] = "made_on_the_host"

    def losses(self, state, logits, batch, progress):
        return super().losses(state, logits, batch, progress) * torch.tensor(1.0)


def test_what_cannot_be_recorded_trains_as_ever_and_says_so(recorder):
    recipe = dataclasses.replace(parse("none"), loss=MadeOnTheHost())
    chosen = members("none", [2e-3, 4e-3])
    loop, valid = trained(recipe, chosen, plan=dataclasses.replace(PLAN, recorded=False))
    found, _ = trained(recipe, chosen)
    for one, other in zip(loop, found, strict=True):
        assert torch.equal(one.model.logits(valid), other.model.logits(valid))
        assert (one.note, other.note) == (None, SAID)
    assert recorder.tapes == []


SAID = "a step could not be recorded for replay, and its operations were launched one by one (lift_fresh cannot be recorded)"


def test_a_tape_keeps_the_numbers_that_a_step_had_when_it_was_recorded():
    """The tape would notice a step that takes a number of the host with it: it is replayed with the old one."""
    place, numbers = torch.zeros(2), iter((1.0, 10.0))
    tape = Tape()
    with tape:
        place.add_(next(numbers))
    tape.replay()
    assert place.tolist() == [2.0, 2.0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_a_graph_trains_as_the_loop_on_an_accelerator(spec):
    chosen = members(spec, [2e-3, 4e-3, 1e30], dropout=0.3)
    plan = dataclasses.replace(PLAN, device="cuda")
    loop, valid = trained(spec, chosen, plan=dataclasses.replace(plan, recorded=False))
    replayed, _ = trained(spec, chosen, plan=plan)
    assert [o.error for o in loop] == [o.error for o in replayed]
    for one, other in zip(loop[:2], replayed[:2], strict=True):
        assert other.note is None
        torch.testing.assert_close(one.model.logits(valid), other.model.logits(valid), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("count", [1, 2])
def test_in_mixed_precision_hidden_layers_stay_in_it_whether_a_member_is_alone_or_not(count, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    made = objective.Objective.__init__

    def in_mixed_precision(self, *given, **named):
        made(self, *given, **named)
        self.mixed = True
        self._lowered = {f"body.{name}" for name in objective._linear(self.net.body)}

    seen = []
    monkeypatch.setattr(objective.Objective, "__init__", in_mixed_precision)
    monkeypatch.setattr(torch.nn.ReLU, "forward", lambda _self, x: seen.append(x.dtype) or torch.relu(x))
    outcomes, valid = trained("none", members("none", [2e-3, 4e-3][:count], dropout=0.3))
    assert set(seen) == {torch.bfloat16}
    assert all(torch.isfinite(o.model.logits(valid)).all() for o in outcomes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(("learner", "count"), [(MLP(), 3), (TabM(), 2), (ResNet32(), 1)], ids=lambda x: str(x)[:8])
def test_the_same_seed_gives_the_same_bits_on_an_accelerator(learner, count):
    plan = dataclasses.replace(PLAN, device="cuda")
    chosen = members("none", [2e-3, 4e-3, 1e-3][:count], dropout=0.3 if isinstance(learner, MLP) else 0.0)
    once, valid = trained("none", chosen, learner, plan)
    again, _ = trained("none", chosen, learner, plan)
    for one, other in zip(once, again, strict=True):
        assert one.history == other.history
        assert torch.equal(one.model.logits(valid), other.model.logits(valid))
