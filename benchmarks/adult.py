"""Adult on its official split: what the product registers, beside what people use today, on the same test rows.

Run it: `make bench-adult`. The product runs through its own command in a fresh clone, with the recipes of params.yaml,
once per limit on the equalized odds gap; its search sees no test row. The peers train on all rows that are not test
rows and are not tuned. LightGBM comes with `pip install 'equipoise[bench]'`; without it, scikit-learn's histogram trees
stand in, and the table says so.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.clones import as_settings, cloned
from benchmarks.encoded import mirror_has
from benchmarks.table import Cell, publish_figures
from models.metrics.figures import Figure, Terms, overall_figures
from models.metrics.gaps import GapFigure, gap_figures
from models.metrics.scored import Grouping, Scored
from models.schema import Schema
from tasks.judging import Scores, read_scores
from tasks.parts import PARTS, read_rows, read_schema, rows_of

ATTRIBUTE = "sex"
ECE = 0.03
EQUALIZED_ODDS = (0.1, 0.2)
SETTINGS = (
    "data.name=adult", "split.by=official", "model.sensitive_features=true", f"sensitive=[{ATTRIBUTE}]",
    "search.maximize=balanced_accuracy",
)  # fmt: skip
COLUMNS = {
    "balanced accuracy": "balanced_accuracy",
    "ROC AUC": "roc_auc",
    "AP": "average_precision",
    "ECE": "ece",
    "worst group": "worst_group_accuracy",
    "DP": "demographic_parity_difference",
    "EO": "equalized_odds_difference",
}
FROM_PROBABILITIES = ("roc_auc", "average_precision", "ece")
TREES, RATE = 200, 0.05


@dataclass(frozen=True)
class Table:
    """Rows as people feed them to a tree library: columns of the product, categories as such, labels, group names."""

    columns: pd.DataFrame
    labels: NDArray[np.int64]
    groups: NDArray[Any]

    @staticmethod
    def of(rows: pd.DataFrame, schema: Schema) -> Table:
        """The features that the product may read, sensitive ones included."""
        features = schema.features(sensitive=True)
        columns = {
            c.name: rows[c.name] if c.kind == "numeric" else pd.Categorical(rows[c.name], categories=c.categories)
            for c in features
        }
        labels = rows[schema.target.column].map(schema.target.classes.index).to_numpy(np.int64)
        return Table(pd.DataFrame(columns, index=rows.index), labels, rows[ATTRIBUTE].to_numpy())


@dataclass(frozen=True)
class Decided:
    """What a system says of the test rows: decisions [n], and the probability of the positive class [n] if it has any."""

    decisions: NDArray[Any]
    probabilities: NDArray[Any] | None


def main(arguments: Sequence[str] | None = None) -> None:
    """The product first, as its clone holds the rows; then the peers on them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adult")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as with `equipoise run`")
    more = parser.parse_args(arguments).set
    if not mirror_has("adult"):
        raise SystemExit("adult: there is nothing to compare with on other data. Set EQUIPOISE_MIRROR.")
    rows: list[list[Cell]] = []
    terms = Terms()
    with cloned(mirror=True) as clone:
        for limit in EQUALIZED_ODDS:
            limits = f"search.subject_to={{ece: {ECE}, equalized_odds_difference: {limit}}}"
            run = clone.equipoise("run", *as_settings([*SETTINGS, limits, *more]))
            if run.code not in (0, 3):
                raise RuntimeError(f"the run ended with exit code {run.code}")
            schema = read_schema(clone.root / "data/ingest")
            scores = read_scores(clone.root / "data/evaluate/predictions.parquet", schema)
            rows.append([f"**Equipoise**, ECE ≤ {ECE:g} and EO ≤ {limit:g} asked for", *figures(scores, terms)])
        train, test = _tables(clone.root / "data", schema)
    for label, decided in peers(train, test):
        rows.append([label, *figures(_scores(test, decided, schema), terms, decided.probabilities is not None)])
    publish_figures(
        "adult",
        "Adult, official split, test rows",
        ["", *COLUMNS],
        rows,
        command="make bench-adult",
        notes=[
            f"{len(test.labels):,} test rows; in brackets the 95% interval. Worst group, DP and EO (gaps of demographic "
            f"parity and equalized odds): by {ATTRIBUTE}. AP: average precision.",
            "The limits were asked for on validation rows; what they came to is measured here, on rows that took no part.",
            f"The peers train on the {len(train.labels):,} other rows, untuned; the product keeps part of these for "
            "choosing and calibrating.",
        ],
    )


def _tables(data: Path, schema: Schema) -> tuple[Table, Table]:
    """The rows that peers train on, which are all but the test rows, and the test rows."""
    rows = read_rows(data / "ingest")
    parts = [rows_of(rows, data / "split", part) for part in PARTS if part != "test"]
    return Table.of(pd.concat(parts, ignore_index=True), schema), Table.of(
        rows_of(rows, data / "split", "test"), schema
    )


def _scores(test: Table, decided: Decided, schema: Schema) -> Scores:
    """A peer's decisions as the product's metrics read them; decisions stand in for probabilities where it has none."""
    positive = decided.decisions if decided.probabilities is None else decided.probabilities
    probabilities = np.stack([1 - positive, positive], 1).astype(np.float64)
    known = next(a for a in schema.sensitive if a.name == ATTRIBUTE)
    grouping = Grouping.of(ATTRIBUTE, test.groups.tolist(), known.groups)
    return Scores(Scored.of(test.labels, decided.decisions, probabilities), schema.target.classes, (grouping,))


def figures(scores: Scores, terms: Terms, probabilistic: bool = True) -> list[Cell]:
    """The columns of the table, each with its interval; none for what needs probabilities where there are none."""
    by_group = gap_figures(scores.scored, scores.classes, scores.grouping(ATTRIBUTE), terms)
    names = [name for name in COLUMNS.values() if name not in by_group]
    found: dict[str, Figure | GapFigure] = {**overall_figures(scores.scored, scores.classes, terms, names), **by_group}
    return [
        _cell(found[name]) if probabilistic or name not in FROM_PROBABILITIES else None for name in COLUMNS.values()
    ]


def _cell(figure: Figure | GapFigure) -> str | None:
    """`0.845 (.839-.851)`."""
    if figure.value is None or figure.low is None or figure.high is None:
        return None
    low, high = (f"{x:.3f}".removeprefix("0") for x in (figure.low, figure.high))
    return f"{figure.value:.3f} ({low}–{high})"


def peers(train: Table, test: Table) -> list[tuple[str, Decided]]:
    """What people use, each by its label."""
    name, make = trees()
    plain = make(None).fit(train.columns, train.labels)
    scored = _positive(plain, test)
    prior = float(train.labels.mean())
    balanced = _positive(make("balanced").fit(train.columns, train.labels), test)
    resampled = _positive(_after_smote(make(None), train), test)
    return [
        (name, Decided(scored >= 0.5, scored)),
        (f"{name}, class_weight=balanced", Decided(balanced >= 0.5, balanced)),
        (f"{name}, threshold at the prior", Decided(scored >= prior, scored)),
        (f"{name} after SMOTE-NC", Decided(resampled >= 0.5, resampled)),
        (f"{name}, fairlearn ThresholdOptimizer, EO", Decided(_fair(plain, train, test), None)),
    ]


def trees() -> tuple[str, Callable[[str | None], Any]]:
    """The boosted trees at hand, by name, made for a class weight."""
    if importlib.util.find_spec("lightgbm") is not None:
        from lightgbm import LGBMClassifier

        return "LightGBM", lambda weight: LGBMClassifier(
            n_estimators=TREES, learning_rate=RATE, class_weight=weight, random_state=0, verbose=-1
        )
    from sklearn.ensemble import HistGradientBoostingClassifier

    print("LightGBM is not installed (pip install 'equipoise[bench]'); scikit-learn's histogram trees stand in for it.")
    return "scikit-learn's trees (no LightGBM here)", lambda weight: HistGradientBoostingClassifier(
        max_iter=TREES, learning_rate=RATE, class_weight=weight, early_stopping=False, random_state=0
    )


def _positive(model: Any, test: Table) -> NDArray[Any]:
    return np.asarray(model.predict_proba(test.columns))[:, 1]


def _after_smote(model: Any, train: Table) -> Any:
    """The model on rows that SMOTE-NC has balanced; it knows no missing values, which become a category of their own."""
    from imblearn.over_sampling import SMOTENC

    texts = [str(c) for c in train.columns if isinstance(train.columns[c].dtype, pd.CategoricalDtype)]
    filled = train.columns.assign(**{c: train.columns[c].astype(object).fillna("missing") for c in texts})
    columns, labels = SMOTENC(categorical_features=texts, random_state=0).fit_resample(filled, train.labels)
    back = {
        c: pd.Categorical(columns[c].mask(columns[c] == "missing"), categories=train.columns[c].cat.categories)
        for c in texts
    }
    return model.fit(columns.assign(**back), labels)


def _fair(model: Any, train: Table, test: Table) -> NDArray[Any]:
    """Decisions of fairlearn's post-processing, fitted on the rows that the model was trained on, as its guide does."""
    from fairlearn.postprocessing import ThresholdOptimizer

    fair = ThresholdOptimizer(
        estimator=model, constraints="equalized_odds", objective="balanced_accuracy_score", prefit=True,
        predict_method="predict_proba",
    )  # fmt: skip
    fair.fit(train.columns, train.labels, sensitive_features=train.groups)
    return np.asarray(fair.predict(test.columns, sensitive_features=test.groups, random_state=0))


if __name__ == "__main__":
    main()
