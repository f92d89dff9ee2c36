"""A population's step recorded once and replayed: on a GPU hundreds of small operations are then launched as one.

What is recorded are operations on fixed memory. So a step reads its batch from tensors that are written before it, and what
methods remember goes back to where the next step reads it. Members that are dropped and phases that begin put other tensors
in the place of those, and the step is recorded anew: that takes about as long as a step, as nothing is compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from models.balancing.component import State

if TYPE_CHECKING:
    from models.learners.population import Population

FIRST_STEPS = 2
"""Steps before the one that is recorded: libraries set themselves up in them, which cannot be recorded."""

Step = Callable[[], None]


class _Unfit(RuntimeError):
    """What a step leaves behind does not fit where the next one would read it."""


class Recorder(Protocol):
    """Takes steps that are to be recorded. Both take the step; `record` gives what takes it again, on the same memory."""

    def prepare(self, step: Step) -> None:
        """A step as usual, and where a recorded one would be taken."""

    def record(self, step: Step) -> Step:
        """A step that is recorded; RuntimeError where something in it cannot be, and then it is not taken."""


class CudaGraphs:
    """Recording by CUDA graphs. The random numbers of a step are drawn outside of it, so none are drawn in a graph."""

    def prepare(self, step: Step) -> None:
        """On a stream of its own, as recording does."""
        here, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(here)
        with torch.cuda.stream(aside):
            step()
        here.wait_stream(aside)

    def record(self, step: Step) -> Step:
        """Other threads may go on with what they do on the device."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            step()
        graph.replay()
        return graph.replay


class RecordedSteps:
    """The steps of a population: the first as they are, then one recorded, and all others by replay.

    `refused` is why a step could not be recorded; from then on all are taken as they are.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.refused: str | None = None
        self._replay: Step | None = None
        self._read: list[object] = []
        self._inputs: dict[str, Tensor] = {}
        self._state: dict[str, State] = {}
        self._before = 0

    def take(self, population: Population, given: dict[str, Tensor]) -> None:
        """One step of every member on what is given for it."""
        p = population
        if self.refused is not None:
            p.take(given)
            return
        self._place(p, given)
        if self._replay is not None:
            self._replay()
        elif self._before < FIRST_STEPS:
            self._before += 1
            try:
                self.recorder.prepare(lambda: self._whole(p))
            except _Unfit as error:  # the step is taken
                self.refused = str(error)
                self._forget()
        else:
            self._record(p)

    def _record(self, p: Population) -> None:
        try:
            self._replay = self.recorder.record(lambda: self._whole(p))
        except RuntimeError as error:
            if p.device.type == "cuda":
                torch.cuda.synchronize()  # raises where it is the device that is lost
            # Ending a recording that has failed fails as well, and says less.
            first = error.__context__ if isinstance(error.__context__, RuntimeError) else error
            self.refused = str(first).strip().partition("\n")[0]
            p.state = {key: dict(part) for key, part in self._state.items()}
            p.take(self._inputs)
            self._forget()

    def _whole(self, p: Population) -> None:
        """The step, on fixed memory alone: what methods remember goes where the next step reads it."""
        p.take(self._inputs)
        fixed = {v.untyped_storage().data_ptr() for part in self._state.values() for v in part.values()}
        # What a step hands on may be part of what it was handed, which another may have overwritten by then.
        following = {
            (key, k): v.clone() if v.untyped_storage().data_ptr() in fixed else v
            for key, part in p.state.items()
            for k, v in part.items()
            if v is not self._state[key][k]
        }
        for (key, k), v in following.items():
            place = self._state[key][k]
            if (v.shape, v.dtype) != (place.shape, place.dtype):
                raise _Unfit(f"what '{p.names[key]}' remembers changes its form: {k}")
            place.copy_(v)
        p.state = {key: dict(part) for key, part in self._state.items()}

    def _place(self, p: Population, given: dict[str, Tensor]) -> None:
        """Write the batch, and what was changed since the last step, where the step reads it; begin anew if it does not fit."""
        read = _read(p)
        same = len(read) == len(self._read) and all(a is b for a, b in zip(read, self._read, strict=True))
        if not (same and _alike(given, self._inputs) and _alike(_flat(p.state), _flat(self._state))):
            self._forget()
            self._read = read
            self._inputs = {k: v.clone() for k, v in given.items()}
            self._state = {key: {k: v.clone() for k, v in part.items()} for key, part in p.state.items()}
        else:
            for k, v in given.items():
                self._inputs[k].copy_(v)
            for key, part in p.state.items():
                for k, v in part.items():
                    if v is not self._state[key][k]:
                        self._state[key][k].copy_(v)
        p.state = {key: dict(part) for key, part in self._state.items()}

    def _forget(self) -> None:
        """Give back the memory of what was recorded, before anything else is."""
        self._replay, self._before = None, 0
        self._read, self._inputs, self._state = [], {}, {}


def recorded_steps(device: torch.device, wanted: bool) -> RecordedSteps | None:
    """On a GPU, if it is wanted: elsewhere a launch costs next to nothing."""
    return RecordedSteps(CudaGraphs()) if wanted and device.type == "cuda" else None


def _flat(state: Mapping[str, State]) -> dict[str, Tensor]:
    return {f"{key}/{k}": v for key, part in state.items() for k, v in part.items()}


def _alike(some: Mapping[str, Tensor], others: Mapping[str, Tensor]) -> bool:
    """Whether the names, shapes and types are the same."""
    return some.keys() == others.keys() and all(
        (v.shape, v.dtype) == (others[k].shape, others[k].dtype) for k, v in some.items()
    )


def _read(p: Population) -> list[object]:
    """What a step reads or writes besides what is given for it and what methods remember, as it is between two steps."""
    w, o = p.weights, p.optimizer
    return [
        p.objective, p.mask, p.sound, w.flat, w.decays, o.first, o.second, o.rate, o.decay,
        *(v for held in (p.hyper, p.buffers, p.row_state, p.pool.guesses) for v in held.values()),
    ]  # fmt: skip
