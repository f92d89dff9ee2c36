"""The published recipes ranked on Adult's official test rows, with intervals over the seeds.

Run it: `make bench-ranking`. Every recipe that fits the data trains the same net with its default values; nothing is
tuned on test rows. The other half of docs/ranking.md is `make bench-longtail`.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

import torch

from benchmarks.encoded import mirror_has
from benchmarks.ranked import Rows, results, table
from benchmarks.searched import prepared
from benchmarks.table import publish_figures
from models.data import Split
from models.errors import InputError
from models.learners.learner import Plan
from models.preprocess import Preprocessor
from models.recipe import BASELINES, Recipe, parse, published
from tasks.parts import PARTS, read_rows, read_schema, rows_of, training_rows

SEEDS, EPOCHS, LEARNER = 3, 8, "mlp"
METRICS = {
    "balanced accuracy": "balanced_accuracy", "worst group": "worst_group_accuracy", "EO": "equalized_odds_difference",
    "ECE": "ece", "average precision": "average_precision",
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Train them all and publish the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranking")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    given = parser.parse_args(arguments)
    logging.getLogger("equipoise").setLevel(logging.WARNING)
    torch.set_num_threads(2)
    if not mirror_has("adult"):
        raise SystemExit("adult: there is no published order on other data. Set EQUIPOISE_MIRROR.")
    names = [*BASELINES, *(name for name in published() if name not in BASELINES)]
    tables = [name for name in names if parse(name).resample is not None]
    settings = ["split.by=official", "model.sensitive_features=true", f"search.recipes=[{','.join(['none', *tables])}]"]
    with prepared("adult", *settings) as ready:
        schema = read_schema(ready.root / "data/ingest")
        recipes: dict[str, Recipe] = {}
        for name in names:
            recipe = parse(name)
            if recipe.reads_champion:
                print(f"{name}: left out: there is no champion to learn from", flush=True)
                continue
            try:
                recipe.check(schema.target.kind, True, False, name)
            except InputError as error:
                print(f"{name}: left out: {error}", flush=True)
                continue
            recipes[name] = recipe
        rows, split = read_rows(ready.root / "data/ingest"), ready.root / "data/split"
        preprocessor = Preprocessor.fit(rows_of(rows, split, "train"), schema, True)
        parts = {p: preprocessor.encode(rows_of(rows, split, p)) for p in PARTS if p != "train"}

        def train(recipe: Recipe) -> Split:
            return preprocessor.encode(training_rows(rows, split, ready.root / "data/resample", recipe))

        plan = Plan(
            budget=given.epochs, batch_size=512, hidden=ready.params.model.hidden, patience=max(2, given.epochs // 3)
        )
        found = results(
            recipes, Rows(train, **parts, inputs=preprocessor.inputs, schema=schema), LEARNER, plan, range(given.seeds),
            ready.params.evaluate,
        )  # fmt: skip
    publish_figures(
        "ranking",
        f"Recipes on Adult, {LEARNER}, {given.epochs} epochs, {given.seeds} seeds",
        ["rank", "recipe", *METRICS],
        table(found, METRICS, "balanced_accuracy"),
        notes=[
            f"Mean over the seeds ± half of its 95% interval (Student's t) on {len(parts['test']):,} test rows.",
            "Worst group and EO (gap of equalized odds): of the worst of the sensitive attributes sex, race and age.",
            "Default values, early stopping by validation rows; recipes that adjust were fitted on calibration rows.",
        ],
        command=f"python -m benchmarks.ranking --seeds {given.seeds} --epochs {given.epochs}",
    )


if __name__ == "__main__":
    main()
