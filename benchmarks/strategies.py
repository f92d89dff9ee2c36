"""How much each method slows training down: its time over that of plain cross-entropy, in turns, batch 512, on Adult.

Run it: `make bench-strategies`; names after it measure those alone. Every method that acts during training and serves two
classes of a table is measured on the mlp, for a whole training with its judging on validation rows. A method may slow it
down by 30% at most, unless its paper needs extra passes, which its docstring then says in that word; or works on more,
of which the docstring then says that a step takes longer.
"""

from __future__ import annotations

import argparse
import inspect
import re
import time
from collections.abc import Sequence
from statistics import median

import torch

from benchmarks.encoded import Encoded, encoded_data
from benchmarks.table import Cell, publish_figures
from models.balancing.discovery import catalogue
from models.errors import EquipoiseError
from models.learners.learner import Member, Plan
from models.learners.torch import MLP, Population, build_net
from models.recipe import Recipe, parse

EPOCHS, RUNS, BATCH, HIDDEN = 2, 2, 512, (256, 256)
AT_MOST = 1.3
SLOTS = ("sample", "mix", "head", "loss", "weigh", "regularize", "optimize", "schedule")
SAYS_SO = re.compile(r"\bpass(es)?\b")


def main(arguments: Sequence[str] | None = None) -> None:
    """Each method against cross-entropy."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.strategies")
    parser.add_argument("names", nargs="*", help="methods; all without")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    data = encoded_data("adult")
    plan = Plan(budget=given.epochs, batch_size=BATCH, hidden=HIDDEN, patience=given.epochs)
    plain = parse("none")
    _seconds(plain, data, plan)
    rows: list[list[Cell]] = []
    left_out: list[str] = []
    for name, kind in sorted(catalogue().items(), key=lambda item: (*SLOTS, item[1].slot).index(item[1].slot)):
        if kind.slot not in SLOTS or name == "none" or (given.names and name not in given.names):
            continue
        try:
            recipe = parse(name)
            recipe.check(data.schema.target.kind, True, False, name)
            ratios, taken = _against(recipe, plain, data, plan, given.runs)
        except EquipoiseError as error:
            left_out.append(name)
            print(f"{name}: left out: {error}", flush=True)
            continue
        passes = SAYS_SO.search(inspect.getdoc(kind) or "") is not None
        verdict = "yes" if median(ratios) <= AT_MOST else "more passes" if passes else "no"
        spread = f"{min(ratios):.2f} … {max(ratios):.2f}"
        rows.append([name, kind.slot, f"{median(taken):.2f} s", f"{median(ratios):.2f} ×", spread, verdict])
        print(f"{name}: {median(ratios):.2f} × ({spread}), {verdict}", flush=True)
    slow = [str(row[0]) for row in rows if row[-1] == "no"]
    publish_figures(
        "strategies",
        f"Time of a training over that of cross-entropy, {data.name}, batch {BATCH}, one thread",
        ["method", "slot", "median time", "× cross-entropy", "min … max", f"at most {AT_MOST:g} ×"],
        rows,
        notes=[
            f"Median of {given.runs} runs right after one of cross-entropy; mlp 256-256, {given.epochs} epochs.",
            f"Slower without a word of extra passes: {', '.join(slow) or 'none'}.",
            f"For other targets or data, and not measured: {', '.join(left_out) or 'none'}.",
        ],
        command=f"python -m benchmarks.strategies --epochs {given.epochs} --runs {given.runs}",
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
