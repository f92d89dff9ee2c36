"""Models that take the place of a trained one: forests walked in all ways, and models behind a repair of their inputs."""

import json
import math

import numpy as np
import pytest
import safetensors.torch
import torch
from scipy.optimize import linprog

from models.balancing import catalogue
from models.balancing.adjust.counterfactual_repair import (
    counterfactual_weights,
    moves,
    parity,
    rate,
    rate_of,
    transport,
)
from models.balancing.adjust.fair_simulation import behind, telling
from models.balancing.component import ModelAdjuster
from models.data import Split
from models.errors import InputError
from models.learners import learner, model_class
from models.learners.forest_model import ForestModel
from models.learners.learner import Input, Member, Plan
from models.learners.repaired_model import RepairedModel
from models.learners.simulated_forest import SimulatedForest
from models.recipe import parse

torch.set_num_threads(1)
INPUTS, PLAN = Input(4, (3,)), Plan(budget=10, batch_size=64, hidden=(8,), patience=10)
REPLACING = [m for m in catalogue().values() if issubclass(m, ModelAdjuster)]


def make(rows: int, seed: int = 0) -> Split:
    """Rows of two groups, which a column tells; the second is positive less often."""
    g = torch.Generator().manual_seed(seed)
    groups, x = (torch.rand(rows, generator=g) < 0.4).long(), torch.randn(rows, 4, generator=g)
    labels = (x[:, 0] + 0.5 - 1.2 * groups + 0.5 * torch.randn(rows, generator=g) > 0).long()
    x[:, 1], x[:, 2] = 2.0 * groups - 1, groups + 0.5 * x[:, 2]
    c, none = torch.randint(0, 3, (rows, 1), generator=g), torch.zeros(rows, dtype=torch.bool)
    return Split(x, c, labels, groups, torch.ones(rows), torch.arange(rows), none, 2, 2)


TRAIN, VALID = make(400), make(200, 1)


def fit(name: str, recipe):
    return learner(name).fit(parse(recipe), [Member({}, 3)], TRAIN, VALID, INPUTS, PLAN)[0].model


# --- every method that does so ---


@pytest.mark.parametrize("method", REPLACING, ids=lambda m: m.name)
def test_the_model_survives_a_round_trip_and_the_same_seed_makes_it_again(method):
    recipe = parse(method.name)
    name = next(n for n in ("mlp", "trees") if learner(n).refuses(recipe, False) is None)
    model, again = fit(name, method.name), fit(name, method.name)
    bytes_of = safetensors.torch.save({k: v.contiguous() for k, v in model.tensors().items()})
    assert bytes_of == safetensors.torch.save({k: v.contiguous() for k, v in again.tensors().items()})
    described = json.loads(json.dumps(model.architecture()))
    rebuilt = model_class(model.kind).rebuild(described, safetensors.torch.load(bytes_of))
    assert torch.equal(rebuilt.logits(VALID), model.logits(VALID))
    assert model.logits(VALID).dtype == torch.float32
    assert len(model.logits(VALID.take(torch.arange(0)))) == 0


# --- forests walked in all ways ---


def stump(left: float, right: float, column: int = 0) -> ForestModel:
    """One node, x <= 0.5, of two leaves with these shares of class 1."""
    value = torch.tensor([[0.5, 0.5], [1 - left, left], [1 - right, right]], dtype=torch.float64)
    arrays = {
        "column": torch.tensor([column, 0, 0]), "threshold": torch.tensor([0.5, 0.0, 0.0]),
        "left": torch.tensor([1, 1, 2]), "right": torch.tensor([2, 1, 2]), "value": value, "root": torch.tensor([0]),
    }  # fmt: skip
    about = {"indicators": [], "classes": 2, "present": [0, 1], "rows": 10**9, "depth": 1, "link": "share"}
    return ForestModel(about, arrays)


def rows_of(*x: float, groups=None) -> Split:
    n = len(x)
    zeros = torch.zeros(n, dtype=torch.long)
    groups = zeros if groups is None else torch.tensor(groups)
    columns = torch.tensor(x)[:, None]
    return Split(columns, zeros[:, None][:, :0], zeros, groups, torch.ones(n), zeros, zeros.bool(), 2, 2)


def test_a_simulated_stump_by_hand():
    told, unprivileged = torch.tensor([True]), torch.tensor([False, True])
    rows = rows_of(0.0, 1.0, 0.0, 1.0, 3.0, groups=[0, 0, 1, 1, 1])
    forest = SimulatedForest.of(stump(0.2, 0.9), told, unprivileged, flip=0.1, factor=4.0, scale=25.0)
    q = 0.1 - 0.5 / 25
    wanted = [
        0.2 * (1 - q) + 0.9 * q,
        0.9 * (1 - q) + 0.2 * q,
        0.2 * (1 - 4 * q) + 0.9 * 4 * q,
        0.9 * (1 - q) + 0.2 * q,
    ]
    torch.testing.assert_close(forest.shares(rows)[:4, 1], torch.tensor(wanted).double(), rtol=1e-6, atol=1e-6)
    assert forest.shares(rows)[4, 1] == pytest.approx(0.9, abs=1e-6)  # 2.5 from the threshold, nothing is left of 0.1
    half = SimulatedForest.of(stump(0.2, 0.9), told, unprivileged, flip=0.1, factor=100.0, scale=25.0)
    assert half.shares(rows)[2, 1] == pytest.approx(0.55, abs=1e-6)
    plain = SimulatedForest.of(stump(0.2, 0.9), ~told, unprivileged, flip=0.1, factor=4.0, scale=25.0)
    torch.testing.assert_close(plain.shares(rows)[2:4], plain.shares(rows)[:2])


def test_without_flips_it_is_the_forest_and_many_runs_of_the_simulation_come_to_its_mean():
    forest = fit("trees", "balanced_forest")
    still = fit("trees", {"grow": "balanced_forest", "adjust": {"fair_simulation": {"flip": 0.0}}})
    assert isinstance(still, SimulatedForest)
    torch.testing.assert_close(still.logits(VALID), forest.logits(VALID))

    walked = fit("trees", {"grow": "balanced_forest", "adjust": {"fair_simulation": {"flip": 0.2, "factor": 3.0}}})
    t, row, runs = {k: v.numpy() for k, v in walked.tensors().items()}, VALID.take(torch.tensor([5])), 4000
    x = torch.cat([torch.zeros(1, len(forest.architecture()["indicators"])), row.numeric], 1)[0].numpy()
    for place, (_, identity) in enumerate(forest.architecture()["indicators"]):
        x[place] = float(int(row.categorical[0, 0]) == identity)
    poor = bool(t["unprivileged"][int(row.groups[0])])
    node, rng = np.repeat(t["root"][None], runs, 0), np.random.default_rng(0)
    for _ in range(forest.architecture()["depth"]):
        distance = x[t["column"][node]] - t["threshold"][node]
        left = distance <= 0
        q = np.clip(0.2 - np.abs(distance) / 100, 0, 0.5)
        boosted = poor & t["protected"][node] & (left == t["unfavourable_left"][node])
        q = np.where(boosted, np.minimum(3 * q, 0.5), q)
        left ^= rng.random(node.shape) < q
        node = np.where(left, t["left"][node], t["right"][node])
    simulated = t["value"][node].sum(1)[:, 1]
    error = simulated.std() / math.sqrt(runs)
    assert abs(simulated.mean() - float(walked.shares(row)[0, 1])) < 4 * error


def test_the_column_that_tells_the_group_is_found_and_the_groups_that_are_behind():
    columns = torch.tensor([[0.0, 1.0, 5.0], [0.0, 1.0, 6.0], [1.0, 1.0, 5.0], [1.0, 1.0, 5.0]])
    groups = torch.tensor([0, 0, 1, 1])
    assert telling(columns, groups).tolist() == [True, False, False]
    assert not telling(columns, torch.zeros(4, dtype=torch.long)).any()
    labels = torch.tensor([1, 1, 0, 1])
    assert behind(labels, groups, torch.ones(4), 3).tolist() == [False, True, False]
    walked = fit("trees", "fair_simulation")
    columns = walked.tensors()["column"][walked.tensors()["protected"]].unique().tolist()
    assert columns == [len(walked.architecture()["indicators"]) + 1]
    assert walked.tensors()["unprivileged"].tolist() == [False, True]


def test_it_asks_for_a_forest_and_nets_refuse_it():
    with pytest.raises(InputError, match="needs a forest whose leaves are averaged, and grow 'rusboost'"):
        parse({"grow": "rusboost", "adjust": "fair_simulation"})
    assert "about trees" in learner("mlp").refuses(parse("fair_simulation"), False)


# --- models behind a repair ---


def test_the_influence_of_a_row_is_the_slope_of_the_gap():
    """Along (1 - e) w + e at a row, at e = 0: what an influence function is."""
    rng = np.random.default_rng(0)
    p, q, w = rng.random(6), rng.random(6), rng.dirichlet(np.ones(6))
    for figure, other in ((parity, 0.7), (rate, 0.7), (rate, 0.1)):
        found = figure(p, q, w, other)
        assert abs(float(w @ found.values)) < 1e-12
        for row in range(6):
            nudged = (1 - 1e-6) * w + 1e-6 * np.eye(6)[row]
            slope = (figure(p, q, nudged, other).gap - found.gap) / 1e-6
            assert slope == pytest.approx(found.values[row], rel=1e-3, abs=1e-4)


def test_the_descent_takes_away_the_share_of_the_gap_that_is_asked_for():
    rng = np.random.default_rng(1)
    p, q, w = 0.8 * rng.random(40), rng.random(40), np.full(40, 1 / 40)
    for figure, repair in ((parity, 1.0), (rate, 1.0), (rate, 0.5), (rate, 0.0)):
        after = counterfactual_weights(figure, p, q, w, 0.6, repair)
        assert after.sum() == pytest.approx(1)
        assert (after > 0).all()
        assert figure(p, q, after, 0.6).gap <= (1 - repair) * figure(p, q, w, 0.6).gap + 1e-6
    np.testing.assert_array_equal(after, w)


def test_moving_only_what_is_in_excess_costs_what_the_whole_transport_costs_and_gives_the_counterfactual_mean():
    rng = np.random.default_rng(2)
    x, before, after, p = rng.random((7, 3)), rng.dirichlet(np.ones(7)), rng.dirichlet(np.ones(7)), rng.random(7)
    distances = np.abs(x[:, None] - x[None]).sum(-1)
    stays, moved = moves(distances, p, before, after)
    assert float(before @ (stays * p + moved)) == pytest.approx(float(after @ p))
    excess, lack = np.maximum(before - after, 0), np.maximum(after - before, 0)
    partly = float((transport(distances, excess / excess.sum(), lack / lack.sum()) * distances).sum() * excess.sum())
    sums = np.concatenate([np.kron(np.eye(7), np.ones((1, 7))), np.kron(np.ones((1, 7)), np.eye(7))])
    wholly = linprog(distances.reshape(-1), A_eq=sums, b_eq=np.concatenate([before, after])).fun
    assert partly == pytest.approx(wholly)


def test_a_repaired_point_by_hand():
    class Half:
        def logits(self, split):
            return torch.zeros(len(split), 2)

    points = {
        "numeric": torch.tensor([[0.0], [1.0]]), "categorical": torch.zeros(2, 0, dtype=torch.long),
        "group": torch.tensor([1, 1]), "stays": torch.tensor([1.0, 0.6]).double(), "moved": torch.tensor([0.0, 0.36]).double(),
    }  # fmt: skip
    told = RepairedModel(Half(), points).logits(rows_of(0.1, 0.8, 0.8, groups=[1, 1, 0]))
    torch.testing.assert_close(torch.softmax(told, -1)[:, 1], torch.tensor([0.5, 0.66, 0.5]))


@pytest.mark.parametrize("name", ["mlp", "trees"])
def test_the_groups_have_one_figure_on_the_rows_of_the_repair_and_the_best_group_stays_as_it_is(name):
    plain, repaired = fit(name, "none"), fit(name, "repaired_parity")
    before, after = (torch.softmax(m.logits(TRAIN).double(), -1)[:, 1].numpy() for m in (plain, repaired))
    first = TRAIN.groups.numpy() == 0
    np.testing.assert_allclose(before[first], after[first])
    ones = np.ones(len(TRAIN))
    gaps = [
        rate_of(p[first], ones[first], ones[first] / first.sum())
        - rate_of(p[~first], ones[~first], ones[~first] / (~first).sum())
        for p in (before, after)
    ]
    assert gaps[0] > 0.1
    assert abs(gaps[1]) < 0.005
    still = fit(name, {"adjust": {"repaired_parity": {"repair": 0.0}}})
    torch.testing.assert_close(*(torch.softmax(m.logits(VALID), -1) for m in (still, plain)), rtol=1e-4, atol=1e-4)
