"""Several modules of one kind as one: the heads of a net that is an ensemble in itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from models.schema import Task


def mean_probability(logits: Tensor) -> Tensor:
    """Logits of k members [..., k, C] -> the logarithm of their mean probability [..., C]."""
    return torch.logsumexp(torch.log_softmax(logits, -1), -2) - math.log(logits.shape[-2])


def mean_label_probability(logits: Tensor) -> Tensor:
    """Logits of k members [..., k, L], one per label -> the logit of their mean probability [..., L]."""
    share = math.log(logits.shape[-2])
    carried = torch.logsumexp(torch.nn.functional.logsigmoid(logits), -2) - share
    absent = torch.logsumexp(torch.nn.functional.logsigmoid(-logits), -2) - share
    return carried - absent


def mean_number(numbers: Tensor) -> Tensor:
    """Numbers of k members [..., k, O] -> their mean [..., O]."""
    return numbers.mean(-2)


MEAN: Mapping[Task, Callable[[Tensor], Tensor]] = {
    "binary": mean_probability,
    "multiclass": mean_probability,
    "ordinal": mean_probability,
    "multilabel": mean_label_probability,
    "regression": mean_number,
}
"""How several members' outputs [..., k, O] become one model's, by the kind of target."""


class Members(nn.Module):
    """Modules that differ in nothing but their weights; parameters have one module's names and are stacked [k, …]."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        # In a tuple, so that the weights of the one that is called do not count as parameters of their own.
        self._one = (modules[0],)
        _stack(self, modules)
        self.spared = tuple(name for name, value in self.named_parameters() if value.dim() <= 2)

    def forward(self, inputs: Tensor) -> Tensor:
        """The members' inputs [B, k, …] -> their outputs [B, k, …]."""
        tensors = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        called: Tensor = vmap(lambda t, x: functional_call(self._one[0], t, (x,)), in_dims=(0, 1), out_dims=1)(
            tensors, inputs
        )
        return called


def _stack(into: nn.Module, modules: Sequence[nn.Module]) -> None:
    """Register the modules' own parameters and buffers, stacked, and those of their children below."""
    for name, parameter in modules[0].named_parameters(recurse=False):
        values = torch.stack([m.get_parameter(name).detach() for m in modules])
        into.register_parameter(name, nn.Parameter(values, requires_grad=parameter.requires_grad))
    for name, _ in modules[0].named_buffers(recurse=False):
        into.register_buffer(name, torch.stack([m.get_buffer(name) for m in modules]))
    for name, _ in modules[0].named_children():
        below = nn.Module()
        _stack(below, [m.get_submodule(name) for m in modules])
        into.add_module(name, below)
