"""What an accelerator does in one pass over memory where torch's operations, one after the other, take many.

The sources are compiled by NVRTC, which comes with torch; where that cannot be, torch's operations do the same.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

log = logging.getLogger("equipoise.learners")

THREADS, UNROLLED = 256, 4

ADAMW = """
extern "C" __global__ void adamw(
    float* weights, float* first, float* second, const float* gradient, const float* rates, const float* decays,
    const float* decayed, const float* mask, const float* factor, const float* first_share, const float* second_root,
    double beta1, double beta2, double epsilon, int count, int masked)
{
    const int member = blockIdx.y;
    const long long row = (long long) member * count;
    const float rate = rates[member] * factor[0], size = rate / first_share[0], decay = rate * decays[member];
    const float root = second_root[0], keep = (float) beta2, take1 = (float) (1 - beta1), take2 = (float) (1 - beta2);
    #pragma unroll
    for (int i = 0; i < 4; i++) {
        const int at = (blockIdx.x * 4 + i) * blockDim.x + threadIdx.x;
        if (at < count) {
            const long long k = row + at;
            const float g = gradient[k], trained = masked ? mask[at] : 1.0f;
            const float m = first[k] + take1 * (g - first[k]), v = keep * second[k] + take2 * g * g;
            first[k] = m;
            second[k] = v;
            const float shrink = (1 - decay * decayed[at]) * trained + (1 - trained);
            weights[k] = weights[k] * shrink - trained * m / (sqrtf(v) / root + (float) epsilon) * size;
        }
    }
}
"""
"""One step of AdamW on weights, moments and gradients [P, count]; see `models.learners.weights.AdamW`."""

KEPT_UNITS = """
extern "C" __global__ void kept_units(
    unsigned short* factors, const int* keys, const unsigned char* levels, int count)
{
    const int word = blockIdx.x * blockDim.x + threadIdx.x, member = blockIdx.y;
    if (word * 4 >= count) return;
    unsigned int x = (unsigned int) word * 0x9E3779B9u ^ (unsigned int) keys[member];
    x = (x ^ x >> 16) * 0x7FEB352Du;
    x = (x ^ x >> 15) * 0x846CA68Bu;
    x ^= x >> 16;
    const unsigned int level = levels[member];
    unsigned int scale = __float_as_uint(256.0f / (256.0f - (float) level));
    scale = scale + 0x7FFFu + (scale >> 16 & 1u) >> 16;
    #pragma unroll
    for (int i = 0; i < 4; i++)
        if (word * 4 + i < count)
            factors[(long long) member * count + word * 4 + i] = (x >> 8 * i & 255u) >= level ? scale : 0;
}
"""
"""Factors of dropout [P, count] as bfloat16; see `models.learners.dropout.dropout_factors`."""

Kernel = Callable[..., None]


@functools.cache
def _compiled(source: str, name: str, device: int) -> Kernel | None:
    try:
        with torch.cuda.device(device), _without_toolkit():
            made: Kernel = torch.cuda._compile_kernel(source, name)
    except (AttributeError, ImportError, RuntimeError, OSError) as error:
        log.warning("%s cannot be compiled for this device, and torch's own operations take its place: %s", name, error)
        return None
    return made


@contextlib.contextmanager
def _without_toolkit() -> Iterator[None]:
    """Torch names the headers of CUDA's toolkit, and raises where there is none; nothing here includes one."""
    from torch.utils import cpp_extension

    before = cpp_extension.CUDA_HOME
    cpp_extension.CUDA_HOME = before or str(Path(torch.__file__).parent)
    try:
        yield
    finally:
        cpp_extension.CUDA_HOME = before


def _launch(source: str, name: str, grid: tuple[int, int], arguments: Sequence[Any], device: torch.device) -> bool:
    index = device.index if device.index is not None else torch.cuda.current_device()
    kernel = _compiled(source, name, index)
    if kernel is not None:
        with torch.cuda.device(index):
            kernel(grid=(*grid, 1), block=(THREADS, 1, 1), args=list(arguments))
    return kernel is not None


def adamw(
    weights: Tensor, moments: tuple[Tensor, Tensor], gradient: Tensor, rates: tuple[Tensor, Tensor], decayed: Tensor,
    mask: Tensor | None, clock: tuple[Tensor, Tensor, Tensor], constants: tuple[float, float, float],
) -> bool:  # fmt: skip
    """One step on weights, moments and gradient [P, N], in place; False where it was not taken, as it cannot be here.

    `rates` are learning rates and weight decays [P, 1], `decayed` and `mask` [N] say what decays and what is trained, `clock`
    holds the factor on the rates and the shares of the moments, each [], `constants` two betas and epsilon.
    """
    given = (weights, *moments, gradient, *rates, decayed, mask if mask is not None else decayed, *clock)
    if weights.device.type != "cuda" or not all(t.is_contiguous() and t.dtype == torch.float32 for t in given):
        return False
    members, count = weights.shape
    grid = (-(-count // (THREADS * UNROLLED)), members)
    return _launch(ADAMW, "adamw", grid, (*given, *constants, count, int(mask is not None)), weights.device)


def kept_units(keys: Tensor, levels: Tensor, rows: int, units: int) -> Tensor | None:
    """Numbers of a step [P], int32, and levels [P], uint8 -> factors of dropout [P, rows, units], bfloat16; None where it cannot be."""
    if keys.device.type != "cuda":
        return None
    count, members = rows * units, len(keys)
    factors = torch.empty(members, rows, units, dtype=torch.bfloat16, device=keys.device)
    grid = (-(-count // (4 * THREADS)), members)
    arguments = (factors, keys.contiguous(), levels.contiguous(), count)
    return factors if _launch(KEPT_UNITS, "kept_units", grid, arguments, keys.device) else None
