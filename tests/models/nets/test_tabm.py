"""TabM: its parts as the paper has them, and the learner in the contract of all nets: populations, resuming, saving."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from models.data import Batch, Split, one_hot
from models.learners import learner
from models.learners.learner import Input, Member, Plan
from models.learners.net_model import NetModel, adjusted, build_net
from models.learners.objective import Objective
from models.learners.torch import TabM
from models.learners.weights import Weights
from models.nets.members import Members, mean_probability
from models.nets.piecewise_linear import quantile_edges
from models.nets.tabm import tabm
from models.predictor import Predictor
from models.preprocess import Preprocessor
from models.recipe import parse
from models.schema import Column, Schema, Target

torch.set_num_threads(1)


def make(rows: int, seed: int = 0) -> Split:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 4, generator=g)
    c = torch.randint(0, 4, (rows, 2), generator=g)
    groups = torch.randint(0, 3, (rows,), generator=g)
    noise = 0.3 * torch.randn(rows, generator=g)
    labels = (x[:, 0] + 0.5 * (c[:, 0] == 1) + 0.2 * groups + noise > 1.2).long()
    ones, none = torch.ones(rows), torch.zeros(rows, dtype=torch.bool)
    return Split(x, c, labels, groups, ones, torch.arange(rows), none, 2, 3)


class Small(TabM):
    MEMBERS, HIDDEN, EMBEDDING, BINS = 3, (8, 8), 4, 6


TRAIN, VALID = make(600), make(300, 1)
INPUTS = Input(4, (4, 4))
PLAN = Plan(budget=4, batch_size=64, patience=10)
EDGES = [[-1.0, 0.0, 1.0], [-2.0, 2.0]]


def members(recipe, count):
    space = parse(recipe).space()
    return [Member({"weight_decay": 0.01, **{k: r.default for k, r in space.items()}}, 10 + i) for i in range(count)]


def fit(recipe, chosen, plan=PLAN, train=TRAIN, inputs=INPUTS, **options):
    return Small().fit(parse(recipe), chosen, train, VALID, inputs, plan, **options)


def small_net(recipe="none", seed=0, **changes):
    chosen = parse(recipe)
    description = {**Small().architecture(chosen, INPUTS, 2, PLAN), **Small().fitted(TRAIN), **changes}
    return build_net(description, seed)


def test_one_member_without_a_scale_is_an_mlp():
    torch.manual_seed(0)
    net = tabm(EDGES, [3], 1, (5, 6), 2, None, 4)
    net.body.scale.data.fill_(1.0)
    plain = nn.Sequential(nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 2))
    names = ["body.layers.0", "body.layers.2", "classifier"]
    for layer, name in zip((plain[0], plain[2], plain[4]), names, strict=True):
        tensors = {k: net.state_dict()[f"{name}.{k}"] for k in ("weight", "bias")}
        layer.load_state_dict({k: v[0] if name == "classifier" else v for k, v in tensors.items()})
    x, c = torch.randn(7, 2), torch.randint(0, 3, (7, 1))
    torch.testing.assert_close(net(x, c), plain(net.embed(x, c)).log_softmax(-1))


def test_members_begin_apart_by_one_normal_number_per_column_and_by_their_heads():
    torch.manual_seed(0)
    net = tabm([[0.0, 1.0]] * 50, [3] * 50, 40, (5,), 2, None, 4)
    scale = net.body.scale.detach().reshape(40, 100, 4)
    assert torch.equal(scale, scale[..., :1].expand_as(scale))
    assert abs(float(scale.mean())) < 0.05
    assert abs(float(scale.std()) - 1) < 0.05
    heads = net.classifier.weight
    assert heads.shape == (40, 2, 5)
    assert len({tuple(h.flatten().tolist()) for h in heads}) == 40


def test_a_member_is_an_mlp_whose_first_weights_are_scaled():
    torch.manual_seed(1)
    net = tabm(EDGES, [3], 4, (5,), 2, None, 4)
    x, c = torch.randn(7, 2), torch.randint(0, 3, (7, 1))
    features = net.body(net.embed(x, c))
    first = net.body.layers[0]
    for member in range(4):
        expected = nn.functional.linear(net.embed(x, c), first.weight * net.body.scale[member], first.bias).relu()
        torch.testing.assert_close(features[:, member], expected)


def test_members_are_their_modules_under_one_modules_names():
    torch.manual_seed(0)
    modules = [nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)) for _ in range(5)]
    for module in modules:
        module[2].bias.requires_grad_(False)
    together = Members(modules)
    x = torch.randn(6, 5, 3)
    expected = torch.stack([m(x[:, i]) for i, m in enumerate(modules)], 1)
    torch.testing.assert_close(together(x), expected)
    assert [n for n, _ in together.named_parameters()] == [n for n, _ in modules[0].named_parameters()]
    assert not together.get_parameter("2.bias").requires_grad
    assert together.get_parameter("0.weight").requires_grad


def test_the_whole_model_says_the_members_mean_probability():
    logits = torch.log(torch.tensor([[[0.9, 0.1], [0.5, 0.5]], [[0.2, 0.8], [0.4, 0.6]]]))
    torch.testing.assert_close(mean_probability(logits + 3).exp(), torch.tensor([[0.7, 0.3], [0.3, 0.7]]))


def objective(recipe, net):
    return Objective(
        net,
        dict(net.named_buffers()),
        parse(recipe),
        [n for n, _ in net.named_parameters()],
        torch.device("cpu"),
        False,
        "binary",
    )


@pytest.mark.parametrize("recipe", ["none", "focal", "ldam"])
def test_the_loss_is_the_mean_of_the_members_losses(recipe):
    net, chosen = small_net(recipe), parse(recipe)
    rows = torch.arange(40)
    columns = (
        TRAIN.numeric[rows],
        TRAIN.categorical[rows],
        TRAIN.labels[rows],
        TRAIN.groups[rows],
        torch.ones(40),
        rows,
        torch.zeros(40, 0),
        torch.zeros(40, 0),
    )
    state = {"class_counts": torch.tensor([500.0, 100.0])}
    states = {"loss": state if chosen.loss.name == "ldam" else {}}
    progress = torch.tensor(0.5)
    loss, _ = objective(recipe, net)(dict(net.named_parameters()), states, {}, columns, (), {}, progress)
    logits = net.classifier(net.body(net.embed(*columns[:2])))
    batch = Batch(columns[0], columns[1], one_hot(columns[2], 2), *columns[2:6])
    each = [chosen.loss.losses(state, logits[:, m], batch, progress).mean() for m in range(3)]
    torch.testing.assert_close(loss, torch.stack(each).mean())


def test_penalties_and_their_states_are_averaged_and_counts_kept():
    net = small_net()
    features, logits = torch.randn(5, 3, 8), torch.randn(5, 3, 2)

    def judge(f, z):
        return f.sum(), {"centre": z.mean(0), "steps": torch.tensor(7)}

    penalty, state = objective("none", net).averaged(judge, features, logits)
    torch.testing.assert_close(penalty, features.sum() / 3)
    torch.testing.assert_close(state["centre"], logits.mean((0, 1)))
    assert state["steps"] == 7


def test_weight_decay_leaves_scales_and_biases_alone():
    net = small_net()
    weights = Weights([net], [{}], torch.device("cpu"))
    decays = dict(zip(weights.shapes, weights.decays.split([s.numel() for s in weights.shapes.values()]), strict=True))
    spared = {
        "body.scale",
        "embed.numeric.weight",
        "embed.numeric.bias",
        "classifier.bias",
        "body.layers.0.bias",
        "body.layers.2.bias",
    }
    assert {name for name, mask in decays.items() if not mask.any()} == spared


def test_bins_are_fitted_on_training_rows_only():
    moved = dataclasses.replace(VALID, numeric=VALID.numeric * 100)
    outcome = Small().fit(parse("none"), members("none", 1), TRAIN, moved, INPUTS, PLAN)[0]
    expected = [quantile_edges(column.numpy(), 6) for column in TRAIN.numeric.T]
    assert outcome.model.architecture()["edges"] == expected


@pytest.mark.parametrize("recipe", ["none", "focal_mixup", "ldam_drw", "group_dro", "crt", "adversary"])
def test_a_member_of_a_population_is_the_member_alone_and_resumes_exactly(recipe):
    chosen, saved = members(recipe, 2), {}
    together = fit(recipe, chosen, on_epoch=lambda epoch, make: saved.setdefault(epoch, make()))
    alone = fit(recipe, [chosen[1]])[0]
    torch.testing.assert_close(together[1].model.logits(VALID), alone.model.logits(VALID), rtol=1e-3, atol=1e-3)
    resumed = fit(recipe, chosen, resume=saved[2])
    for a, b in zip(together, resumed, strict=True):
        assert torch.equal(a.model.logits(VALID), b.model.logits(VALID))
        assert a.history == b.history


@pytest.mark.parametrize("recipe", ["tau_normalization", "nearest_class_mean"])
def test_methods_that_change_weights_change_each_members(recipe):
    model = fit("none", members("none", 1))[0].model
    changed = adjusted(model, parse(recipe), TRAIN, 0)
    seen = []
    for member in range(3):
        tensors = {
            k: v if not k.startswith("classifier.") else v[member : member + 1] for k, v in model.tensors().items()
        }
        tensors["body.scale"] = tensors["body.scale"][member : member + 1]
        one = adjusted(NetModel({**model.architecture(), "members": 1}, tensors), parse(recipe), TRAIN, 0)
        seen.append(one.logits(VALID))
    torch.testing.assert_close(changed.logits(VALID), mean_probability(torch.stack(seen, 1)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("missing", ["numeric", "categorical"])
def test_a_table_may_lack_a_kind_of_column(missing):
    def without(split):
        return dataclasses.replace(split, **{missing: getattr(split, missing)[:, :0]})

    inputs = Input(0, (4, 4)) if missing == "numeric" else Input(4, ())
    outcomes = Small().fit(parse("none"), members("none", 2), without(TRAIN), without(VALID), inputs, PLAN)
    assert all(o.error is None for o in outcomes)
    again = NetModel.rebuild(outcomes[0].model.architecture(), outcomes[0].model.tensors())
    assert torch.equal(again.logits(without(VALID)), outcomes[0].model.logits(without(VALID)))


def test_it_learns_a_band_that_is_no_threshold():
    train, valid = (
        dataclasses.replace(s, labels=((s.numeric[:, 1].abs() < 0.4) ^ (s.categorical[:, 1] == 2)).long())
        for s in (make(2000, 2), make(500, 3))
    )
    outcome = learner("tabm").fit(parse("none"), [Member({}, 0)], train, valid, INPUTS, Plan(budget=8, batch_size=64))[
        0
    ]
    assert (outcome.model.logits(valid).argmax(-1) == valid.labels).float().mean() > 0.93


def test_a_predictor_is_saved_and_loaded(tmp_path):
    schema = Schema(
        dataset="toy",
        columns=(
            Column(name="x", kind="numeric", role="feature"),
            Column(name="c", kind="categorical", role="feature", categories=("a", "b")),
            Column(name="y", kind="categorical", role="target", feature=False),
        ),
        target=Target(column="y", kind="binary", classes=("no", "yes")),
        sensitive=(),
    )
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"x": np.maximum(rng.normal(size=400), 0), "c": rng.choice(["a", "b"], 400)})
    rows.loc[::9, "x"] = np.nan
    rows["y"] = np.where((rows["x"] > 0.5) | (rows["c"] == "a"), "yes", "no")
    preprocessor = Preprocessor.fit(rows, schema, False)
    split = preprocessor.encode(rows)
    model = Small().fit(parse("none"), [Member({}, 0)], split, split, preprocessor.inputs, PLAN)[0].model
    predictor = Predictor(preprocessor, (model,), (), (), "none")
    predictor.save(tmp_path)
    pd.testing.assert_frame_equal(
        predictor.predict_frame(rows), Predictor.load(tmp_path).predict_frame(rows), check_exact=True
    )
