"""What the loop does for the awkward methods: phases, own parameters, memory of rows, gradients by class, set-level losses."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch.func import functional_call

from models.balancing import component
from models.balancing.component import Phase, Schedule, Source
from models.balancing.loss.none import cross_entropy
from models.balancing.optimize.per_class_normalized import normalized_sum
from models.data import Statistics, one_hot
from models.errors import InputError
from models.learners import weights as weights_module
from models.learners.batches import columns, row_order
from models.learners.clock import Clock, clocks
from models.learners.learner import Input, Member, Plan
from models.learners.population import Population
from models.learners.torch import MLP, _runs, build_net
from models.recipe import parse
from tests.models.learners.rows import table

torch.set_num_threads(1)

INPUTS = Input(4, (3,))
PLAN = Plan(budget=4, batch_size=32, hidden=(8,), patience=10)


TRAIN, VALID = table(320, 0), table(160, 1)


def members(spec, count):
    values = {k: r.default for k, r in parse(spec).space().items()}
    return [Member({"learning_rate": 3e-3 * (i + 1), "weight_decay": 0.01, **values}, 10 + i) for i in range(count)]


def population(spec, count=2, plan=PLAN):
    recipe, chosen = parse(spec), members(spec, count)
    architecture = MLP().architecture(recipe, INPUTS, 2, plan)
    made = Population(recipe, chosen, [build_net(architecture, m.seed) for m in chosen], TRAIN, VALID, plan)
    made.architecture = architecture
    return made


def fit(spec, chosen, plan=PLAN, **options):
    recipe = spec if not isinstance(spec, (str, Mapping)) else parse(spec)
    return MLP().fit(recipe, chosen, TRAIN, VALID, INPUTS, plan, **options)


def named(made, prefix):
    return {k: v.detach().clone() for k, v in made.weights.views.items() if k.startswith(prefix)}


def clock(made, done):
    return Clock(*clocks(made, [done])[0])


HALF = {"schedule": {"crt": {"start": 0.5}}}


@pytest.mark.parametrize("count", [1, 2])
def test_crt_begins_a_training_of_a_new_classifier_on_the_old_representation(count, monkeypatch):
    made, factors = population(HALF, count), []
    step = weights_module.AdamW.step

    def recorded(self, weights, gradient, clock, mask, *given):
        factors.append((float(clock.factor), self.steps, float(gradient.abs().max())))
        step(self, weights, gradient, clock, mask, *given)

    monkeypatch.setattr(weights_module.AdamW, "step", recorded)
    for _ in range(2):
        made.run_epoch()
    body, classifier, steps = named(made, ("body.", "embed.")), named(made, "classifier."), len(factors)
    made.enter(1)
    fresh = named(made, "classifier.")
    assert all((fresh[k] - classifier[k]).abs().max() > 0.01 for k in ("classifier.weight", "classifier.bias"))
    assert fresh["classifier.weight"].abs().max() <= 1 / 8**0.5
    assert made.optimizer.steps == 0
    assert made.optimizer.first.abs().max() == 0
    made.phase = 0
    made.run_epoch()
    made.run_epoch()
    assert all(torch.equal(v, body[k]) for k, v in named(made, ("body.", "embed.")).items())
    found = [f for f, _, _ in factors]
    assert found[0] == found[steps]
    assert found[:steps] == pytest.approx(found[steps:])
    assert found[steps - 1] < 0.05
    assert max(found[steps:]) > 0.9
    assert factors[steps][1] == 0


def test_a_training_without_restarts_keeps_one_learning_rate_schedule():
    made = population({"schedule": {"drw": {"start": 0.5}}})
    made.run_epoch()
    made.run_epoch()
    made.run_epoch()
    assert made.phase == 1
    assert (made.rises, made.falls) == (0, 4)
    assert made.optimizer.steps == 30


def test_lws_trains_the_scales_and_nothing_else():
    made = population({"schedule": {"lws": {"start": 0.5}}})
    for _ in range(2):
        made.run_epoch()
    before = {k: v.detach().clone() for k, v in made.weights.views.items()}
    assert torch.equal(before["classifier.scale"], torch.ones(2, 2))
    for _ in range(2):
        made.run_epoch()
    for name, value in made.weights.views.items():
        if name not in before:
            continue
        position = 0
        assert torch.equal(value[position], before[name][position]) is (name != "classifier.scale"), name


def test_a_phase_resumes_exactly_in_its_middle():
    saved = {}
    plan = dataclasses.replace(PLAN, budget=6)
    for spec in (HALF, {"schedule": {"lws": {"start": 0.34}}, "loss": "focal", "regularize": "adversary"}):
        saved.clear()
        whole = fit(spec, members(spec, 2), plan, on_epoch=lambda epoch, make: saved.setdefault(epoch, make()))
        for epoch in (2, 3, 5):
            resumed = fit(spec, members(spec, 2), plan, resume=saved[epoch])
            for a, b in zip(whole, resumed, strict=True):
                assert torch.equal(a.model.logits(VALID), b.model.logits(VALID))


@dataclass(frozen=True)
class Relay(Schedule):
    """Balanced softmax first, focal loss with a seesaw's memory afterwards."""

    name: ClassVar[str] = "relay"
    formula: ClassVar[str] = "-"
    source: ClassVar[Source] = Source("-")

    def phases(self):
        weighed = {"loss": component("seesaw").build({}), "weigh": component("kl_dro").build({})}
        return (Phase(0.5), Phase(0.25, switch=weighed), Phase(0.25, switch={"loss": component("focal").build({})}))


def test_a_method_that_takes_over_a_slot_begins_with_its_own_state_and_values():
    recipe = dataclasses.replace(parse({"loss": {"class_balanced": {}}}), schedule=Relay())
    chosen = [Member({"learning_rate": 1e-3, "weight_decay": 0.0, "loss.beta": 0.99}, s) for s in (1, 2)]
    outcomes = MLP().fit(recipe, chosen, TRAIN, VALID, INPUTS, PLAN)
    assert [o.error for o in outcomes] == [None, None]
    assert {c.name for c in recipe.everything()} == {"class_balanced", "relay", "seesaw", "kl_dro", "focal"}


def test_methods_own_parameters_train_and_do_not_enter_the_model():
    made = population("adversary")
    made.enter(0)
    before = named(made, "own.")
    assert set(before) == {f"own.adversary.{k}" for k in ("hidden", "hidden_bias", "output", "output_bias")}
    made.run_epoch()
    after = named(made, "own.")
    assert all((after[k] - before[k]).abs().max() > 0 for k in before)
    assert (before["own.adversary.hidden"][0] - before["own.adversary.hidden"][1]).abs().max() > 0.01
    assert not any("own" in k for k in made.best_model(0).tensors())


def test_every_training_row_has_a_dual_of_its_own():
    made = population({"weigh": {"feasible_learning": {"level": 0.1, "step": 0.5}}})
    made.enter(0)
    assert made.row_state["dual"].shape == (2, 320)
    order = row_order(made, 1, 32)
    losses = []
    for member in range(2):
        net = build_net(made.architecture, 10 + member)
        rows = order[member, 0]
        logits = net(TRAIN.numeric[rows], TRAIN.categorical[rows])
        losses.append(cross_entropy(logits, one_hot(TRAIN.labels[rows], 2)).detach())
    made._step(columns(made.train, order[:, 0]), {}, clock(made, 0.0))
    for member in range(2):
        expected = torch.zeros(320)
        expected[order[member, 0]] = (0.5 * (losses[member] - 0.1)).clamp(min=0)
        torch.testing.assert_close(made.row_state["dual"][member], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("regularize", [[], ["separation"]])
def test_gradients_by_class_are_those_of_the_mean_loss_of_each_class(count, regularize, monkeypatch):
    spec = {"optimize": {"per_class_normalized": {"size": 1.0}}, "regularize": regularize}
    made = population(spec, count)
    made.enter(0)
    captured = {}
    monkeypatch.setattr(
        made.optimizer, "step", lambda weights, gradient, clock, mask, given, rates: captured.update(given=given)
    )
    rows = row_order(made, 1, 32)[:, 0]
    made._step(columns(made.train, rows), {}, clock(made, 0.3))
    for member in range(count):
        net = build_net(made.architecture, 10 + member)
        parameters = {k: v.detach().requires_grad_() for k, v in net.named_parameters()}
        mine = rows[member]

        logits = functional_call(net, parameters, (TRAIN.numeric[mine], TRAIN.categorical[mine]))
        losses, labels = cross_entropy(logits, one_hot(TRAIN.labels[mine], 2)), TRAIN.labels[mine]
        by_class = [
            torch.autograd.grad(losses[labels == c].mean(), list(parameters.values()), retain_graph=True)
            for c in (0, 1)
        ]
        gradients = {k: torch.stack([g[i] for g in by_class]) for i, k in enumerate(parameters)}
        length = sum(p.numel() for p in parameters.values()) ** 0.5 / 2
        expected = {k: length * g for k, g in normalized_sum(gradients).items()}
        start = 0
        for name, shape in made.weights.shapes.items():
            found = captured["given"][0][member, start : start + shape.numel()].reshape(shape)
            start += shape.numel()
            if not regularize or name.startswith("classifier."):
                torch.testing.assert_close(found, expected[name], rtol=1e-3, atol=1e-4)
            elif name == "body.0.weight":
                assert (found - expected[name]).abs().max() > 1e-3
        assert captured["given"][1].min() == 1


def test_sam_with_a_tiny_radius_is_plain_training_and_with_a_large_one_is_not():
    plain = fit("none", members("none", 2))
    for radius, same in [(1e-7, True), (0.5, False)]:
        sharp = fit({"optimize": {"sam": {"radius": radius}}}, members("none", 2))
        gap = (sharp[1].model.logits(VALID) - plain[1].model.logits(VALID)).abs().max()
        assert bool(gap < 1e-4) is same


def test_what_a_phase_does_not_train_has_no_gradient_for_rules_that_measure_it():
    made = population({"schedule": {"lws": {"start": 0.5}}, "optimize": "sam"}, 1)
    for phase, trained in ((0, False), (1, True)):
        made.enter(phase)
        batch = columns(made.train, row_order(made, 1, 32)[:, 0])
        gradients, _ = made._gradients(made.weights.views, made.state, batch, (), {}, clock(made, 0.5))
        assert bool(gradients["classifier.scale"].any()) is trained
        assert bool(gradients["classifier.weight"].any()) is not trained


def test_muons_matrices_do_not_pass_through_adamw():
    made = population({"optimize": {"muon": {"scale": 0.5}}})
    made.run_epoch()
    made.run_epoch()
    moved = made.weights.views["body.0.weight"].detach()
    start = dict(build_net(made.architecture, 10).named_parameters())["body.0.weight"].detach()
    values = torch.linalg.svdvals(moved[0] - start)  # five steps do not lift what the gradient hardly holds
    assert values[len(values) // 2] > 0.5 * values[0]
    assert made.optimizer.second[0].count_nonzero() > 0


def test_a_set_level_loss_is_judged_on_the_whole_validation_set():
    plan = dataclasses.replace(PLAN, budget=1)
    outcome = fit("balanced_accuracy_loss", members("balanced_accuracy_loss", 1), plan)[0]
    from models.balancing.loss.any_loss import soft_confusion

    counts = soft_confusion(outcome.model.logits(VALID), one_hot(VALID.labels, 2), VALID.weights)
    expected = 1 - (counts.recall + counts.specificity) / 2
    assert outcome.history[0] == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize(
    ("recipe", "of"),
    [
        ("class_balanced_sampling", "training"),
        ("per_class_normalized", "validation"),
        ({"sample": "class_balanced_sampling", "optimize": "per_class_normalized"}, "validation"),
    ],
    ids=str,
)
def test_validation_rows_count_as_the_sampling_and_the_steps_ask(recipe, of):
    plan = dataclasses.replace(PLAN, budget=1)
    outcome = fit(recipe, members("none", 2), plan)[1]
    losses = cross_entropy(outcome.model.logits(VALID), one_hot(VALID.labels, 2))
    w = 1 / Statistics.of(TRAIN if of == "training" else VALID).class_counts[VALID.labels]
    assert outcome.history[0] == pytest.approx(float((w * losses).sum() / w.sum()), rel=1e-4)
    plain = fit("none", members("none", 1), plan)[0]
    direct = cross_entropy(plain.model.logits(VALID), one_hot(VALID.labels, 2)).mean()
    assert plain.history[0] == pytest.approx(float(direct), rel=1e-4)


def test_changed_weights_are_the_model_that_is_returned_and_rebuilt():
    plain = fit("none", members("none", 1))[0].model
    normalized = fit({"adjust": {"tau_normalization": {"tau": 1.0}}}, members("none", 1))[0].model
    w = plain.tensors()["classifier.weight"]
    torch.testing.assert_close(normalized.tensors()["classifier.weight"], w / w.norm(dim=1, keepdim=True))
    means = fit("nearest_class_mean", members("none", 1))[0].model
    features = plain.features(TRAIN)
    own = torch.stack([features[TRAIN.labels == c].mean(0) for c in (0, 1)])
    expected = 30 * torch.nn.functional.cosine_similarity(plain.features(VALID)[:, None], own[None], dim=-1)
    torch.testing.assert_close(means.logits(VALID), expected, rtol=1e-4, atol=1e-3)
    again = type(means).rebuild(means.architecture(), means.tensors())
    assert torch.equal(again.logits(VALID), means.logits(VALID))


def test_each_member_is_normalized_by_its_own_tau():
    spec = {"adjust": "tau_normalization"}
    chosen = [
        Member({"learning_rate": 1e-3, "weight_decay": 0.0, "adjust.tau_normalization.tau": t}, 1) for t in (0.0, 1.0)
    ]
    first, second = (o.model.tensors()["classifier.weight"] for o in fit(spec, chosen))
    torch.testing.assert_close(second, first / first.norm(dim=1, keepdim=True))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "f_beta_loss_kl_dro",
            "'f_beta_loss' is defined on a set of rows and has no loss per row, which 'kl_dro' needs",
        ),
        ("g_mean_loss_drw", "'g_mean_loss' .* which 'effective_number' needs"),
        ("g_mean_loss_per_class_normalized", "which 'per_class_normalized' needs"),
        ("seesaw_mixup", "'seesaw' cannot act here: it asks which class a row has, and 'mixup' mixes classes"),
        ("seesaw_selmix_fine_tuning", "'seesaw' cannot act here: it asks which class a row has, and 'selmix' mixes"),
    ],
)
def test_methods_that_cannot_act_together_are_named_when_the_recipe_is_built(spec, message):
    with pytest.raises(InputError, match=message):
        parse(spec)


def test_images_and_tables_are_told_apart_when_the_recipe_is_checked():
    with pytest.raises(InputError, match="'cutmix' works on images, but the data are a table"):
        parse("cutmix").check("binary", groups=False, image=False, where="here")
    with pytest.raises(InputError, match="'f_beta_loss' serves binary targets, but the target is multiclass"):
        parse("f_beta_loss").check("multiclass", groups=False, image=False, where="here")


def test_members_that_differ_in_a_value_that_is_no_number_train_apart():
    values = [{"a": 1.0, "kind": "x"}, {"a": 2.0, "kind": "y"}, {"a": 3.0, "kind": "x"}]
    chosen = [Member(v, i) for i, v in enumerate(values)]
    assert _runs(chosen, parse("none"), True, None) == [[0, 2], [1]]
    assert _runs(chosen, parse("none"), False, None) == [[0], [1], [2]]
    assert _runs(chosen, parse("none"), True, 1) == [[0], [2], [1]]


def test_members_that_differ_in_what_decides_on_phases_train_apart():
    chosen = [Member({"schedule.start": start, "loss.gamma": 2.0 * i}, i) for i, start in enumerate((0.5, 0.8, 0.5))]
    assert _runs(chosen, parse("focal_drw"), True, None) == [[0, 2], [1]]


def test_the_first_and_the_last_phase_have_an_epoch_where_there_are_two():
    for budget, expected in [(1, [0, 0]), (2, [0, 1]), (4, [0, 3]), (20, [0, 18])]:
        made = population("crt", 1, dataclasses.replace(PLAN, budget=budget))
        assert made.starts == expected
    made = population("crt", 1, dataclasses.replace(PLAN, budget=1))
    made.run_epoch()
    assert made.phase == 1
    assert math.isfinite(made.outcomes[0].history[0])
