"""What a new model takes over from the champion, against the papers: its weights, its outputs, and averages along the way."""

import dataclasses
import math

import pytest
import torch
from torch.nn import functional

from models.balancing import component
from models.balancing.optimize.ema import STEPS, moved
from models.balancing.regularize.distillation import distillation
from models.balancing.start.shrink_and_perturb import shrunk_and_perturbed
from models.errors import InputError
from models.learners.learner import Input, Member, Plan
from models.learners.starting import differing
from models.learners.torch import MLP
from models.recipe import parse
from tests.models.learners.test_training_battery import PLAN, champion_of, members, table, with_champion

LOGITS = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
SAID = torch.log_softmax(torch.randn(64, 3, generator=torch.Generator().manual_seed(1)), -1)
INPUT = Input(4, (3,))


def trained(spec, values=(), plan=None, said=True):
    """A member of the recipe, trained beside a champion."""
    train, valid = table(160, 0), table(60, 1)
    with_one, taught = with_champion(train, valid)
    chosen = Member({"learning_rate": 2e-3, "weight_decay": 0.01, **dict(values)}, 5)
    rows = taught if said else train
    return MLP().fit(parse(spec), [chosen], rows, valid, INPUT, plan or with_one)[0].model.tensors()


def test_distillation_by_hand_and_as_torchs_divergence():
    said, logits = torch.log(torch.tensor([[0.8, 0.2]])), torch.zeros(1, 2)
    expected = 0.8 * math.log(0.8 / 0.5) + 0.2 * math.log(0.2 / 0.5)
    assert distillation(logits, said, 1.0).item() == pytest.approx(expected, rel=1e-6)
    soft = torch.tensor([math.sqrt(0.8), math.sqrt(0.2)]) / (math.sqrt(0.8) + math.sqrt(0.2))
    expected = 4 * (soft * (2 * soft).log()).sum().item()
    assert distillation(logits, said, 2.0).item() == pytest.approx(expected, rel=1e-5)
    reference = functional.kl_div(torch.log_softmax(LOGITS / 3, -1), torch.softmax(SAID / 3, -1), reduction="none").sum(
        -1
    )
    torch.testing.assert_close(distillation(LOGITS, SAID, 3.0), 9 * reference)


def test_a_model_that_says_what_the_champion_says_pays_nothing_and_is_drawn_nowhere():
    logits = (SAID + 7.0).requires_grad_()
    lost = distillation(logits, SAID, 2.0).sum()
    assert lost.item() == pytest.approx(0, abs=1e-5)
    (gradient,) = torch.autograd.grad(lost, logits)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-6)


def test_distillation_of_no_weight_is_training_without_it_and_with_weight_it_is_another():
    plain = trained("none")
    silent = trained("distillation", {"regularize.distillation.strength": 0.0})
    taught = trained("distillation", {"regularize.distillation.strength": 1.0})
    for name, value in plain.items():
        torch.testing.assert_close(silent[name], value, rtol=0, atol=1e-6)
    assert any(not torch.allclose(taught[name], value, atol=1e-4) for name, value in plain.items())


def test_distillation_refuses_rows_that_are_mixed():
    with pytest.raises(InputError, match=r"'distillation' cannot act here.*'mixup' mixes them"):
        parse({"mix": "mixup", "regularize": "distillation"})


def test_shrink_and_perturb_between_the_champion_and_a_fresh_net():
    weights, noise = torch.tensor([2.0, -4.0]), torch.tensor([1.0, 0.5])
    torch.testing.assert_close(shrunk_and_perturbed(weights, noise, 0.5, 0.1), torch.tensor([1.1, -1.95]))
    torch.testing.assert_close(shrunk_and_perturbed(weights, noise, 1.0, 0.0), weights)
    champion = {"a.weight": torch.randn(300, 300, generator=torch.Generator().manual_seed(0))}
    part = component("shrink_and_perturb").build({"keep": 0.0, "deviation": 0.5})
    begun = part.begin(champion, torch.Generator().manual_seed(1))["a.weight"]
    assert begun.mean().item() == pytest.approx(0, abs=0.01)
    assert begun.std().item() == pytest.approx(0.5, rel=0.02)


def test_a_warm_start_without_a_step_is_the_champion_and_shrinking_by_nothing_is_a_warm_start():
    (champion,) = champion_of("multiclass")
    still = trained("warm_start", {"learning_rate": 0.0})
    assert all(torch.equal(still[name], value) for name, value in champion.tensors().items())
    warm = trained("warm_start")
    same = trained("shrink_and_perturb", {"start.keep": 1.0, "start.deviation": 0.0})
    assert all(torch.equal(same[name], value) for name, value in warm.items())
    assert any(not torch.equal(warm[name], value) for name, value in trained("none").items())


def test_a_net_of_another_architecture_is_not_started_from():
    (champion,) = champion_of("multiclass")
    made = {k: v for k, v in champion.architecture().items() if k != "task"}
    assert differing(made, [champion]) is None
    said = differing({**made, "hidden": [16]}, [champion])
    assert said == "the champion's net has hidden [8], and here it would be [16]"
    assert "no net" in differing(made, [])
    assert MLP().cannot_start(parse("warm_start"), [champion], INPUT, 2, PLAN) is None
    wider = dataclasses.replace(PLAN, hidden=(16,))
    assert "hidden" in MLP().cannot_start(parse("warm_start"), [champion], INPUT, 2, wider)
    with pytest.raises(InputError, match="no champion was handed"):
        trained("warm_start", plan=PLAN)


def test_the_average_by_hand_first_even_then_exponential():
    average = torch.tensor(8.0)
    steps = torch.tensor(0.0)
    for weights, expected in ((2.0, 2.0), (4.0, 3.0), (6.0, 4.0), (0.0, 3.0)):
        average = moved(average, torch.tensor(weights), steps, 0.99)
        steps = steps + 1
        assert average.item() == pytest.approx(expected)
    assert moved(torch.tensor(1.0), torch.tensor(3.0), torch.tensor(1e4), 0.9).item() == pytest.approx(1.2)
    assert moved(torch.tensor(1.0), torch.tensor(3.0), torch.tensor(1e4), 0.0).item() == 3.0


def test_an_average_that_remembers_nothing_is_the_last_weights_and_a_long_one_is_not():
    plain = trained("none")
    last = trained("ema", {"optimize.decay": 0.0})
    assert all(torch.equal(last[name], value) for name, value in plain.items())
    long = trained("ema", {"optimize.decay": 0.999})
    assert any(not torch.allclose(long[name], value, atol=1e-4) for name, value in plain.items())


def test_the_averages_state_is_one_per_parameter_and_a_count():
    part = component("ema").build({})
    state = part.init({"a.weight": torch.ones(2)})
    assert set(state) == {"a.weight", STEPS}
    assert set(part.average(state)) == {"a.weight"}


def test_which_of_the_champions_models_a_member_starts_from_does_not_depend_on_its_company():
    (first,) = champion_of("multiclass")
    second = (
        MLP().fit(parse("none"), members(component("none"), 2)[1:], table(160, 0), table(60, 1), INPUT, PLAN)[0].model
    )
    plan: Plan = dataclasses.replace(PLAN, champion=(first, second))
    still = [Member({"learning_rate": 0.0, "weight_decay": 0.0}, seed) for seed in (4, 5)]
    found = MLP().fit(parse("warm_start"), still, table(160, 0), table(60, 1), INPUT, plan)
    for outcome, expected in zip(found, (first, second), strict=True):
        assert all(torch.equal(outcome.model.tensors()[name], value) for name, value in expected.tensors().items())
