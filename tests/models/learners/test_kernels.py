"""What is compiled for an accelerator does what torch's operations do on the host."""

import pytest
import torch

from models.learners import kernels
from models.learners.clock import Clock
from models.learners.dropout import dropout_factors
from models.learners.torch import build_net
from models.learners.weights import AdamW, Weights

on_an_accelerator = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
SHAPE = {"net": "mlp", "numeric": 3, "cardinalities": [], "hidden": [37, 5], "classes": 2, "head": None}


def stepped(device, masked):
    weights = Weights([build_net(SHAPE, seed) for seed in range(3)], [{}] * 3, torch.device(device))
    rate, decay = torch.tensor([1e-3, 3e-2, 0.0], device=device), torch.tensor([0.0, 0.5, 0.1], device=device)
    optimizer, generator = AdamW(weights, rate, decay), torch.Generator().manual_seed(0)
    mask = weights.mask({"classifier.weight", "body.0.bias"}) if masked else None
    for step in range(1, 6):
        gradient = torch.randn(weights.flat.shape, generator=generator).to(device)
        numbers = (0.5, 1 / step, 1 - 0.9**step, (1 - 0.999**step) ** 0.5, 0.0)
        optimizer.step(weights, gradient, Clock(*torch.tensor(numbers, device=device)), mask)
    return weights.flat.cpu(), optimizer.first.cpu(), optimizer.second.cpu()


@on_an_accelerator
@pytest.mark.parametrize("masked", [False, True])
def test_a_step_of_adamw_is_that_of_the_host(masked, monkeypatch):
    taken, launch = [], kernels._launch
    monkeypatch.setattr(kernels, "_launch", lambda *given: taken.append(launch(*given)) or taken[-1])
    torch.testing.assert_close(stepped("cuda", masked), stepped("cpu", masked), rtol=1e-5, atol=1e-6)
    assert taken == [True] * 5


@on_an_accelerator
@pytest.mark.parametrize("units", [8, 7])
def test_the_same_units_are_dropped_as_on_the_host(units):
    keys, levels = torch.tensor([5, -9, 2**31 - 1], dtype=torch.int32), torch.tensor([0, 100, 230], dtype=torch.uint8)
    host = dropout_factors(keys, levels, 333, units)
    for mixed in (False, True):
        there = dropout_factors(keys.cuda(), levels.cuda(), 333, units, mixed).cpu()
        assert torch.equal(there.float(), host.to(there.dtype).float())


def test_without_an_accelerator_torch_takes_the_step():
    weights = torch.ones(2, 3)
    assert not kernels.adamw(weights, (weights, weights), weights, (weights[:, :1], weights[:, :1]), weights[0], None,
                             (weights[0, 0],) * 3, (0.9, 0.999, 1e-8))  # fmt: skip
    assert kernels.kept_units(torch.zeros(2, dtype=torch.int32), torch.zeros(2, dtype=torch.uint8), 3, 4) is None


def test_no_toolkit_is_needed_and_what_torch_knows_of_one_is_left_as_it_was(monkeypatch):
    from torch.utils import cpp_extension

    monkeypatch.setattr(cpp_extension, "CUDA_HOME", None)
    with kernels._without_toolkit():
        assert cpp_extension.include_paths("cuda")
    assert cpp_extension.CUDA_HOME is None
