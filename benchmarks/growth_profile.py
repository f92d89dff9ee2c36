"""What of the memory of boosted trees is held by what: everything that is alive in the midst of a training, by the line that made it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import torch

from benchmarks.encoded import Encoded, encoded_data
from models.data import Split
from models.learners import learner
from models.learners.learner import Member, OnEpoch, Plan
from models.recipe import parse

ROWS, ROUNDS, LINES, VALIDATION = 600_000, 3, 8, 2_000


def profiled(rows: int = ROWS) -> str:
    """A Markdown table of bytes for each row, after the last round; and the most that was taken at any time."""
    data = encoded_data("acsincome")
    train, valid = data.train.take(torch.arange(rows) % len(data.train)), data.valid.take(torch.arange(VALIDATION))
    held = sum(v.nbytes for v in vars(train).values() if isinstance(v, torch.Tensor)) / rows
    seen: list[tracemalloc.Snapshot] = []
    most: list[float] = []

    def look(rounds: int, _: object) -> None:
        most.append(tracemalloc.get_traced_memory()[1] / rows)
        seen.append(tracemalloc.take_snapshot())
        tracemalloc.reset_peak()

    _trees(train.take(torch.arange(VALIDATION)), valid, data, None)  # all is imported
    tracemalloc.start()
    _trees(train, valid, data, look)
    tracemalloc.stop()
    lines = [
        f"A row itself takes {held:.0f} bytes. Up to the end of the first round {most[0]:.0f} more were taken for each at the "
        f"most, in the next one {most[1]:.0f}. What is held after the last:", "",
        "| made by | bytes for each row |", "|---|---|",
    ]  # fmt: skip
    for found in seen[ROUNDS - 1].statistics("lineno")[:LINES]:
        where = found.traceback[0]
        lines.append(f"| {Path(where.filename).name}, line {where.lineno} | {found.size / rows:.1f} |")
    return "\n".join(lines)


def _trees(train: Split, valid: Split, data: Encoded, watch: OnEpoch | None) -> None:
    learner("trees").fit(parse("none"), [Member({}, 0)], train, valid, data.inputs, Plan(budget=ROUNDS), None, watch)
