"""One set of checks that every method must pass, found by looking, not listed."""

import dataclasses
import json
import math
import re
from pathlib import Path

import pytest
import torch

from models.adjustment import average
from models.balancing import catalogue
from models.balancing.base import shown
from models.balancing.component import Head, Loss, Sampler, Schedule, Scores, Weigher, WeightAdjuster
from models.balancing.probe import GROUPS, case, draws
from models.balancing.rules import ON_BATCHES, RULES, distinct, run
from models.data import Split, Statistics
from models.errors import InputError
from models.learners.learner import Model
from models.recipe import parse
from models.schema import CLASSES

COUNT = 4
METHODS = list(catalogue().values())
BY_TASK = [(m, task) for m in METHODS for task in distinct(m)]
"""Every method with every kind of target that it serves."""
BY_SLOT = {slot: [m for m in METHODS if m.slot == slot] for slot in {m.slot for m in METHODS}}


def named(methods):
    return pytest.mark.parametrize("method", methods, ids=lambda m: m.name)


def served(slots):
    pairs = [(m, t) for m, t in BY_TASK if m.slot in slots and not issubclass(m, WeightAdjuster)]
    return pytest.mark.parametrize(("method", "task"), pairs, ids=lambda x: x if isinstance(x, str) else x.name)


@named(METHODS)
def test_builds_from_defaults_and_says_where_it_comes_from(method):
    built = method.build({})
    assert built.name
    assert built.slot
    assert built.tasks
    assert built.formula
    assert built.source.title
    assert method.__doc__
    assert not method.__doc__.startswith(f"{method.__name__}(")
    for name, allowed in method.hyperparameters().items():
        allowed.check(getattr(built, name), name)
        if allowed.low is not None:
            assert allowed.minimum <= allowed.low < allowed.high <= allowed.maximum
            allowed.check(allowed.low, name)
            allowed.check(allowed.high, name)
    json.dumps({n: dataclasses.asdict(r) for n, r in method.hyperparameters().items()}, default=str)


@named(METHODS)
def test_what_it_costs_is_a_sentence_and_said_where_the_loop_does_more_for_it(method):
    if method.cost:
        assert method.cost[0].isupper()
        assert method.cost.endswith(".")
        assert len(method.cost.split()) >= 5
        assert method.cost not in " ".join(method.__doc__.split())
    does_more = any(getattr(method, flag, False) for flag in ("surveys", "looks_ahead", "per_class"))
    assert method.cost or not does_more, "a pass beyond plain training, and `cost` does not say so"


@named(METHODS)
def test_a_recipe_can_be_made_of_it_by_name(method):
    assert method.name in {c.name for c in parse(method.name).everything()}


BOUNDED = [m for m in METHODS if m.hyperparameters()]


@named(BOUNDED)
def test_a_value_just_outside_its_range_is_refused_with_value_and_range(method):
    for name, allowed in method.hyperparameters().items():
        if isinstance(allowed.default, str):
            continue
        assert math.isfinite(allowed.minimum), f"{name} does not say what is valid"
        assert math.isfinite(allowed.maximum), f"{name} does not say what is valid"
        for edge, beyond in ((allowed.minimum, -math.inf), (allowed.maximum, math.inf)):
            outside = math.nextafter(edge, beyond)
            said = re.escape(f"{method.slot} '{method.name}': {name} = {outside} is outside")
            said += re.escape(f" [{shown(allowed.minimum)}, {shown(allowed.maximum)}].")
            with pytest.raises(InputError, match=f"^{said}$"):
                method.build({name: outside})
            method.build({name: edge})


@named(BOUNDED)
def test_what_is_no_number_is_refused_with_its_name(method):
    for name, allowed in method.hyperparameters().items():
        wrong = [math.nan, math.inf, -math.inf, None, True, [1.0]]
        wrong += [3.5, "nonsense"] if isinstance(allowed.default, str) else ["0.5"]
        for value in wrong:
            with pytest.raises(InputError, match=re.escape(f"{method.slot} '{method.name}': {name} = {value!r}")):
                method.build({name: value})


@named(METHODS)
def test_an_unknown_hyperparameter_is_refused(method):
    with pytest.raises(InputError, match="no hyperparameter 'nonsense'"):
        method.build({"nonsense": 1})


def test_titles_are_those_of_the_list_of_papers(repository):
    listed = Path(repository).parent / "shared" / "methods" / "methods.tsv"
    if not listed.is_file():
        pytest.skip(f"no list of papers at {listed}")
    rows = [line.split("\t") for line in listed.read_text(encoding="utf-8").splitlines()[1:]]
    plain = {"".join(filter(str.isalnum, row[3].lower())): row[3] for row in rows}
    for method in METHODS:
        for source in (method.source, *method.also):
            known = plain.get("".join(filter(str.isalnum, source.title.lower())), source.title)
            assert source.title == known, method.name


# --- methods that act on batches: the rules of the contract ---


@served(ON_BATCHES)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_rule_of_the_contract(rule, method, task):
    rule(method, task)


@served({"loss", "weigh"})
def test_row_weights_are_the_gradient_weights_of_the_plain_loss(method, task):
    part, given = method.build({}), case(method, task=task)
    weights = part.row_weights(given.statistics, given.batch.labels, given.batch.groups)
    if weights is None:
        return
    plain = catalogue()["none"].build({}).losses({}, given.logits, given.batch, given.progress)
    if isinstance(part, Loss):
        direct = part.losses(part.init(given.statistics), given.logits, given.batch, given.progress)
    else:
        direct = part.weigh(part.init(given.statistics), plain, given.batch, given.progress)[0] * plain
    torch.testing.assert_close(direct, weights * plain)


@served({"loss"})
def test_loss_stands_a_class_without_training_rows(method: type[Loss], task):
    given, part = case(method, task=task), method.build({})
    for absent in range(given.classes):
        cells = given.statistics.class_group_counts.clone()
        cells[absent] = 0
        counts = given.statistics._replace(
            class_counts=cells.sum(1),
            group_counts=cells.sum(0),
            class_group_counts=cells,
            rows=int(cells.sum()),
            label_counts=cells.sum(1)[1:] if task == "multilabel" else torch.zeros(0),
        )
        state = {**part.parameters(counts, 6, torch.Generator().manual_seed(0)), **part.init(counts)}
        state.update(draws(part, given))
        losses = part.losses(state, given.logits, given.batch, given.progress)
        assert torch.isfinite(losses if part.set_level else losses[given.batch.labels != absent]).all()


@served({"weigh"})
def test_weights_are_not_negative(method: type[Weigher], task):
    for scale in (1.0, 1e4):
        assert (run(method, case(method, scale=scale, task=task))["weights"] >= 0).all()


@served({"mix"})
def test_mixed_targets_stay_targets_and_the_same_seed_draws_the_same(method, task):
    for rows in (1, 16):
        given = case(method, rows, task=task)
        targets, wanted = run(method, given)["targets"], torch.cat([given.batch.targets, given.partner.targets])
        assert (targets >= wanted.min() - 1e-6).all()
        assert (targets <= wanted.max() + 1e-6).all()
        if task in CLASSES:
            torch.testing.assert_close(targets.sum(-1), torch.ones(rows))
    first, second = (method.build({}).draw(torch.Generator().manual_seed(7), 3, 16) for _ in range(2))
    assert all(torch.equal(first[k], second[k]) for k in first)


# --- the other slots ---


@named(BY_SLOT["sample"])
@pytest.mark.parametrize("one_group", [False, True])
def test_sampling_probabilities_sum_to_one(method: type[Sampler], one_group):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(COUNT, (200,), generator=generator)
    groups = torch.randint(GROUPS, (200,), generator=generator) * (not one_group)
    cells = torch.bincount(labels * GROUPS + groups, minlength=COUNT * GROUPS).reshape(COUNT, GROUPS).float()
    counts, part = Statistics(cells.sum(1), cells.sum(0), cells, 200), method.build({})
    state = part.init(labels, groups, counts, generator)
    for progress in (0.0, 0.3, 0.5, 0.99, 1.0):
        p = part.probabilities(state, labels, groups, counts, progress)
        assert p.shape == (200,)
        assert (p >= 0).all()
        torch.testing.assert_close(p.sum(), torch.tensor(1.0))
    judged = part.judged(state, labels[:50], groups[:50], counts)
    assert judged is None or (judged.shape == (50,) and torch.isfinite(judged).all())


@named(BY_SLOT["schedule"])
def test_phases_are_shares_that_sum_to_one(method: type[Schedule]):
    phases = method.build({}).phases()
    assert sum(p.share for p in phases) == pytest.approx(1)
    assert all(p.share > 0 for p in phases)


@named(BY_SLOT["head"])
def test_head_gives_finite_logits_and_gradients_alone_and_in_a_population(method: type[Head]):
    torch.manual_seed(0)
    module = method.build({}).classifier(8, COUNT)
    for scale in (0.0, 1.0, 1e4):
        features = (scale * torch.randn(5, 8)).requires_grad_()
        logits = module(features)
        assert logits.shape == (5, COUNT)
        assert torch.isfinite(logits).all()
        logits.sum().backward()
        assert torch.isfinite(features.grad).all()
    members = {k: torch.stack([v.detach(), 2 * v.detach()]) for k, v in module.named_parameters()}
    features = torch.randn(2, 5, 8)
    together = torch.func.vmap(lambda p, f: torch.func.functional_call(module, p, (f,)))(members, features)
    torch.testing.assert_close(together[0], module(features[0]))


class Said(Model):
    """A model whose logits are given."""

    kind = "said"

    def __init__(self, logits):
        self.given = logits

    def logits(self, split):
        return self.given

    def tensors(self):
        return {}

    def architecture(self):
        return {}

    @classmethod
    def rebuild(cls, architecture, tensors):
        raise NotImplementedError


def scores_of(given):
    """The case as a split, and the scores that its logits are."""
    b, s = given.batch, given.statistics
    empty, values = torch.zeros(len(b.labels), 0), None if given.task in CLASSES else b.targets
    none = torch.zeros(len(b.labels), dtype=torch.bool)
    split = Split(
        empty, empty, b.labels, b.groups, b.weights, b.rows, none, s.classes, s.groups, given.task, values
    )  # fmt: skip
    return split, average([Said(given.logits)], split)


@served({"adjust"})
@pytest.mark.parametrize("one_group", [False, True])
def test_adjusted_probabilities_stay_probabilities_and_survive_a_round_trip(method, task, one_group):
    part, given = method.build({}), case(method, 200, one_group=one_group, task=task)
    split, scores = scores_of(given)
    state = part.fit(scores, split.truth, split.groups, split.weights, given.statistics)
    adjusted = part.adjust(state, scores, split.groups)
    if task in CLASSES:
        torch.testing.assert_close(adjusted.log_probabilities.exp().sum(-1), torch.ones(200, dtype=torch.float64))
    elif task == "multilabel":
        assert (adjusted.log_probabilities <= 0).all()
    assert torch.isfinite(adjusted.decision).all()
    again = part.adjust({k: v.clone() for k, v in state.items()}, scores, split.groups)
    assert torch.equal(adjusted.decision, again.decision)
    few = part.adjust(state, Scores(scores.log_probabilities[:1], scores.decision[:1]), split.groups[:1])
    torch.testing.assert_close(few.decision, adjusted.decision[:1])


@served({"adjust"})
def test_adjusting_stands_calibration_rows_that_are_all_alike(method, task):
    part, given = method.build({}), case(method, 50, task=task)
    split, scores = scores_of(given)
    truth = torch.ones_like(split.truth)
    state = part.fit(scores, truth, split.groups, split.weights, given.statistics)
    assert torch.isfinite(part.adjust(state, scores, split.groups).decision).all()
