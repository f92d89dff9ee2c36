"""A component that breaks the contract is refused, with a message that says which rule and where."""

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from models.balancing.component import GradientTransform, Loss, Sampler, Source, Update, Weigher, hyper
from models.balancing.loss.none import cross_entropy
from models.balancing.rules import BrokenRule, check

SOURCE = Source("A paper")


@dataclass(frozen=True)
class Broken(Loss):
    """A loss whose fault is given by its subclass."""

    name: ClassVar[str] = "broken"
    formula: ClassVar[str] = "-"
    source: ClassVar[Source] = SOURCE

    def losses(self, state, logits, batch, progress):
        return self.fault(cross_entropy(logits, batch.targets), logits, batch)

    def fault(self, losses, logits, batch):
        return losses


class WrongShape(Broken):
    def fault(self, losses, logits, batch):
        return losses.mean()


class NotFinite(Broken):
    def fault(self, losses, logits, batch):
        return -(batch.targets * torch.softmax(logits, -1).log()).sum(-1)


class ChangesInPlace(Broken):
    def fault(self, losses, logits, batch):
        batch.targets[:, 0] = 0
        return losses


class AsksTheHost(Broken):
    def fault(self, losses, logits, batch):
        return losses * 2 if float(losses.detach().mean()) > 0 else losses


class IndexesByMask(Broken):
    def fault(self, losses, logits, batch):
        return losses + losses[losses > 0].mean() * 0


class MakesTensorsElsewhere(Broken):
    def fault(self, losses, logits, batch):
        return losses + torch.zeros(losses.shape[0])


class DependsOnClassOrder(Broken):
    def fault(self, losses, logits, batch):
        return losses * (1 + batch.labels)


class DrawsForItself(Broken):
    def fault(self, losses, logits, batch):
        return losses + torch.rand_like(losses)


@dataclass(frozen=True)
class TakesNoTensor(Broken):
    power: float = hyper(1.0, 0.5, 2.0, minimum=0.0)

    def fault(self, losses, logits, batch):
        return losses * (self.power if self.power > 1 else 1.0)


class ForgetsItsState(Weigher):
    name = "forgets"
    formula = "-"
    source = SOURCE

    def init(self, statistics):
        return {"memory": torch.zeros(3)}

    def weigh(self, state, losses, batch, progress):
        return torch.ones_like(losses), {}


@pytest.mark.parametrize(
    ("method", "rule"),
    [
        (WrongShape, r"loss 'broken' breaks the rule 'shape': losses has shape \(\), not \(1,\)"),
        (NotFinite, r"'finite': .* not finite at logits x 10000"),
        (ChangesInPlace, r"'nothing handed in is changed': batch.targets was changed in place"),
        (AsksTheHost, r"'no synchronization with the host, one device': on valueless tensors"),
        (IndexesByMask, r"'no synchronization with the host, one device'"),
        (MakesTensorsElsewhere, r"'no synchronization with the host, one device'"),
        (DependsOnClassOrder, r"'class ids are names': losses of the first batch depends on the order"),
        (DrawsForItself, r"'same inputs, same bits': losses differs"),
        (TakesNoTensor, r"'a member of a population is the member alone': it does not run under torch.func.vmap"),
        (ForgetsItsState, r"weigh 'forgets' breaks the rule 'shape': the next state lacks memory"),
    ],
)
def test_a_broken_method_is_named_with_the_rule_and_the_place(method, rule):
    with pytest.raises(BrokenRule, match=rule):
        check(method)


def test_a_sound_method_passes():
    check(Broken)


@pytest.mark.parametrize(
    ("base", "flag", "hook"),
    [
        (GradientTransform, "looks_ahead", "look"),
        (GradientTransform, "constrains", "constrain"),
        (GradientTransform, "surveys", "survey"),
        (Weigher, "surveys", "survey"),
    ],
)
def test_a_flag_without_what_it_promises_is_refused_where_the_class_is_defined(base, flag, hook):
    def does(self, *_):
        return {}

    with pytest.raises(TypeError, match=f"'hasty' breaks the rule '{flag} promises {hook}'"):
        type("Hasty", (base,), {"name": "hasty", flag: True})
    kept = type("Kept", (base,), {"name": "kept", flag: True, hook: does})
    assert issubclass(type("Heir", (kept,), {"name": "heir"}), base)


def test_a_hook_that_no_flag_asks_for_changes_nothing_and_a_sampler_says_how_it_draws():
    class Plain(GradientTransform):
        def transform(self, state, gradients, parameters, progress):
            return Update(gradients, {}, state)

    weight = {"weight": torch.ones(2)}
    assert Plain().look({}, weight) is weight
    assert Plain().constrain({}, weight) == {}
    with pytest.raises(TypeError, match="probabilities"):
        type("Silent", (Sampler,), {"name": "silent"})()
