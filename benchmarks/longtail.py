"""Long-tailed images with ResNet-32: recipes ranked over three seeds, beside the order that papers report.

Run it: `make bench-longtail`. On a GPU it takes the whole of mnist-lt and cifar10-lt at ratio 100, for 200 epochs; on a CPU
a part of the rows and a few epochs, and says so; each has a result of its own. Which epoch is kept is chosen on held-out training rows, where the
papers' codes keep the best epoch by the test set. `--data`, `--rows`, `--epochs` and `--seeds` choose another size.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean

import torch

from benchmarks.encoded import encoded_data, mirror_has
from benchmarks.ranked import Results, Rows, results, table
from benchmarks.table import publish_figures
from models.learners.learner import Plan
from models.recipe import parse
from tasks.params import Evaluate

RATIO = 100
RECIPES: Mapping[str, str] = {
    "none": "70.4-71.9", "class_balanced_sampling": "72.5", "crt": "75.0", "class_balanced_focal": "75.2",
    "mixup": "74.1", "ldam_drw": "77.0-77.8", "balanced_softmax": "77.5", "logit_adjustment": "77.3",
    "logit_adjusted": "77.9", "mixup_drw": "82.1", "mislas": "82.5",
}  # fmt: skip
"""What papers report for each on CIFAR-10-LT at ratio 100 with ResNet-32, top-1 in percent."""
METRICS = {
    "accuracy": "accuracy", "balanced accuracy": "balanced_accuracy", "worst class": "worst_class_recall", "ECE": "ece"
}  # fmt: skip
AUGMENTED: Mapping[str, Mapping[str, float]] = {"cifar10-lt": {"shift": 0.125, "flip": 0.5}}
"""As in the papers: up to four of 32 pixels to each side, and a mirror image half of the time. Digits stay as they are."""
ON_CPU = tuple(name for name in RECIPES if name not in ("crt", "mixup_drw", "mislas"))
DATA = ("mnist-lt", "cifar10-lt")
CPU_ROWS, CPU_EPOCHS, CPU_HELD_OUT, CPU_TEST = 240, 4, 100, 500
"""Where there is no GPU: training rows at most, epochs, held-out rows that judge each epoch, and test rows."""
GPU_EPOCHS = 200
BATCH, CPU_BATCH = 128, 64
"""Rows of a step; fewer of so few rows make more steps."""


def main(arguments: Sequence[str] | None = None) -> None:
    """One table per data set."""
    gpu = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.longtail")
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=DATA)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES if gpu else ON_CPU), choices=list(RECIPES))
    parser.add_argument("--rows", type=int, default=None, help="training rows at most; 0: all")
    parser.add_argument("--epochs", type=int, default=None)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args(arguments)
    logging.getLogger("equipoise").setLevel(logging.WARNING)
    for name in given.data:
        if not mirror_has(name):
            print(f"{name}: left out, as it is not in the mirror.")
            continue
        rows = given.rows if given.rows is not None else 0 if gpu else CPU_ROWS
        epochs = given.epochs or (GPU_EPOCHS if gpu else CPU_EPOCHS)
        _measure(name, given.recipes, rows, epochs, given.seeds, "cuda" if gpu else "cpu")


def _measure(name: str, recipes: Sequence[str], limit: int, epochs: int, seeds: int, device: str) -> None:
    data = encoded_data(name, "split.by=official", f"data.imbalance_ratio={RATIO}")
    train = data.train
    if 0 < limit < len(train):
        # As many of every class as its share: the tail stays as long.
        chosen = torch.cat([
            rows[: max(2, round(len(rows) * limit / len(train)))]
            for rows in (torch.nonzero(train.labels == c)[:, 0] for c in range(train.classes))
        ])  # fmt: skip
        train = train.take(chosen)
    valid, test = data.valid, data.test
    if device == "cpu":
        valid = valid.take(torch.arange(0, len(valid), max(1, len(valid) // CPU_HELD_OUT)))
        test = test.take(torch.arange(0, len(test), max(1, len(test) // CPU_TEST)))
    rows = Rows(
        lambda recipe: train.to(device), valid.to(device), data.calib.to(device), test.to(device), data.inputs,
        data.schema,
    )  # fmt: skip
    batch = CPU_BATCH if device == "cpu" else BATCH
    plan = Plan(budget=epochs, batch_size=batch, patience=epochs, device=device)
    # A shortened schedule has no time to learn what is moved.
    augmented = tuple((AUGMENTED.get(name, {}) if device == "cuda" else {}).items())
    trained = {label: replace(recipe, learner=(*recipe.learner, *augmented)) for label, recipe in
               ((label, parse(label)) for label in recipes)}  # fmt: skip
    found = results(trained, rows, "resnet32", plan, range(seeds), Evaluate())
    size = f"{len(train):,} training rows, {epochs} epochs, {seeds} seeds"
    publish_figures(
        "longtail_" + name.removesuffix("-lt") + ("_gpu" if device == "cuda" else ""),
        f"Recipes on {name} at ratio {RATIO}, ResNet-32: {size}",
        ["rank", "recipe", *METRICS, "published, CIFAR-10-LT, %"],
        [[*row, RECIPES[str(row[1])]] for row in table(found, METRICS, "balanced_accuracy")],
        notes=[
            f"Mean over the seeds ± half of its 95% interval (Student's t), on {len(test):,} balanced test rows.",
            _agreement(found),
            *_shortened(device, limit, epochs),
        ],
        command=f"python -m benchmarks.longtail --data {name} --rows {limit} --epochs {epochs} --seeds {seeds} --recipes {' '.join(recipes)}",
    )  # fmt: skip


def _shortened(device: str, limit: int, epochs: int) -> list[str]:
    """What is less than in the papers."""
    if device == "cpu":
        return ["Measured without a GPU: a shortened schedule on part of the rows."]
    less = [f"{epochs} of the papers' {GPU_EPOCHS} epochs"] if epochs < GPU_EPOCHS else []
    less += [f"at most {limit:,} of the training rows"] if limit else []
    return [f"Less than in the papers: {' and '.join(less)}."] if less else []


def _agreement(found: Results) -> str:
    """How far the order is the published one: Kendall's tau."""
    from scipy.stats import kendalltau

    labels = list(found)
    ours = [fmean(m["balanced_accuracy"] or 0.0 for m in found[label]) for label in labels]
    papers = [fmean(float(x) for x in RECIPES[label].split("-")) for label in labels]
    if len(labels) < 3:
        return "Too few recipes to compare the order with the published one."
    tau = kendalltau(ours, papers)
    return f"Kendall's tau of this order with the published one: {tau.statistic:+.2f} (p = {tau.pvalue:.2f})."


if __name__ == "__main__":
    main()
