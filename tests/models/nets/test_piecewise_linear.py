"""Piecewise-linear embeddings: edges at quantiles, the paper's encoding by hand, embeddings that begin linear."""

import itertools

import numpy as np
import pytest
import torch

from models.nets.piecewise_linear import PiecewiseLinearEmbedding, PiecewiseLinearEncoding, quantile_edges


def paper(value: float, edges: list[float]) -> list[float]:
    """Equation 1 of arXiv:2203.05556: e_t is 0 below bin t (t > 1), 1 above it (t < T), else (x - b_{t-1}) / (b_t - b_{t-1})."""
    encoded = []
    last = len(edges) - 1
    for t in range(1, last + 1):
        if value < edges[t - 1] and t > 1:
            encoded.append(0.0)
        elif value >= edges[t] and t < last:
            encoded.append(1.0)
        else:
            encoded.append((value - edges[t - 1]) / (edges[t] - edges[t - 1]))
    return encoded


def test_the_encoding_by_hand():
    encoding = PiecewiseLinearEncoding([[0.0, 1.0, 3.0], [10.0, 20.0]])
    encoded = encoding(torch.tensor([[2.0, 15.0], [-0.5, 25.0], [4.0, 10.0]]))
    assert encoded.tolist() == [[[1.0, 0.5], [0.5, 0.0]], [[-0.5, 0.0], [1.5, 0.0]], [[1.0, 1.5], [0.0, 0.0]]]


@pytest.mark.parametrize("bins", [1, 2, 3, 8])
def test_the_encoding_is_the_papers(bins):
    values = np.random.default_rng(bins).normal(size=300).astype(np.float32)
    edges = quantile_edges(values, bins)
    asked = torch.linspace(-5, 5, 201)
    expected = torch.tensor([paper(float(v), edges) for v in asked])
    torch.testing.assert_close(PiecewiseLinearEncoding([edges])(asked[:, None])[:, 0], expected, rtol=1e-4, atol=1e-4)


def test_columns_with_fewer_bins_are_filled_with_zeros():
    encoding = PiecewiseLinearEncoding([[0.0, 1.0], [0.0, 1.0, 2.0, 3.0]])
    assert encoding.bins == 3
    assert encoding(torch.full((1, 2), 7.0))[0].tolist() == [[7.0, 0.0, 0.0], [1.0, 1.0, 5.0]]


def test_edges_are_the_papers_quantiles_where_no_value_is_frequent():
    values = np.random.default_rng(0).exponential(size=1000).astype(np.float32)
    expected = np.quantile(values.astype(np.float64), np.linspace(0, 1, 11)).astype(np.float32)
    assert quantile_edges(values, 10) == expected.tolist()


def test_a_frequent_value_leaves_the_bins_to_the_others():
    rest = np.arange(1, 81, dtype=np.float32)
    edges = quantile_edges(np.concatenate([np.zeros(920, dtype=np.float32), rest]), 9)
    assert edges[0] == 0.0
    assert edges[1:] == np.quantile(rest, np.linspace(0, 1, 9)).astype(np.float32).tolist()


def test_few_values_get_an_edge_each_and_one_value_one_bin():
    assert quantile_edges(np.array([3.0, 1.0, 1.0, 2.0, 1.0]), 48) == [1.0, 2.0, 3.0]
    assert quantile_edges(np.full(5, 4.0), 48) == [4.0, 5.0]
    assert quantile_edges(np.zeros(0), 48) == [0.0, 1.0]


@pytest.mark.parametrize("seed", range(20))
def test_edges_increase_and_are_never_too_many(seed):
    rng = np.random.default_rng(seed)
    values = np.round(rng.normal(size=rng.integers(1, 400)) * rng.choice([0.3, 3, 300])).astype(np.float32)
    bins = int(rng.integers(1, 30))
    edges = quantile_edges(values, bins)
    assert 2 <= len(edges) <= bins + 1
    assert all(a < b for a, b in itertools.pairwise(edges))
    if len(np.unique(values)) > 1:
        assert (edges[0], edges[-1]) == (values.min(), values.max())


def test_an_embedding_begins_as_a_linear_function_and_learns_steps():
    torch.manual_seed(0)
    embedding = PiecewiseLinearEmbedding([[0.0, 1.0, 2.0], [0.0, 5.0]], 3)
    x = torch.tensor([[0.5, 1.0], [1.5, 4.0]])
    torch.testing.assert_close(embedding(x), x[..., None] * embedding.weight + embedding.bias)
    embedding.steps.data[0, 1] = torch.tensor([1.0, 2.0, 3.0])
    added = embedding(x) - (x[..., None] * embedding.weight + embedding.bias)
    torch.testing.assert_close(added[:, 0], torch.tensor([[0.0, 0.0, 0.0], [0.5, 1.0, 1.5]]))
    assert not added[:, 1].any()
