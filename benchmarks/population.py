"""32 configurations of one net: as a user writes it with Ray Tune, by our trials one by one, and by our populations.

Run it: `make bench-population`. Adult (or the embedded data), MLP 256-256, 5 epochs, no early stopping. Each way trains
the same configurations on all cores, from before Ray starts to after it has stopped. `--configurations`, `--epochs` and
`--runs` change the size; fewer epochs make what a trial costs besides training weigh more, in all three ways alike.
`--profile` shows instead where the time of one population goes. Where there is a GPU, 256 members are measured there too.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch
from sklearn.metrics import log_loss, roc_auc_score

from benchmarks.memory import peak_memory
from benchmarks.population_profile import profiled
from benchmarks.searched import Prepared, prepared
from benchmarks.table import Row, publish
from models.data import Split
from models.learners.learner import Input, Plan
from models.learners.torch import MLP, build_net
from models.preprocess import Preprocessor
from models.recipe import parse
from tasks.search.board import Board
from tasks.search.campaign import Terms, Trial
from tasks.search.choice import Goal
from tasks.search.cluster import cluster, prepare_environment
from tasks.search.ledger import Ledger
from tasks.search.populations import Sizes
from tasks.search.progress import Progress
from tasks.search.sizing import sizes
from tasks.search.space import Family, Pair
from tasks.search.tables import Table
from tasks.search.work import TRAINING, Setting

CONFIGURATIONS, EPOCHS, RUNS = 32, 5, 1
BATCH, HIDDEN = 512, (256, 256)
RECIPE = "focal"
PLAIN, ALONE, POPULATIONS = "Ray Tune, one process per trial, DataLoader", "our trials, one by one", "our populations"
Figures = dict[str, list[float]]
"""Log loss and ROC AUC on validation rows, by metric, in the order of the configurations."""


class Rows:
    """The encoded parts of a prepared data set, and what every way of training shares."""

    def __init__(self, ready: Prepared, configurations: int, epochs: int) -> None:
        from tasks.parts import PARTS, read_rows, read_schema, rows_of

        self.params, self.root, self.name = ready.params, ready.root, ready.name
        self.schema = read_schema(self.root / "data/ingest")
        rows = read_rows(self.root / "data/ingest")
        frames = {p: rows_of(rows, self.root / "data/split", p) for p in PARTS if p != "test"}
        preprocessor = Preprocessor.fit(frames["train"], self.schema, self.params.model.sensitive_features)
        self.inputs: Input = preprocessor.inputs
        self.parts: dict[str, Split] = {name: preprocessor.encode(frame) for name, frame in frames.items()}
        self.plan = Plan(budget=epochs, batch_size=BATCH, hidden=HIDDEN, patience=epochs)
        self.recipe = parse(RECIPE)
        self.pair = Pair(self.recipe, "mlp")
        self.setting = Setting(
            {RECIPE: self.recipe}, self.inputs, self.plan, self.schema, self.params.evaluate, "balanced_accuracy", 0
        )
        self.configurations = configurations

    def terms(self, chosen: Sizes) -> Terms:
        """A search without rounds and halving: every configuration has the full budget."""
        return Terms(
            pairs=(self.pair,), trials=self.configurations, rounds=1, halving=2, rungs=1,
            goal=Goal("balanced_accuracy", {}), seed=0, budgets={"mlp": self.plan.budget}, sizes=chosen,
        )  # fmt: skip

    def tables(self) -> dict[str, Table]:
        """For the object store."""
        return {TRAINING if name == "train" else name: Table.of(part) for name, part in self.parts.items()}


def ours(rows: Rows, trials: Sequence[Trial], together: bool) -> tuple[list[Trial], Figures]:
    """The product's search, which draws the configurations by itself, always the same; and how they did."""
    from tasks.progress import measured
    from tasks.search.tuner import search

    tables = rows.tables()
    chosen = sizes((Family((rows.pair,)),), rows.setting, tables) if together else Sizes()
    with tempfile.TemporaryDirectory() as folder:
        board = Board(rows.terms(chosen), Ledger(Path(folder) / "search" / "benchmark"))
        with (
            cluster(
                rows.params.resources, "cpu", sum(t.size for t in tables.values()), Path(folder) / "ray.json"
            ) as shares,
            measured("search", rows.configurations, "trials") as meter,
        ):
            search(board, rows.setting, tables, shares, 0, Progress(board, meter))
    assert board.finished is not None
    records = board.finished.records
    failed = [r.last.error for r in records if r.last.metrics is None]
    if failed:
        raise RuntimeError(f"a configuration failed: {failed[0]}")
    found = {name: [float((r.last.metrics or {})[name] or 0.0) for r in records] for name in ("log_loss", "roc_auc")}
    return [r.trial for r in records], found


def as_a_user_would(rows: Rows, trials: Sequence[Trial]) -> tuple[list[Trial], Figures]:
    """A trainable over a DataLoader, run by `Tuner.fit`: one process per trial, one core each."""
    prepare_environment()
    import ray
    from ray import tune

    epochs = rows.plan.budget
    architecture = MLP().architecture(rows.recipe, rows.inputs, rows.parts["train"].classes, rows.plan)
    train = rows.parts["train"]
    configurations = [{**trial.values, "seed": trial.seed, "number": i} for i, trial in enumerate(trials)]
    trainable = partial(_trainable, architecture=architecture, epochs=epochs)
    ray.init(
        num_cpus=len(os.sched_getaffinity(0)), include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    try:
        with tempfile.TemporaryDirectory() as folder:
            given = tune.with_parameters(
                trainable, table=(train.numeric, train.categorical, train.labels), valid=rows.parts["valid"]
            )
            results = tune.Tuner(
                tune.with_resources(given, {"cpu": 1}),
                param_space={"configuration": tune.grid_search(configurations)},
                run_config=tune.RunConfig(storage_path=folder, verbose=0),
            ).fit()
    finally:
        ray.shutdown()
    by_number = {r.config["configuration"]["number"]: r.metrics for r in results if r.metrics and r.config}
    return list(trials), {m: [by_number[i][m] for i in range(len(trials))] for m in ("log_loss", "roc_auc")}


def _trainable(config: dict[str, Any], architecture: Any, epochs: int, table: Any, valid: Split) -> None:
    """The loop as it is usually written: a DataLoader over a TensorDataset, AdamW, a cosine schedule."""
    from ray import tune
    from torch.utils.data import DataLoader, TensorDataset

    chosen = config["configuration"]
    torch.manual_seed(chosen["seed"] % 2**31)
    torch.set_num_threads(1)
    net = build_net(architecture, chosen["seed"])
    dropout = torch.nn.Dropout(chosen["dropout"])
    for module in net.body.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_forward_hook(lambda m, _, out: dropout(out) if m.training else out)
    optimizer = torch.optim.AdamW(net.parameters(), lr=chosen["learning_rate"], weight_decay=chosen["weight_decay"])
    loader = DataLoader(TensorDataset(*table), BATCH, shuffle=True, drop_last=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    for epoch in range(epochs):
        net.train()
        for numeric, categorical, labels in loader:
            optimizer.zero_grad()
            losses = torch.nn.functional.cross_entropy(net(numeric, categorical), labels, reduction="none")
            ((1 - torch.exp(-losses)) ** chosen["loss.gamma"] * losses).mean().backward()
            optimizer.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            positive = net(valid.numeric, valid.categorical).double().softmax(-1)[:, 1].clamp(1e-7, 1 - 1e-7)
        tune.report(
            {
                "epoch": epoch,
                "log_loss": float(log_loss(valid.labels, positive)),
                "roc_auc": float(roc_auc_score(valid.labels, positive)),
            }
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """All three in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.population")
    parser.add_argument("--configurations", type=int, default=CONFIGURATIONS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args(arguments)
    if given.profile:
        print(profiled())
        return
    logging.getLogger("equipoise").setLevel(logging.WARNING)
    ways: dict[str, Callable[[Rows, Sequence[Trial]], tuple[list[Trial], Figures]]] = {
        POPULATIONS: partial(ours, together=True), ALONE: partial(ours, together=False), PLAIN: as_a_user_would
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    memory: dict[str, list[float]] = {name: [] for name in seconds}
    figures: dict[str, Figures] = {}
    process: list[float] = []
    with prepared("adult") as ready:
        rows = Rows(ready, given.configurations, given.epochs)
        for _ in range(given.runs):
            trials: list[Trial] = []
            for name, way in ways.items():
                trials, figures[name], taken, peak = _timed(partial(way, rows, trials))
                seconds[name].append(taken)
                memory[name].append(peak[0])
                if name == POPULATIONS:
                    process.append(peak[1])
                print(f"{name}: {taken:.1f} s, {peak[0]:.0f} MiB", flush=True)
    command = f"python -m benchmarks.population --configurations {given.configurations} --epochs {given.epochs} --runs {given.runs}"
    measured_rows = [
        *(Row(f"{name}: whole time", values, "s", **_promise(name)) for name, values in seconds.items()),
        Row(
            f"{POPULATIONS}: the same time", seconds[POPULATIONS], "s", peer=f"{ALONE}: whole time", ratio_at_least=1.8
        ),
        *(Row(f"{name}: peak memory", values, "MiB", **_limit(name, process)) for name, values in memory.items()),
        Row("one population's process: peak memory", process, "MiB"),
    ]
    publish(
        "population",
        f"{given.configurations} configurations of an MLP 256-256, {given.epochs} epochs, {rows.name}",
        measured_rows,
        notes=_compared(figures),
        command=command,
    )


def _timed(way: Callable[[], tuple[list[Trial], Figures]]) -> tuple[list[Trial], Figures, float, tuple[float, float]]:
    began = time.perf_counter()
    with peak_memory() as peak:
        trials, found = way()
        taken = time.perf_counter() - began
    return trials, found, taken, (peak.together, peak.largest)


def _promise(name: str) -> dict[str, Any]:
    """Populations are held against both; one by one, against what a user would write."""
    if name == POPULATIONS:
        return {"peer": f"{PLAIN}: whole time", "ratio_at_least": 3.0}
    return {"peer": f"{PLAIN}: whole time"} if name == ALONE else {}


def _limit(name: str, process: Sequence[float]) -> dict[str, Any]:
    return {"at_most": 1.3 * fmean(process)} if name == POPULATIONS else {}


def _compared(figures: dict[str, Figures]) -> list[str]:
    """How far the ways differ in what they reach: their means over the configurations, and the noise of a seed."""
    notes = []
    for metric in ("log_loss", "roc_auc"):
        means = {name: fmean(found[metric]) for name, found in figures.items()}
        differences = [a - b for a, b in zip(figures[POPULATIONS][metric], figures[PLAIN][metric], strict=True)]
        notes.append(
            f"{metric} on validation rows, mean over the configurations: "
            + ", ".join(f"{name} {mean:.4f}" for name, mean in means.items())
            + f"; the same configuration differs between the first two by {fmean(differences):+.4f} ± {pstdev(differences):.4f}."
        )
    notes.append("Memory of this process and all that descend from it, pages that several have mapped counted once.")
    return notes


if __name__ == "__main__":
    main()
