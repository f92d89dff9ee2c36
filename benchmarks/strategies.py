"""How much each method slows training down: its time over that of plain cross-entropy, in turns, batch 512, on Adult.

Run it: `make bench-strategies`; `python -m benchmarks.strategies NAME …` measures these and keeps the others' lines,
`--verdicts` measures nothing and judges the lines by what the methods declare now. Every method that acts during training
and serves two classes of a table is measured on the mlp, for a whole training with its judging on validation rows. A method
may slow it down by 30% at most, unless its paper makes it do more, which it then declares as its `cost`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from statistics import median

import torch

from benchmarks.encoded import Encoded, encoded_data
from benchmarks.table import RESULTS, Cell, Figures, publish_figures, read
from models.balancing.base import Component
from models.balancing.discovery import catalogue
from models.errors import EquipoiseError
from models.learners.learner import Member, Plan
from models.learners.torch import MLP, Population, build_net
from models.recipe import Recipe, parse

EPOCHS, RUNS, BATCH, HIDDEN = 2, 2, 512, (256, 256)
AT_MOST = 1.3
SLOTS = ("sample", "mix", "head", "loss", "weigh", "regularize", "optimize", "schedule")
SAYS_SO = "says so"


def main(arguments: Sequence[str] | None = None) -> None:
    """Each method against cross-entropy."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strategies")
    parser.add_argument("names", nargs="*", help="methods; all without")
    parser.add_argument("--verdicts", action="store_true", help="measure nothing, only judge the last result anew")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    data = encoded_data("adult")
    plan = Plan(budget=given.epochs, batch_size=BATCH, hidden=HIDDEN, patience=given.epochs)
    plain = parse("none")
    command = f"python -m benchmarks.strategies --epochs {given.epochs} --runs {given.runs}"
    methods = {name: kind for name, kind in catalogue().items() if kind.slot in SLOTS and name != "none"}
    wanted = set() if given.verdicts else set(given.names) or set(methods)
    rows = {} if wanted == set(methods) else known(command)
    left_out: list[str] = []
    if wanted:
        _seconds(plain, data, plan)
    for name, kind in methods.items():
        if name not in wanted:
            left_out += [] if name in rows else [name]
            continue
        try:
            recipe = parse(name)
            recipe.check(data.schema.target.kind, True, False, name)
            ratios, taken = _against(recipe, plain, data, plan, given.runs)
        except EquipoiseError as error:
            left_out.append(name)
            print(f"{name}: left out: {error}", flush=True)
            continue
        spread = f"{min(ratios):.2f} … {max(ratios):.2f}"
        rows[name] = (name, kind.slot, f"{median(taken):.2f} s", f"{median(ratios):.2f} ×", spread)
        print(f"{name}: {median(ratios):.2f} × ({spread}), {verdict(kind, median(ratios))}", flush=True)
    lines = with_verdicts(rows, methods)
    slow = [str(row[0]) for row in lines if row[-1] == "no"]
    publish_figures(
        "strategies",
        f"Time of a training over that of cross-entropy, {data.name}, batch {BATCH}, one thread",
        ["method", "slot", "median time", "× cross-entropy", "min … max", f"at most {AT_MOST:g} ×"],
        lines,
        notes=[
            f"Median of {given.runs} runs right after one of cross-entropy; mlp 256-256, {given.epochs} epochs.",
            f"'{SAYS_SO}': its paper makes it do more, which `equipoise strategies show` says under costs.",
            f"Slower, and no cost declared: {', '.join(slow) or 'none'}.",
            f"For other targets or data, and not measured: {', '.join(left_out) or 'none'}.",
        ],
        command=command,
    )


def verdict(kind: type[Component], ratio: float) -> str:
    """Whether the method keeps to what is allowed; slower than that is excused by a declared cost alone."""
    return "yes" if ratio <= AT_MOST else SAYS_SO if kind.cost else "no"


def with_verdicts(rows: Mapping[str, Sequence[Cell]], methods: Mapping[str, type[Component]]) -> list[list[Cell]]:
    """Lines of name, slot, time, ratio and spread, in the order of the slots, each with what its method declares today."""
    ordered = sorted((name for name in methods if name in rows), key=lambda name: SLOTS.index(methods[name].slot))
    return [[*rows[name][:5], verdict(methods[name], float(str(rows[name][3]).split()[0]))] for name in ordered]


def known(command: str) -> dict[str, tuple[Cell, ...]]:
    """The lines of the last result, where it was measured by the same command."""
    path = RESULTS / "strategies.json"
    result = read(path) if path.is_file() else None
    return (
        {str(row[0]): row for row in result.rows} if isinstance(result, Figures) and result.command == command else {}
    )


def _against(recipe: Recipe, plain: Recipe, data: Encoded, plan: Plan, runs: int) -> tuple[list[float], list[float]]:
    """Ratios and seconds, run by run, all held against the cross-entropy right before them."""
    base = _seconds(plain, data, plan)
    taken = [_seconds(recipe, data, plan) for _ in range(runs)]
    return [own / base for own in taken], taken


def _seconds(recipe: Recipe, data: Encoded, plan: Plan) -> float:
    """A whole training of one member."""
    learner = MLP()
    values = {
        **{key: allowed.default for key, allowed in learner.space().items()},
        **{key: allowed.default for key, allowed in recipe.space().items()},
        **dict(recipe.learner),
    }
    architecture = learner.architecture(recipe, data.inputs, data.train.classes, plan)
    net = build_net(architecture, 0)
    began = time.perf_counter()
    population = Population(recipe, [Member(values, 0)], [net], data.train, data.valid, plan)
    population.architecture = architecture
    while population.alive and population.epoch < plan.budget:
        population.run_epoch()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
