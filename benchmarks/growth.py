"""How time and memory grow: ten times the rows, ten times the configurations, on acsincome up to six million rows.

Run it: `make bench-growth`. Rows beyond those of the data set are the same ones again. Every size trains in a process of
its own, on one thread, so that its memory is that of the training alone: one pass of the mlp over all rows, or a few
rounds of trees. Bytes of rows are those of the encoded table, the validation rows being the same few for all sizes. `--profile` shows instead what
holds the memory of trees.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil
import safetensors.torch
import torch

from benchmarks.encoded import encoded_data
from benchmarks.growth_profile import profiled
from benchmarks.memory import MEBIBYTE, peak_memory
from benchmarks.table import Row, publish
from models.data import Split
from models.learners import learner
from models.learners.learner import Input, Member, Plan
from models.recipe import parse

SIZES = (60_000, 600_000, 6_000_000)
MEMBERS = (2, 20)
BUDGETS = {"mlp": 1, "trees": 10}
TIME, COPIES, RUNS, VALIDATION = 11.0, 2.0, 1, 2_000


class Measured(NamedTuple):
    """One training: seconds, MiB at most, and MiB of the rows."""

    seconds: float
    memory: float
    rows: float


def main(arguments: Sequence[str] | None = None) -> None:
    """All sizes, then all numbers of configurations."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="rows, each ten times the one before")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--profile", action="store_true", help="show instead what holds the memory of trees")
    parser.add_argument("--one", nargs=4, metavar=("FOLDER", "LEARNER", "ROWS", "MEMBERS"), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one:
        folder, name, rows, members = given.one
        print(json.dumps(_train(Path(folder), name, int(rows), int(members))))
        return
    if given.profile:
        print(profiled())
        return
    data = encoded_data("acsincome")
    with tempfile.TemporaryDirectory() as folder:
        _save(data.train, Path(folder) / "train.safetensors")
        _save(data.valid.take(torch.arange(min(VALIDATION, len(data.valid)))), Path(folder) / "valid.safetensors")
        shape = {"classes": data.train.classes, "group_count": data.train.group_count}
        inputs = {"numeric": data.inputs.numeric, "cardinalities": data.inputs.cardinalities}
        (Path(folder) / "shape.json").write_text(json.dumps({"split": shape, "inputs": inputs}))
        rows = [r for name in BUDGETS for r in _by_size(Path(folder), name, given.sizes, given.runs)]
        rows += _by_members(Path(folder), given.sizes[0], given.runs)
    publish(
        "growth",
        f"Growth on {data.name}",
        rows,
        notes=[
            f"The {len(data.train):,} training rows, or a part of them, or all of them again and again. mlp: "
            f"{BUDGETS['mlp']} pass over all rows, none left out; trees: {BUDGETS['trees']} rounds. Smaller tables were measured before the largest and after it.",
            f"Promised of ten times the rows: {TIME:g} times the time, and {COPIES:g} times the bytes of the rows beyond the "
            "memory of the smallest; of ten times the configurations: ten times the time.",
        ],
        command=f"python -m benchmarks.growth --sizes {' '.join(map(str, given.sizes))} --runs {given.runs}",
    )


def _by_size(folder: Path, name: str, sizes: Sequence[int], runs: int) -> list[Row]:
    every: dict[int, list[Measured]] = {size: [] for size in sizes}
    for _ in range(runs):
        # The smaller ones before the largest and after it: a machine that slows down under load slows all alike.
        for size in [*sizes, *reversed(sizes[:-1])]:
            every[size].append(_measured(folder, name, size, 1))
    found: list[Row] = []
    before: float | None = None
    first: float | None = None
    for size, measured in every.items():
        seconds, memory = [m.seconds for m in measured], [m.memory for m in measured]
        held = measured[0].rows
        limit = None if first is None else first + COPIES * held
        found += [
            Row(f"{name}, {size:,} rows: time", seconds, "s", at_most=None if before is None else TIME * before),
            Row(f"{name}, {size:,} rows ({held:.0f} MiB): memory", memory, "MiB", at_most=limit),
        ]
        before, first = median(seconds), median(memory) if first is None else first
    return found


def _by_members(folder: Path, size: int, runs: int) -> list[Row]:
    few, many = ([_measured(folder, "mlp", size, count).seconds for _ in range(runs)] for count in MEMBERS)
    return [
        Row(f"mlp, {MEMBERS[0]} configurations at once: time", few, "s"),
        Row(
            f"mlp, {MEMBERS[1]} configurations at once: time", many, "s", at_most=MEMBERS[1] / MEMBERS[0] * median(few)
        ),
    ]


def _measured(folder: Path, name: str, rows: int, members: int) -> Measured:
    """A training in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.growth", "--one", str(folder), name, str(rows), str(members)]
    output = subprocess.run(words, cwd=Path(__file__).parents[1], check=True, stdout=subprocess.PIPE, text=True).stdout
    measured = Measured(*json.loads(output.splitlines()[-1]))
    print(f"{name}, {rows:,} rows, {members} at once: {measured.seconds:.2f} s, {measured.memory:.0f} MiB", flush=True)
    return measured


def _train(folder: Path, name: str, rows: int, members: int) -> Measured:
    torch.set_num_threads(1)
    shape: dict[str, Any] = json.loads((folder / "shape.json").read_text())
    base, valid = (
        Split(**safetensors.torch.load_file(folder / f"{part}.safetensors"), **shape["split"])
        for part in ("train", "valid")
    )
    train = base.take(torch.arange(rows) % len(base))
    train = replace(train, row_ids=torch.arange(rows))
    del base
    inputs = Input(shape["inputs"]["numeric"], tuple(shape["inputs"]["cardinalities"]))
    plan = Plan(budget=BUDGETS[name], hidden=(64, 64), batch_size=512)
    chosen = [Member({}, seed) for seed in range(members)]
    with peak_memory() as peak:
        began = time.perf_counter()
        outcomes = learner(name).fit(parse("none"), chosen, train, valid, inputs, plan)
        seconds = time.perf_counter() - began
        peak.look()
    if any(outcome.model is None for outcome in outcomes):
        raise RuntimeError(outcomes[0].error)
    held = sum(v.nbytes for v in vars(train).values() if isinstance(v, torch.Tensor)) / MEBIBYTE
    return Measured(seconds, max(peak.together, psutil.Process().memory_full_info().uss / MEBIBYTE), held)


def _save(split: Split, path: Path) -> None:
    safetensors.torch.save_file(
        {k: v.contiguous() for k, v in vars(split).items() if isinstance(v, torch.Tensor)}, path
    )


if __name__ == "__main__":
    main()
