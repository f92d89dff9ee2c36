"""A population of 256 small nets on the GPU: member-rows per second, against one by one, and the time in matrix products."""

from __future__ import annotations

import time

import torch

from benchmarks.encoded import Encoded, encoded_data
from benchmarks.table import Row
from models.learners.learner import Member, Plan
from models.learners.torch import MLP, Population, build_net
from models.recipe import parse

MEMBERS, EPOCHS, RUNS = 256, 2, 3
MATRIX_PRODUCTS = ("gemm", "cutlass", "bmm", "matmul", "addmm")


def on_gpu() -> list[Row]:
    """The rows of the table; none where there is no GPU."""
    if not torch.cuda.is_available():
        return []
    data = encoded_data("adult")
    one = [_rate(data, 1) for _ in range(RUNS)]
    many = [_rate(data, MEMBERS) for _ in range(RUNS)]
    launched = {members: [_rate(data, members, recorded=False) for _ in range(RUNS)] for members in (1, MEMBERS)}
    return [
        Row("GPU, one by one", one, "member-rows/s"),
        Row(f"GPU, a population of {MEMBERS}", many, "member-rows/s", peer="GPU, one by one", ratio_at_least=40.0),
        Row("GPU, one by one, steps not recorded", launched[1], "member-rows/s", peer="GPU, one by one"),
        Row(
            f"GPU, a population of {MEMBERS}, steps not recorded",
            launched[MEMBERS],
            "member-rows/s",
            peer=f"GPU, a population of {MEMBERS}",
        ),
        Row("GPU, time outside matrix products", [1 - _share(data)], "fraction", at_most=0.5),
        Row("GPU, time for a million member-rows", [1e6 / rate for rate in many], "s", at_most=1 / 20),
    ]


def _population(data: Encoded, members: int, recorded: bool = True) -> Population:
    recipe = parse("none")
    plan = Plan(budget=1 + EPOCHS, patience=1 + EPOCHS, device="cuda", recorded=recorded)
    architecture = MLP().architecture(recipe, data.inputs, data.train.classes, plan)
    chosen = [Member({"learning_rate": 1e-3, "weight_decay": 0.1}, seed) for seed in range(members)]
    made = Population(recipe, chosen, [build_net(architecture, m.seed) for m in chosen], data.train, data.valid, plan)
    made.architecture = architecture
    made.run_epoch()
    torch.cuda.synchronize()
    return made


def _rate(data: Encoded, members: int, recorded: bool = True) -> float:
    """Rows per second, counted once for each member."""
    made = _population(data, members, recorded)
    began = time.perf_counter()
    for _ in range(EPOCHS):
        made.run_epoch()
    torch.cuda.synchronize()
    return members * EPOCHS * len(data.train) / (time.perf_counter() - began)


def _share(data: Encoded) -> float:
    """The share of the time on the device that an epoch spends in matrix products, by the profiler."""
    # Of a replayed step the profiler does not tell every operation.
    made = _population(data, MEMBERS, recorded=False)
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        made.run_epoch()
        torch.cuda.synchronize()
    events = [e for e in profile.key_averages() if e.self_device_time_total > 0]
    products = sum(e.self_device_time_total for e in events if any(k in e.key.lower() for k in MATRIX_PRODUCTS))
    return float(products / max(1.0, sum(e.self_device_time_total for e in events)))
