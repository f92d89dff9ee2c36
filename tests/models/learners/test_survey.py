"""What the loop does for methods that look at all rows, draw numbers, mix features, and set rates and bounds."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from models.balancing.component import GradientTransform, Loss, Mixer, Sampler, Source, Update
from models.balancing.loss.none import cross_entropy
from models.data import Split, one_hot
from models.learners.batches import columns, row_order
from models.learners.learner import Input, Member, Plan
from models.learners.population import Population
from models.learners.survey import survey
from models.learners.torch import MLP, build_net
from models.recipe import parse

torch.set_num_threads(1)

INPUTS = Input(4, (3,))
PLAN = Plan(budget=3, batch_size=32, hidden=(8,), patience=10)


def table(rows: int, seed: int) -> Split:
    g = torch.Generator().manual_seed(seed)
    x, c = torch.randn(rows, 4, generator=g), torch.randint(0, 3, (rows, 1), generator=g)
    labels = (x[:, 0] + 0.3 * torch.randn(rows, generator=g) > 0.9).long()
    ones, none = torch.ones(rows), torch.zeros(rows, dtype=torch.bool)
    return Split(x, c, labels, labels * 0, ones, torch.arange(rows), none, 2, 1)


TRAIN, VALID = table(320, 0), table(160, 1)


def members(count):
    return [Member({"learning_rate": 3e-3, "weight_decay": 0.01}, 10 + i) for i in range(count)]


def population(part, count=2):
    recipe = dataclasses.replace(parse("none"), **{part.slot: part})
    architecture = MLP().architecture(recipe, INPUTS, 2, PLAN)
    nets = [build_net(architecture, m.seed) for m in members(count)]
    made = Population(recipe, members(count), nets, TRAIN, VALID, PLAN)
    made.architecture = architecture
    return made


@dataclass(frozen=True)
class HardestFirst(Sampler):
    """Batches in the order of the loss that each row has at the beginning of the epoch."""

    name: ClassVar[str] = "hardest_first"
    formula: ClassVar[str] = "-"
    source: ClassVar[Source] = Source("-")
    surveys: ClassVar[bool] = True

    def init(self, labels, groups, statistics, generator):
        return {"losses": torch.zeros(len(labels)), "valid_rows": torch.zeros(())}

    def survey(self, state, view):
        seen = view.train()
        losses = cross_entropy(seen.logits, one_hot(seen.labels, 2))
        return {"losses": losses, "valid_rows": torch.tensor(float(len(view.valid().labels)))}

    def probabilities(self, state, labels, groups, statistics, progress):
        return torch.full((len(labels),), 1 / len(labels))

    def order(self, state, steps, size, generator):
        return state["losses"].argsort(descending=True)[: steps * size].reshape(steps, size)

    def judged(self, state, labels, groups, statistics):
        return None


@pytest.mark.parametrize("count", [1, 2])
def test_a_survey_shows_all_rows_as_the_net_sees_them_before_the_epoch(count):
    made = population(HardestFirst(), count)
    made.enter(0)
    survey(made)
    for member in range(count):
        net = build_net(made.architecture, 10 + member)
        losses = cross_entropy(net(TRAIN.numeric, TRAIN.categorical), one_hot(TRAIN.labels, 2)).detach()
        torch.testing.assert_close(made.state["sample"]["losses"][member], losses, rtol=1e-4, atol=1e-5)
        assert made.state["sample"]["valid_rows"][member] == len(VALID)
        order = row_order(made, 2, 16)[member]
        torch.testing.assert_close(losses[order[0, 0]], losses.max())
        assert (losses[order.flatten()].diff() <= 1e-5).all()


@dataclass(frozen=True)
class AnewAtLast(HardestFirst):
    """Has validation rows judged otherwise from the third epoch on."""

    def judged(self, state, labels, groups, statistics):
        return None if state["losses"][0] < 0 else 100.0 * labels + 1

    def survey(self, state, view):
        return {**state, "losses": state["losses"] * 0 + (1 if view.progress > 0.5 else -1)}

    def judges_anew(self, before, after):
        return bool(before["losses"][0] < 0 and after["losses"][0] > 0)


def test_an_epoch_that_was_judged_otherwise_is_not_the_best_one():
    made = population(AnewAtLast(), 2)
    while made.alive:
        made.run_epoch()
    kept, last = made.best.clone(), made.weights.flat
    torch.testing.assert_close(kept, last, rtol=0, atol=0)
    assert all(outcome.history[2] > outcome.history[1] for outcome in made.outcomes), "it is a figure of its own"


@dataclass(frozen=True)
class Doubled(Mixer):
    """Gives the classifier twice the features."""

    name: ClassVar[str] = "doubled"
    formula: ClassVar[str] = "-"
    source: ClassVar[Source] = Source("-")
    at: ClassVar[str] = "features"

    def draw(self, generator, steps, batch):
        return {"factor": torch.full((steps,), 2.0)}

    def mix(self, state, batch, partner, draws, progress):
        return batch._replace(inputs=draws["factor"] * batch.inputs)


def test_a_mixer_at_the_features_changes_what_the_classifier_gets():
    made = population(Doubled(), 1)
    made.enter(0)
    batch = tuple(v[0] for v in columns(made.train, torch.arange(32)[None]))
    parameters = {k: v[0] for k, v in made.weights.views.items()}
    loss, _ = made.objective(
        parameters, {"mix": {}, "loss": {}}, {}, batch, (), {"mix/factor": torch.tensor(2.0)}, torch.tensor(0.0)
    )
    net = build_net(made.architecture, 10)
    features = net.body(net.embed(TRAIN.numeric[:32], TRAIN.categorical[:32]))
    expected = cross_entropy(net.classifier(2 * features), one_hot(TRAIN.labels[:32], 2)).mean()
    torch.testing.assert_close(loss, expected)


@dataclass(frozen=True)
class Noisy(Loss):
    """Cross-entropy times a number drawn for each batch."""

    name: ClassVar[str] = "noisy"
    formula: ClassVar[str] = "-"
    source: ClassVar[Source] = Source("-")

    def draw(self, generator, steps, batch):
        return {"noise": torch.rand(steps, batch, generator=generator)}

    def losses(self, state, logits, batch, progress):
        return state["noise"] * cross_entropy(logits, batch.targets)


def test_a_loss_draws_for_every_batch_and_is_judged_with_the_same_numbers_after_every_epoch():
    made = population(Noisy())
    made.run_epoch()
    noise = torch.rand(len(VALID), generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        model = made.best_model(0)
        losses = cross_entropy(model.logits(VALID), one_hot(VALID.labels, 2))
        best = min(made.outcomes[0].history)
        torch.testing.assert_close(torch.tensor(best), (noise * losses).mean(), rtol=1e-4, atol=1e-5)
        made.run_epoch()


@dataclass(frozen=True)
class Bounded(GradientTransform):
    """Leaves the first layer alone, and keeps the classifier's weights in a band."""

    name: ClassVar[str] = "bounded"
    formula: ClassVar[str] = "-"
    source: ClassVar[Source] = Source("-")
    constrains: ClassVar[bool] = True

    def transform(self, state, gradients, parameters, progress):
        zero = parameters["body.0.weight"].sum() * 0
        return Update(gradients, {}, state, {"body.0.weight": zero})

    def constrain(self, state, parameters):
        return {"classifier.weight": parameters["classifier.weight"].clamp(-0.1, 0.1)}


@pytest.mark.parametrize("count", [1, 2])
def test_rates_scale_the_step_of_a_parameter_and_constraints_follow_it(count):
    made = population(Bounded(), count)
    before = {k: v.detach().clone() for k, v in made.weights.views.items()}
    made.run_epoch()
    after = {k: v.detach() for k, v in made.weights.views.items()}
    assert torch.equal(after["body.0.weight"], before["body.0.weight"])
    assert (after["body.0.bias"] - before["body.0.bias"]).abs().max() > 1e-3
    assert after["classifier.weight"].abs().max() <= 0.1
    assert before["classifier.weight"].abs().max() > 0.1


def test_nobodys_patience_ends_before_rows_are_drawn_as_they_will_be():
    plan = dataclasses.replace(PLAN, budget=5, patience=1)
    still = [Member({"learning_rate": 0.0, "weight_decay": 0.0}, 1)]
    late = parse({"sample": {"margin_balanced": {"warm": 0.6, "bins": 4.0}}})
    assert len(MLP().fit(late, still, TRAIN, VALID, INPUTS, plan)[0].history) == 5
    assert len(MLP().fit(parse("none"), still, TRAIN, VALID, INPUTS, plan)[0].history) == 2
