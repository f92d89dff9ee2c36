"""Populations of nets on a GPU: rows per second of all members, against one by one, and the time in matrix products.

Run it: `make bench-gpu`. Where there is no GPU it says so and leaves the recorded result as it is.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import torch

from benchmarks.encoded import Encoded, encoded_data, mirror_has
from benchmarks.table import Row, publish
from models.learners.learner import Learner, Member, Plan
from models.learners.population import Population
from models.learners.torch import MLP, ResNet32, TabM, build_net
from models.recipe import parse

MEMBERS, EPOCHS, RUNS = 256, 5, 5
TABM_MEMBERS = 64
DROPOUT = 0.2
PRODUCTS = ("aten::bmm", "aten::mm", "aten::addmm", "aten::baddbmm")
IMAGES = "cifar10-lt"


def main(arguments: Sequence[str] | None = None) -> None:
    """One table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu")
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("There is no GPU here: nothing is measured, and what was recorded stays.")
        return
    publish(
        "gpu",
        f"Populations on a GPU, {EPOCHS} epochs each",
        _rows(given.members, given.runs),
        notes=[
            "Rows of batches that members learn from, counted once for each member; drawing the rows and judging on validation "
            "rows are in the time.",
            "One by one: one member at a time, its steps recorded as a CUDA graph as well, unless it is said.",
        ],
        command=f"python -m benchmarks.gpu --members {given.members} --runs {given.runs}",
    )


def _rows(members: int, runs: int) -> list[Row]:
    table, found = encoded_data("adult"), []
    shape = "MLP 256-256"
    for name, values, recorded in (
        (shape, {}, True), (f"{shape}, dropout", {"dropout": DROPOUT}, True), (f"{shape}, steps not recorded", {}, False),
    ):  # fmt: skip
        promised = {"ratio_at_least": 40.0} if name == shape else {}
        found += _pair(name, table, MLP(), members, runs, values, recorded, promised)
    many = next(row.runs for row in found if row.label == f"{shape}: {members} at once")
    found += _pair("TabM", table, TabM(), TABM_MEMBERS, runs, {}, True, {})
    found += [
        Row(f"{shape}: time for a million rows of members", [1e6 / rate for rate in many], "s", at_most=1 / 20),
        Row(f"{shape}: time outside matrix products", [1 - _share(table, members)], "of the device's", at_most=0.5),
    ]
    if mirror_has(IMAGES):
        images = encoded_data(IMAGES, "split.by=official", "data.imbalance_ratio=100")
        found.append(Row("ResNet-32: one by one", _rates(images, ResNet32(), 1, runs, {}, True, 128), "member-rows/s"))
    return found


def _pair(
    name: str,
    data: Encoded,
    learner: Learner,
    members: int,
    runs: int,
    values: dict[str, float],
    recorded: bool,
    promised: dict[str, float],
) -> list[Row]:
    """One by one, and the population held against it."""
    one = _rates(data, learner, 1, runs, values, recorded)
    many = _rates(data, learner, members, runs, values, recorded)
    return [
        Row(f"{name}: one by one", one, "member-rows/s"),
        Row(f"{name}: {members} at once", many, "member-rows/s", peer=f"{name}: one by one", **promised),
    ]


def _population(
    data: Encoded, learner: Learner, members: int, values: dict[str, float], recorded: bool, batch: int = 512
) -> Population:
    """A population that has taken its first epoch."""
    recipe = parse("none")
    plan = Plan(budget=100, patience=100, device="cuda", recorded=recorded, batch_size=batch)
    default = {key: allowed.default for key, allowed in learner.space().items()}
    chosen = [Member({**default, "learning_rate": 1e-3, **values}, seed) for seed in range(members)]
    assert isinstance(learner, (MLP, TabM, ResNet32))
    fitted = {**learner.fitted(data.train), "task": data.train.task}
    architecture = {**learner.architecture(recipe, data.inputs, data.train.outputs, plan), **fitted}
    made = Population(recipe, chosen, [build_net(architecture, m.seed) for m in chosen], data.train, data.valid, plan)
    made.architecture = architecture
    made.run_epoch()
    torch.cuda.synchronize()
    return made


def _rates(
    data: Encoded, learner: Learner, members: int, runs: int, values: dict[str, float], recorded: bool, batch: int = 512
) -> list[float]:
    """Rows per second, counted once for each member."""
    made, found = _population(data, learner, members, values, recorded, batch), []
    for _ in range(runs):
        began = time.perf_counter()
        for _ in range(EPOCHS):
            made.run_epoch()
        torch.cuda.synchronize()
        found.append(members * EPOCHS * len(data.train) / (time.perf_counter() - began))
    return found


def _share(data: Encoded, members: int) -> float:
    """The share of the time on the device that an epoch spends in matrix products, by the profiler."""
    # Of a replayed step the profiler does not tell every operation.
    made = _population(data, MLP(), members, {}, recorded=False)
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        made.run_epoch()
        torch.cuda.synchronize()
    events = profile.key_averages()
    whole = sum(e.self_device_time_total for e in events if e.device_type == torch.autograd.DeviceType.CUDA)
    products = sum(e.self_device_time_total for e in events if e.key in PRODUCTS)
    return float(products / max(1.0, whole))


if __name__ == "__main__":
    main()
