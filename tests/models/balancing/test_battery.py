"""One set of checks that every method must pass, found by looking, not listed."""

import dataclasses
import json

import pytest
import torch

from models.balancing import catalogue
from models.balancing.component import Loss, Mixer, Sampler, Scores, Weigher
from models.data import Batch, Statistics, one_hot
from models.errors import InputError

CLASSES, GROUPS, ROWS = 4, 3, 16
METHODS = list(catalogue().values())
BY_SLOT = {slot: [m for m in METHODS if m.slot == slot] for slot in {m.slot for m in METHODS}}
PROGRESS = torch.tensor(0.5)


def named(methods):
    return pytest.mark.parametrize("method", methods, ids=lambda m: m.name)


def statistics(absent_class: int | None = None) -> Statistics:
    cells = torch.tensor([[50.0, 30, 20], [20, 10, 5], [8, 4, 2], [3, 2, 1]])
    if absent_class is not None:
        cells[absent_class] = 0
    return Statistics(cells.sum(1), cells.sum(0), cells, int(cells.sum()))


def batch(rows: int = ROWS, one_group: bool = False, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (rows,), generator=generator)
    groups = torch.zeros(rows, dtype=torch.long) if one_group else torch.randint(GROUPS, (rows,), generator=generator)
    inputs = torch.randn(rows, 5, generator=generator)
    empty = torch.zeros(rows, 0, dtype=torch.long)
    return Batch(inputs, empty, one_hot(labels, CLASSES), labels, groups, torch.ones(rows), torch.arange(rows))


def logits(rows: int = ROWS, seed: int = 1) -> torch.Tensor:
    return torch.randn(rows, CLASSES, generator=torch.Generator().manual_seed(seed))


@named(METHODS)
def test_builds_from_defaults_and_says_where_it_comes_from(method):
    built = method.build({})
    assert built.name
    assert built.slot
    assert built.tasks
    assert built.source.title
    assert built.formula
    for name, allowed in method.hyperparameters().items():
        allowed.check(getattr(built, name), name)
        if allowed.low is not None:
            assert allowed.minimum <= allowed.low < allowed.high <= allowed.maximum
            allowed.check(allowed.low, name)
            allowed.check(allowed.high, name)
    json.dumps({n: dataclasses.asdict(r) for n, r in method.hyperparameters().items()}, default=str)


@named([m for m in METHODS if any(r.minimum > float("-inf") for r in m.hyperparameters().values())])
def test_a_value_out_of_range_names_value_and_range(method):
    name, allowed = next((n, r) for n, r in method.hyperparameters().items() if r.minimum > float("-inf"))
    with pytest.raises(InputError, match=rf"{method.name}.*{name}.*outside"):
        method.build({name: allowed.minimum - 1})


@named(METHODS)
def test_an_unknown_hyperparameter_is_refused(method):
    with pytest.raises(InputError, match="no hyperparameter 'nonsense'"):
        method.build({"nonsense": 1})


@named(BY_SLOT["loss"])
@pytest.mark.parametrize("scale", [1.0, 1e4, -1e4])
@pytest.mark.parametrize("rows", [1, ROWS])
def test_losses_and_gradients_stay_finite(method: type[Loss], scale, rows):
    part, given = method.build({}), (logits(rows) * scale).requires_grad_()
    losses = part.losses(part.init(statistics()), given, batch(rows), PROGRESS)
    assert losses.shape == (rows,)
    assert torch.isfinite(losses).all()
    losses.sum().backward()
    assert torch.isfinite(given.grad).all()


@named(BY_SLOT["loss"])
def test_loss_stands_a_class_without_training_rows(method: type[Loss]):
    part = method.build({})
    for absent in range(CLASSES):
        losses = part.losses(part.init(statistics(absent)), logits(), batch(), PROGRESS)
        assert torch.isfinite(losses[batch().labels != absent]).all()


@named(BY_SLOT["loss"])
def test_permuting_class_ids_permutes_the_loss(method: type[Loss]):
    order = torch.tensor([2, 0, 3, 1])
    counts, given = statistics(), batch()
    permuted = Statistics(
        counts.class_counts[order], counts.group_counts, counts.class_group_counts[order], counts.rows
    )
    labels = order.argsort()[given.labels]
    moved = given._replace(labels=labels, targets=given.targets[:, order])
    part = method.build({})
    before = part.losses(part.init(counts), logits(), given, PROGRESS)
    after = part.losses(part.init(permuted), logits()[:, order], moved, PROGRESS)
    torch.testing.assert_close(before, after)


@named(BY_SLOT["loss"])
def test_hyperparameters_may_be_tensors_in_a_population(method: type[Loss]):
    names = [n for n, r in method.hyperparameters().items() if r.searched]
    spread = {n: torch.tensor([_low(method, n), _high(method, n)]) for n in names} or {"unused": torch.zeros(2)}
    state, given = method.build({}).init(statistics()), batch()

    def one(hyper, scores):
        part = method.build({}).with_values({k: v for k, v in hyper.items() if k in names})
        return part.losses(state, scores, given, PROGRESS)

    together = torch.func.vmap(one, in_dims=(0, None))(spread, logits())
    for member in range(2):
        values = {n: float(spread[n][member]) for n in names}
        alone = method.build({}).with_values(values).losses(state, logits(), batch(), PROGRESS)
        torch.testing.assert_close(together[member], alone)


def _low(method, name):
    allowed = method.hyperparameters()[name]
    return float(allowed.choices[0] if allowed.choices else allowed.low)


def _high(method, name):
    allowed = method.hyperparameters()[name]
    return float(allowed.choices[-1] if allowed.choices else allowed.high)


@named(BY_SLOT["loss"])
def test_loss_works_in_bfloat16(method: type[Loss]):
    part = method.build({})
    half = part.losses(part.init(statistics()), logits().bfloat16().float(), batch(), PROGRESS)
    full = part.losses(part.init(statistics()), logits(), batch(), PROGRESS)
    torch.testing.assert_close(half, full, rtol=0.1, atol=0.1)


@named([m for m in METHODS if issubclass(m, (Loss, Weigher))])
def test_row_weights_are_the_gradient_weights_of_cross_entropy(method):
    part, counts, given = method.build({}), statistics(), batch()
    weights = part.row_weights(counts, given.labels, given.groups)
    if weights is None:
        pytest.skip("depends on the model")
    plain = catalogue()["none"].build({}).losses({}, logits(), given, PROGRESS)
    if isinstance(part, Loss):
        direct = part.losses(part.init(counts), logits(), given, PROGRESS)
    else:
        direct = part.weigh(part.init(counts), plain, given, PROGRESS)[0] * plain
    torch.testing.assert_close(direct, weights * plain)


@named(BY_SLOT["weigh"])
@pytest.mark.parametrize("one_group", [False, True])
@pytest.mark.parametrize("rows", [1, ROWS])
def test_weights_are_finite_and_state_is_not_changed_in_place(method: type[Weigher], rows, one_group):
    part = method.build({})
    state = part.init(statistics())
    before = {k: v.clone() for k, v in state.items()}
    weights, after = part.weigh(state, logits(rows).square().sum(-1), batch(rows, one_group), PROGRESS)
    assert weights.shape == (rows,)
    assert torch.isfinite(weights).all()
    assert (weights >= 0).all()
    assert after.keys() == state.keys()
    for key, value in before.items():
        torch.testing.assert_close(state[key], value)
        assert after[key].shape == value.shape


@named(BY_SLOT["sample"])
def test_sampling_probabilities_sum_to_one(method: type[Sampler]):
    given, part = batch(200), method.build({})
    counts = torch.bincount(given.labels, minlength=CLASSES).float()
    cells = torch.zeros(CLASSES, GROUPS)
    for progress in (0.0, 0.5, 1.0):
        p = part.probabilities({}, given.labels, given.groups, Statistics(counts, cells.sum(0), cells, 200), progress)
        assert p.shape == (200,)
        assert (p >= 0).all()
        torch.testing.assert_close(p.sum(), torch.tensor(1.0))


@named(BY_SLOT["mix"])
@pytest.mark.parametrize("rows", [1, ROWS])
def test_mixing_keeps_targets_a_distribution_and_its_argument_untouched(method: type[Mixer], rows):
    given, part = batch(rows), method.build({})
    copies = [t.clone() for t in given if t is not None]
    draws = {k: v[0] for k, v in part.draw(torch.Generator().manual_seed(0), 1, rows).items()}
    mixed = part.mix(part.init(statistics()), given, None, draws, PROGRESS)
    torch.testing.assert_close(mixed.targets.sum(-1), torch.ones(rows))
    assert mixed.inputs.shape == given.inputs.shape
    for tensor, copy in zip([t for t in given if t is not None], copies, strict=True):
        torch.testing.assert_close(tensor, copy)


@named(BY_SLOT["mix"])
def test_same_seed_same_draws(method: type[Mixer]):
    part = method.build({})
    first, second = (part.draw(torch.Generator().manual_seed(7), 3, ROWS) for _ in range(2))
    assert all(torch.equal(first[k], second[k]) for k in first)


@named(BY_SLOT["schedule"])
def test_phases_are_shares_that_sum_to_one(method):
    phases = method.build({}).phases()
    assert sum(p.share for p in phases) == pytest.approx(1)
    assert all(p.share > 0 for p in phases)


@named(BY_SLOT["head"])
def test_head_gives_logits(method):
    module = method.build({}).classifier(8, CLASSES)
    assert module(torch.randn(5, 8)).shape == (5, CLASSES)
    assert torch.isfinite(module(torch.zeros(2, 8))).all()


@named(BY_SLOT["adjust"])
def test_adjusted_probabilities_stay_probabilities_and_survive_a_round_trip(method):
    part, given = method.build({}), batch(200)
    scores = Scores(torch.log_softmax(logits(200).double(), -1), torch.log_softmax(logits(200).double(), -1))
    state = part.fit(scores, given.labels, given.groups, given.weights, statistics())
    adjusted = part.adjust(state, scores, given.groups)
    torch.testing.assert_close(adjusted.log_probabilities.exp().sum(-1), torch.ones(200, dtype=torch.float64))
    again = part.adjust({k: v.clone() for k, v in state.items()}, scores, given.groups)
    assert torch.equal(adjusted.decision, again.decision)
