"""Transforms of gradients against their papers, and what the loop does with them."""

import math

import pytest
import torch

from models.balancing import component
from models.balancing.component import View
from models.balancing.optimize.max_norm import NAME, MaxNorm, bound, projected
from models.balancing.optimize.muon import orthogonalized
from models.balancing.optimize.per_class_normalized import normalized_sum
from models.balancing.optimize.sam import uphill
from models.balancing.optimize.temp_balance import rates, tail_exponent

PARAMETERS = {"body.0.weight": torch.ones(4, 3), "body.0.bias": torch.ones(4), "classifier.weight": torch.ones(2, 4)}


def close(found, expected, **tolerance):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), **tolerance)


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4)])
def test_orthogonalization_brings_every_singular_value_near_one_and_keeps_the_directions(shape):
    matrix = torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalized(matrix)
    left, values, right = torch.linalg.svd(found, full_matrices=False)
    assert ((values > 0.6) & (values < 1.3)).all()
    diagonal = u.T @ found @ v.T
    close(diagonal, torch.diag(diagonal.diagonal()), rtol=0, atol=1e-9)
    assert left.shape == u.shape
    assert right.shape == v.shape


def test_muon_steps_matrices_of_the_body_and_leaves_the_rest():
    part = component("muon").build({"momentum": 0.5, "scale": 0.2})
    gradients = {k: torch.randn(v.shape, generator=torch.Generator().manual_seed(0)) for k, v in PARAMETERS.items()}
    state = part.init(PARAMETERS)
    assert set(state) == {"body.0.weight"}
    first = part.transform(state, gradients, PARAMETERS, torch.tensor(0.0))
    assert set(first.gradients) == {"body.0.bias", "classifier.weight"}
    g = gradients["body.0.weight"]
    close(first.state["body.0.weight"], 0.5 * g)
    close(first.directions["body.0.weight"], 0.2 * 2 * orthogonalized(0.5 * g + 0.5 * 0.5 * g))
    second = part.transform(first.state, gradients, PARAMETERS, torch.tensor(0.0))
    close(second.state["body.0.weight"], 0.75 * g)


def test_muon_leaves_the_scales_of_several_members_to_adamw():
    scales = {"body.scale": torch.ones(4, 3), "body.layers.0.weight": torch.ones(5, 3)}
    assert set(component("muon").build({}).init(scales)) == {"body.layers.0.weight"}


def test_muon_treats_filters_as_matrices():
    part = component("muon").build({})
    filters = {"body.0.weight": torch.randn(8, 3, 3, 3, generator=torch.Generator().manual_seed(0))}
    update = part.transform(part.init(filters), filters, filters, torch.tensor(0.0))
    values = torch.linalg.svdvals(update.directions["body.0.weight"].reshape(8, 27)) / (0.2 * 27**0.5)
    assert ((values > 0.6) & (values < 1.3)).all()


def test_every_class_pulls_with_the_same_force():
    gradients = {"a": torch.tensor([[3.0, 0.0], [0.0, 1e-3], [0.0, 0.0]]), "b": torch.tensor([[4.0], [0.0], [0.0]])}
    found = normalized_sum(gradients)
    close(found["a"], [3 / 5, 1.0])
    close(found["b"], [4 / 5])


def test_one_class_alone_gives_normalized_gradient_descent():
    gradient = torch.tensor([[3.0, 4.0]])
    part = component("per_class_normalized").build({"size": 1.0})
    update = part.transform({}, {"a": gradient}, {"a": torch.zeros(2)}, torch.tensor(0.0))
    close(update.directions["a"], 2**0.5 * torch.tensor([0.6, 0.8]))
    assert not update.gradients


def test_sam_looks_uphill_by_its_radius():
    parameters, gradients = (
        {"a": torch.zeros(2), "b": torch.zeros(1)},
        {"a": torch.tensor([0.0, 3.0]), "b": torch.tensor([4.0])},
    )
    found = uphill(parameters, gradients, 0.5)
    close(found["a"], [0.0, 0.3])
    close(found["b"], [0.4])
    close(uphill(parameters, gradients, 0.0)["b"], [0.0])


# --- bounded norms ---


def test_the_bound_and_the_projection_by_hand():
    weight = torch.tensor([[3.0, 4.0], [0.0, 1.0], [0.6, 0.8]])
    limit = bound(weight, 0.25)
    close(limit, 2.0)
    close(projected(weight, limit), [[1.2, 1.6], [0.0, 1.0], [0.6, 0.8]])
    close(projected(weight, bound(weight, 1.0)), weight)
    assert (projected(weight, bound(weight, 0.0)).norm(dim=-1) - 1).abs().max() < 1e-6


def test_norms_are_bounded_from_the_start_on_by_the_classifier_of_that_moment():
    part = MaxNorm(share=0.5, start=0.6)
    fresh, learned = {NAME: torch.eye(2)}, {NAME: torch.tensor([[1.0, 0.0], [0.0, 5.0]])}
    state = part.transform(part.init(fresh), {}, fresh, torch.tensor(0.5)).state
    close(part.constrain(state, learned)[NAME], learned[NAME])
    state = part.transform(state, {}, learned, torch.tensor(0.6)).state
    close(part.constrain(state, learned)[NAME], [[1.0, 0.0], [0.0, 3.0]])
    later = {NAME: torch.tensor([[2.0, 0.0], [0.0, 9.0]])}
    close(
        part.constrain(part.transform(state, {}, later, torch.tensor(0.9)).state, later)[NAME], [[2.0, 0.0], [0.0, 3.0]]
    )


# --- layers at rates of their own ---


def test_the_hill_estimate_finds_the_exponent_of_a_power_law_and_by_hand():
    close(tail_exponent(torch.tensor([1.0, 2.0, 2.0, 4.0])), 1 + 2 / math.log(2))
    uniform = torch.rand(200_000, generator=torch.Generator().manual_seed(0))
    for exponent in (2.0, 3.5):
        drawn = uniform ** (-1 / (exponent - 1))
        assert float(tail_exponent(drawn)) == pytest.approx(exponent, rel=0.02)


def test_rates_are_linear_in_the_exponents():
    close(rates(torch.tensor([2.0, 3.0, 4.0]), 0.5), [0.5, 1.0, 1.5])
    close(rates(torch.tensor([2.0, 2.0]), 0.5), [1.0, 1.0])
    close(rates(torch.tensor([2.0, 3.0]), 0.0), [1.0, 1.0])


def test_temp_balance_gives_each_matrix_of_the_body_and_its_bias_one_rate():
    part, g = component("temp_balance").build({"spread": 0.5}), torch.Generator().manual_seed(0)
    heavy = torch.randn(16, 16, generator=g) @ torch.diag(torch.logspace(0, 3, 16))
    parameters = {
        "embed.table.weight": torch.randn(8, 8, generator=g),
        "body.0.weight": torch.randn(16, 12, generator=g),
        "body.0.bias": torch.zeros(16),
        "body.2.weight": heavy,
        "body.2.bias": torch.zeros(16),
        "classifier.weight": torch.randn(4, 16, generator=g),
        "classifier.bias": torch.zeros(4),
    }
    state = part.init(parameters)
    assert set(state) == {"body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias"}
    state = part.survey(state, View(parameters, None, None, None, g, 0.0))
    assert {k: float(v) for k, v in state.items()} == {
        "body.0.weight": 1.5, "body.0.bias": 1.5, "body.2.weight": 0.5, "body.2.bias": 0.5,
    }  # fmt: skip


def test_temp_balance_leaves_a_net_whose_matrices_have_no_tail_as_it_is():
    part, narrow = (
        component("temp_balance").build({}),
        {"body.0.weight": torch.ones(8, 3), "body.0.bias": torch.ones(8)},
    )
    state = part.survey(part.init(narrow), View(narrow, None, None, None, torch.Generator(), 0.0))
    assert part.transform(state, narrow, narrow, torch.tensor(0.0)).rates == {}


def test_presto_adds_the_slope_of_the_steps_sizes_and_nothing_else():
    presto = component("presto").build({"shrinkage": 0.5})
    parameters = {"classifier.steps": torch.tensor([[1.0, -2.0], [0.0, 3.0]]), "classifier.weight": torch.ones(1, 2)}
    gradients = {name: torch.zeros_like(value) for name, value in parameters.items()}
    found = presto.transform({}, gradients, parameters, torch.tensor(0.5)).gradients
    assert found["classifier.steps"].tolist() == [[0.5, -0.5], [0.0, 0.5]]
    assert found["classifier.weight"].tolist() == [[0.0, 0.0]]
