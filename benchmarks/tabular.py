"""How well the learners do on tables, untuned: TabM, MLP and trees against LightGBM, on four data sets, one thread.

Run it: `make bench-tabular`; `--seeds` and `--rows` (of acsincome) change the size. LightGBM is measured where it is
installed. Every seed gives a split and a training of its own; a table's cell is the mean over the seeds. Only test rows
are scored, and nothing was chosen on them.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Sequence
from statistics import mean

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from benchmarks.encoded import Encoded, encoded_data
from benchmarks.table import Cell, publish_figures
from models.data import Split
from models.learners import learner
from models.learners.learner import Member, Plan
from models.recipe import parse

DATA = ("adult", "acsincome", "mammography", "compas")
SEEDS, ROWS = 1, 30_000
PLANS = {"tabm": Plan(budget=16, patience=5), "mlp": Plan(budget=16, patience=5), "trees": Plan(budget=400)}
PEER = "LightGBM"

Scorer = Callable[[Split], NDArray[np.floating]]
Figures = tuple[float, float, float, float]


def ours(name: str) -> Callable[[Encoded, int], Scorer]:
    """One of the product's learners with its defaults: probabilities of the positive class."""

    def fit(data: Encoded, seed: int) -> Scorer:
        outcome = learner(name).fit(
            parse("none"), [Member({}, seed)], data.train, data.valid, data.inputs, PLANS[name]
        )[0]
        model = outcome.model
        if model is None:
            raise RuntimeError(f"{name} failed on {data.name}: {outcome.error}")
        return lambda split: model.logits(split).softmax(-1)[:, 1].numpy()

    return fit


def lightgbm(data: Encoded, seed: int) -> Scorer:
    """200 trees at a learning rate of .05, the rest as it comes; on the same columns."""
    import lightgbm

    def columns(split: Split) -> NDArray[np.floating]:
        return torch.cat([split.numeric, split.categorical.float()], 1).numpy()

    count = data.train.numeric.shape[1]
    categorical = list(range(count, count + data.train.categorical.shape[1]))
    model = lightgbm.LGBMClassifier(n_estimators=200, learning_rate=0.05, n_jobs=1, random_state=seed, verbose=-1)
    model.fit(columns(data.train), data.train.labels.numpy(), categorical_feature=categorical)
    return lambda split: np.asarray(model.predict_proba(columns(split)))[:, 1]


def measure(fit: Callable[[Encoded, int], Scorer], data: Encoded, seed: int) -> Figures:
    """ROC AUC, average precision and log loss on the test rows, and the seconds of processor time that the fit took."""
    began = time.process_time()
    scorer = fit(data, seed)
    taken = time.process_time() - began
    truth, p = data.test.labels.numpy(), scorer(data.test).astype(np.float64)
    loss = log_loss(truth, np.clip(p, 1e-7, 1 - 1e-7))
    return float(roc_auc_score(truth, p)), float(average_precision_score(truth, p)), float(loss), taken


def main(arguments: Sequence[str] | None = None) -> None:
    """All systems on the same splits."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tabular")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--rows", type=int, default=ROWS, help="of acsincome, which has 665,800")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    systems: dict[str, Callable[[Encoded, int], Scorer]] = {name: ours(name) for name in PLANS}
    if importlib.util.find_spec("lightgbm") is not None:
        systems[PEER] = lightgbm
    else:
        print("LightGBM is not installed; measuring without it (pip install lightgbm)")
    found: dict[tuple[str, str], list[Figures]] = {}
    for name in DATA:
        settings = (f"data.rows={given.rows}",) if name == "acsincome" else ()
        for seed in range(given.seeds):
            data = encoded_data(name, f"seed={seed}", *settings)
            label = f"{data.name}, {len(data.train):,} rows"
            for system, fit in systems.items():
                found.setdefault((label, system), []).append(measure(fit, data, seed))
                figures = found[label, system][-1]
                print(
                    f"{label}, seed {seed}, {system}: average precision {figures[1]:.4f}, {figures[3]:.1f} s",
                    flush=True,
                )
    rows: list[list[Cell]] = []
    for (label, system), values in found.items():
        auc, precision, loss, seconds = (mean(column) for column in zip(*values, strict=True))
        peer = found.get((label, PEER))
        difference = precision - mean(v[1] for v in peer) if peer and system != PEER else None
        signed = None if difference is None else f"{difference:+.4f}"
        rows.append([label, system, f"{auc:.4f}", f"{precision:.4f}", signed, f"{loss:.4f}", f"{seconds:.1f}"])
    publish_figures(
        "tabular",
        "Learners on tables, one configuration each",
        ["data", "learner", "ROC AUC", "average precision", f"against {PEER}", "log loss", "seconds of one thread"],
        rows,
        notes=[
            f"{'One seed' if given.seeds == 1 else f'Means over {given.seeds} seeds, each with its own split'}; test rows. No learner was tuned on these data for "
            "the table: ours with their defaults, LightGBM with 200 trees at a learning rate of .05."
        ],
        command=f"python -m benchmarks.tabular --seeds {given.seeds} --rows {given.rows}",
    )


if __name__ == "__main__":
    main()
