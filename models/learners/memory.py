"""How much memory a member of a population takes, how many fit, and whether an error says that memory was short."""

from __future__ import annotations

import gc

import torch

from models.balancing.component import Learning, Mixer, Sampler
from models.learners.batches import effective_batch
from models.learners.learner import Input, Plan
from models.nets.net import Net
from models.recipe import Recipe

COPIES = 8
"""Numbers kept per parameter: the weights, the best ones, two moments, the gradient twice, and what a step needs."""

PASSES = 3
"""Numbers kept per activation: its value, its gradient, and what lies between two operations."""

LARGEST = {"cpu": (16, 1 << 30), "cuda": (256, 16 << 30)}
"""By device, how many members a population has at most, and how many bytes.

On a CPU more members gain nothing, as their products are as fast as they get. The numbers are the same on every machine,
so that the same search trains the same populations on all.
"""


def member_bytes(net: Net, inputs: Input, rows: int, plan: Plan, recipe: Recipe) -> int:
    """About the memory that one member of a population of this net takes while it trains the recipe on a table of `rows`."""
    parameters = sum(p.numel() for p in net.parameters())
    batch = effective_batch(rows, plan.batch_size)
    # The rows of an epoch's batches, of those that are mixed in, and what each row is drawn with.
    drawing = sum(isinstance(part, (Sampler, Mixer)) for part in recipe.everything())
    order = 8 * rows * (1 + drawing)
    step = 4 * (COPIES * parameters + PASSES * batch * _activations(net, inputs))
    return step + order + rows // batch * _drawn(recipe, batch)


def _drawn(recipe: Recipe, batch: int) -> int:
    """Bytes of what the methods draw for one batch, which is drawn for an epoch at once, and then put beside the others'."""
    drawing = (part for part in recipe.everything() if isinstance(part, (Mixer, Learning)))
    drawn = [part.draw(torch.Generator(), 1, batch) for part in drawing]
    return 2 * sum(v.numel() * v.element_size() for own in drawn for v in own.values())


def largest_population(net: Net, inputs: Input, rows: int, plan: Plan, recipe: Recipe) -> int:
    """How many members one population may have."""
    count, memory = LARGEST[torch.device(plan.device).type]
    return max(1, min(count, memory // member_bytes(net, inputs, rows, plan, recipe)))


def out_of_memory(error: BaseException) -> bool:
    """Whether memory was short, on the host or on a device; of CUDA's libraries too, which take theirs beside torch."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    words = ("can't allocate", "out of memory", "STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(w in str(error) for w in words)


def device_lost(error: BaseException) -> bool:
    """Whether an accelerator has stopped to answer, so that nothing more can be computed in this process.

    A kernel that asserts has been asked for something wrong, as for a row that is not there: that is a fault of what was
    called, which another process would meet again, and the device is as well as before.
    """
    words = ("CUDA error", "CUDA driver", "No CUDA GPUs are available", "cudaError")
    if out_of_memory(error) or "device-side assert" in str(error):
        return False
    return isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and any(w in str(error) for w in words)
    )


def free_memory(device: str) -> None:
    """Give back what a population that did not fit has left behind."""
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


@torch.no_grad()
def _activations(net: Net, inputs: Input) -> int:
    """Numbers that the modules of a net make of one row."""
    found = []
    leaves = [m for m in net.modules() if not list(m.children())]
    handles = [m.register_forward_hook(lambda _m, _i, out: found.append(out.numel())) for m in leaves]
    training = net.training
    try:
        rows = torch.zeros(1, *inputs.image, dtype=torch.uint8) if inputs.image else torch.zeros(1, inputs.numeric)
        net.eval()(rows, torch.zeros(1, len(inputs.cardinalities), dtype=torch.long))
    finally:
        net.train(training)
        for handle in handles:
            handle.remove()
    return sum(found)
