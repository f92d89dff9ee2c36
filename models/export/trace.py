"""A function of tensors as a list of elementary operations, whatever nets and methods it calls: what an export translates."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext

from models.errors import InputError

ROWS = 251
"""Rows of the examples: a prime that no width of a net is likely to have."""


@functools.cache
def _decompositions() -> Any:
    """How larger operations are made of elementary ones; putting the table together takes longer than a trace."""
    return core_aten_decompositions().materialize()


def example(shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """An input of a trace: zeros [ROWS, *shape]."""
    return torch.zeros(ROWS, *shape, dtype=dtype)


def trace(function: Callable[..., tuple[Tensor, ...]], examples: Sequence[Tensor], what: str) -> fx.GraphModule:
    """The core ATen operations of `function`, for any number of rows; `what` names it in an error.

    Raises InputError for a function that looks at values or that was made for one number of rows.
    """
    environment = ShapeEnv()
    mode = FakeTensorMode(shape_env=environment, allow_non_fake_inputs=True)
    fake = [
        mode.from_tensor(
            e,
            symbolic_context=StatelessSymbolicContext(
                dynamic_sizes=[DimDynamic.DYNAMIC, *[DimDynamic.STATIC] * (e.dim() - 1)]
            ),
        )
        for e in examples
    ]
    try:
        with torch.no_grad(), mode, warnings.catch_warnings():
            # The examples hold no values that a warning could be about.
            warnings.simplefilter("ignore")
            traced: fx.GraphModule = make_fx(
                function,
                decomposition_table=_decompositions(),
                tracing_mode="symbolic",
                _allow_non_fake_inputs=True,
            )(*fake)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{what} cannot be exported: it is not one fixed sequence of operations ({reason}). Choose another recipe."
        ) from None
    traced.graph.eliminate_dead_code()
    inputs = [node for node in traced.graph.nodes if node.op == "placeholder"]
    if any(isinstance(node.meta["val"].shape[0], int) for node in inputs) or _fixed(environment):
        raise InputError(f"{what} cannot be exported: it works for one number of rows alone. Choose another recipe.")
    return traced


def _fixed(environment: ShapeEnv) -> bool:
    """Whether tracing found that the number of rows must be a certain one."""
    return any(value.is_number for value in environment.replacements.values())
