"""Classifiers and activations against their papers."""

import pytest
import torch

from models.balancing import component
from models.balancing.component import TrainedNet
from models.balancing.head.adaptive_parametric_activation import AGLU, adaptive_parametric_activation
from models.balancing.head.cumulative_odds import FLOOR, CumulativeOdds, floored_log
from models.balancing.head.simplex import SCALE, FixedSimplex, SimplexClassifier, simplex
from models.data import Statistics
from models.errors import InputError
from models.nets.mlp import mlp
from models.nets.resnet32 import resnet32
from models.recipe import parse

Z = torch.linspace(-6, 6, 25)


def close(found, expected, **tolerance):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), **tolerance)


def test_apa_of_shape_one_is_the_logistic_sigmoid_and_of_shape_zero_the_gumbel_distribution():
    one = torch.ones(1)
    close(adaptive_parametric_activation(Z, one, one), torch.sigmoid(Z))
    close(adaptive_parametric_activation(Z, one, 2 * one), torch.sigmoid(2 * Z))
    close(adaptive_parametric_activation(Z, 0 * one, one), torch.exp(-torch.exp(-Z)), rtol=1e-2, atol=1e-3)


def test_apa_by_hand_and_aglu_is_gated_by_it():
    shape, slope = torch.tensor([0.5]), torch.tensor([2.0])
    close(adaptive_parametric_activation(Z, shape, slope), (0.5 * torch.exp(-2 * Z) + 1) ** -2)
    unit = AGLU()
    close(unit(Z), Z * adaptive_parametric_activation(Z, unit.shape, unit.slope))
    with torch.no_grad():
        unit.shape.fill_(1)
        unit.slope.fill_(1)
    close(unit(Z), torch.nn.functional.silu(Z))


def test_aglu_replaces_the_activations_of_both_architectures():
    head = component("aglu").build({})
    for net, count in [(mlp(4, (), (8, 8), 2, head), 2), (resnet32(1, [0.5], [0.2], 2, head), 31)]:
        assert sum(isinstance(m, AGLU) for m in net.modules()) == count
        assert not any(isinstance(m, torch.nn.ReLU) for m in net.modules())
        assert isinstance(net.classifier, torch.nn.Linear)


@pytest.mark.parametrize("classes", [2, 5])
def test_simplex_has_equal_norms_and_equal_angles(classes):
    gram = simplex(8, classes) @ simplex(8, classes).T
    expected = torch.full((classes, classes), -1 / (classes - 1))
    close(gram, expected.fill_diagonal_(1.0), rtol=0, atol=1e-6)


def test_simplex_classifier_scores_by_cosine_and_learns_nothing():
    module = SimplexClassifier(8, 3)
    assert not list(module.parameters())
    corner = 7 * simplex(8, 3)[1:2]
    close(module(corner), SCALE * torch.tensor([[-0.5, 1.0, -0.5]]), rtol=1e-5, atol=1e-4)


def test_simplex_needs_as_many_features_as_classes():
    with pytest.raises(InputError, match="10 classes need at least as many features, and the net has 4"):
        component("simplex").build({}).classifier(4, 10)


def test_scales_are_one_and_rest():
    module = component("scaled").build({}).classifier(5, 3)
    features = torch.randn(4, 5)
    close(module(features), torch.nn.functional.linear(features, module.weight, module.bias))
    assert not module.scale.requires_grad
    assert module.weight.requires_grad
    with torch.no_grad():
        module.scale.copy_(torch.tensor([1.0, 2.0, 3.0]))
    close(module(features), torch.nn.functional.linear(features, module.weight, module.bias) * module.scale)


def test_lws_brings_its_head_and_refuses_another():
    assert parse("lws").head.name == "scaled"
    with pytest.raises(
        InputError, match="'lws' cannot act here: it trains the scales of head 'scaled', and the head is 'cosine'"
    ):
        parse({"schedule": "lws", "head": "cosine"})


def test_the_fixed_simplex_is_a_linear_layer_that_learns_nothing_and_that_weights_can_be_scaled_in():
    module = FixedSimplex(8, 3)
    assert not list(module.parameters())
    features = torch.randn(5, 8)
    close(module(features), features @ simplex(8, 3).T)
    net = TrainedNet("fixed_simplex", dict(module.named_buffers()), lambda split: features)
    counts = torch.tensor([90.0, 10.0, 10.0])
    statistics = Statistics(counts, torch.tensor([110.0]), counts[:, None], 110)
    head, tensors = component("multiplicative_adjustment").build({"power": 0.5}).reweigh(net, None, statistics, None)
    module.load_state_dict(tensors)
    assert head == "fixed_simplex"
    close(module(features), features @ simplex(8, 3).T * torch.tensor([1.0, 3.0, 3.0]))


def test_cumulative_odds_begin_as_proportional_odds_with_equal_shares():
    module = CumulativeOdds(3, 4)
    close(module(torch.zeros(1, 3)).exp(), torch.full((1, 4), 0.25))
    features = torch.randn(5, 3)
    p = module(features).exp()
    close(p.sum(-1), torch.ones(5))
    cumulative = p.cumsum(-1)[:, :-1].logit()
    close(cumulative.diff(dim=-1), cumulative.diff(dim=-1)[:1].expand(5, 2), rtol=1e-3, atol=1e-4)


def test_cumulative_odds_by_hand():
    module = CumulativeOdds(1, 3)
    with torch.no_grad():
        module.weight.fill_(2)
        module.steps.fill_(-1)
        module.first.fill_(0)
        module.rises.fill_(0.0).add_(torch.tensor(3.0).expm1().log())
    low, high = torch.sigmoid(torch.tensor(-2.0)), torch.sigmoid(torch.tensor(3.0 - 1.0))
    close(module(torch.ones(1, 1)).exp(), torch.stack([low, high - low, 1 - high])[None])


def test_a_probability_below_the_floor_leaves_a_gradient():
    crossed = torch.tensor([-0.2, 0.0, FLOOR, 0.3], requires_grad=True)
    found = floored_log(crossed)
    found.sum().backward()
    close(found[2:], crossed[2:].log())
    close(crossed.grad, torch.tensor([1 / FLOOR, 1 / FLOOR, 1 / FLOOR, 1 / 0.3]))
