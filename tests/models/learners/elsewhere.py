"""An accelerator for a machine without one: tensors that are kept apart from the host's, and held by the host all the same.

What mixes tensors of both, reads one as the host's, or draws on it with a generator of the host fails, as it does on a GPU.
"""

import contextlib
from unittest import mock

import torch
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = "meta"
"""A device that every build of torch knows and that no other tensor in these tests is on."""

MOVES = ("_to_copy", "copy_")
INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put")


class There(torch.Tensor):
    """A tensor on the accelerator: `held` has its values."""

    @staticmethod
    def __new__(cls, held):
        return torch.Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, device=DEVICE
        )  # fmt: skip

    def __init__(self, held):
        self.held = held

    __torch_function__ = torch._C._disabled_torch_function_impl

    def tolist(self):
        return self.cpu().tolist()

    def new_tensor(self, data):
        return torch.tensor(data, dtype=self.dtype, device=self.device)

    def __getitem__(self, place):
        return super().__getitem__(torch.tensor(place) if isinstance(place, list) else place)

    def __setitem__(self, place, value):
        super().__setitem__(torch.tensor(place) if isinstance(place, list) else place, value)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _called(func, args, kwargs or {})


class _Elsewhere(TorchDispatchMode):
    """Makes what is asked for on the accelerator there."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _called(func, args, kwargs or {})


def _called(func, args, kwargs):
    name, wanted = func.overloadpacket.__name__, kwargs.get("device")
    leaves = tree_leaves((args, kwargs))
    there = [t for t in leaves if isinstance(t, There)]
    here = [t for t in leaves if isinstance(t, torch.Tensor) and not isinstance(t, There)]
    if name not in MOVES:
        _refuse(name, args, there, here)
    goes = bool(there) if wanted is None else torch.device(wanted).type == DEVICE
    if goes and any(isinstance(g, torch.Generator) for g in leaves):
        raise RuntimeError(f"{name}: a generator of the host draws on the accelerator")
    if name == "copy_":
        goes = isinstance(args[0], There)
    if wanted is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    assert not any(t.is_meta for t in here)
    known = {id(t.held): t for t in there}
    made = func(*tree_map(_inside, args), **tree_map(_inside, kwargs))
    if there and torch.Tag.inplace_view in func.tags:
        with no_dispatch():
            func(*args, **kwargs)  # the shape that is seen from outside changes as well

    def outside(value):
        if not goes or not isinstance(value, torch.Tensor):
            return value
        return known[id(value)] if id(value) in known else There(value)

    return tree_map(outside, made)


def _refuse(name, args, there, here):
    """Two devices in one operation, but for numbers, and for places that are named from the host."""
    if name in INDEXED:
        places = [t for t in tree_leaves(args[1]) if isinstance(t, torch.Tensor)]
        if not isinstance(args[0], There) and any(isinstance(t, There) for t in places):
            raise RuntimeError(f"{name}: places on the accelerator in a tensor of the host")
        ours = {id(t) for t in places}
        here = [t for t in here if id(t) not in ours]
    if there and any(t.dim() for t in here):
        raise RuntimeError(f"{name}: tensors of the host and of the accelerator")


def _inside(value):
    return value.held if isinstance(value, There) else value


@contextlib.contextmanager
def accelerator():
    """While it lasts, there is an accelerator called `DEVICE`; it does not know mixed precision."""
    on_host = torch.tensor

    def tensor(data, *, device=None, **options):
        # Torch's own does not ask whoever watches operations what to make of the device.
        made = on_host(data, **options)
        return made if device is None else made.to(device)

    with (
        mock.patch.object(torch, "autocast", return_value=contextlib.nullcontext()),
        mock.patch.object(torch, "tensor", tensor),
        _Elsewhere(),
    ):
        yield
