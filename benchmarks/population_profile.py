"""Where the time of a population goes on one core: an epoch of Adult beside one of a member alone, by operation."""

from __future__ import annotations

import time

import torch

from benchmarks.encoded import Encoded, encoded_data
from benchmarks.gpu import MATRIX_PRODUCTS
from models.learners.learner import Member, Plan
from models.learners.torch import MLP, Population, build_net
from models.recipe import parse

MEMBERS, SHOWN = 8, 12
PRODUCTS = ("aten::mm", *MATRIX_PRODUCTS)


def profiled() -> str:
    """A table in Markdown: milliseconds per member and epoch, of which in each operation, and without the profiler."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        data = encoded_data("adult")
        return "\n\n".join(_of(data, members) for members in (1, MEMBERS))
    finally:
        torch.set_num_threads(threads)


def _of(data: Encoded, members: int) -> str:
    recipe, plan = parse("focal"), Plan(budget=3, patience=3)
    architecture = MLP().architecture(recipe, data.inputs, data.train.classes, plan)
    values = {"learning_rate": 1e-3, "weight_decay": 0.1, **{k: r.default for k, r in recipe.space().items()}}
    chosen = [Member(values, seed) for seed in range(members)]
    nets = [build_net(architecture, m.seed) for m in chosen]
    population = Population(recipe, chosen, nets, data.train, data.valid, plan)
    population.architecture = architecture
    population.run_epoch()
    began = time.perf_counter()
    population.run_epoch()
    plain = time.perf_counter() - began
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        population.run_epoch()
    events = sorted(profile.key_averages(), key=lambda e: -e.self_cpu_time_total)
    whole = sum(e.self_cpu_time_total for e in events)
    products = sum(e.self_cpu_time_total for e in events if any(k in e.key for k in PRODUCTS))
    lines = [
        f"Members: {members}; {1e3 * plain / members:.0f} ms per member and epoch; "
        f"{products / whole:.0%} of the time in matrix products.",
        "| operation | calls | ms per member | share |\n|---|---|---|---|\n"
        + "\n".join(
            f"| {e.key} | {e.count} | {e.self_cpu_time_total / 1e3 / members:.1f} | {e.self_cpu_time_total / whole:.1%} |"
            for e in events[:SHOWN]
        ),
    ]
    return "\n\n".join(lines)
