"""What users run today on imbalanced tables, each tuned for as long as it is given, on the same rows as the product.

A system learns from training rows; whatever else it chooses, configuration, threshold and when to stop, it chooses on
the rows that the product has for that, which are its validation and calibration rows together.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, log_loss

from models.preprocess import numeric_values
from models.schema import Schema

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
THREADS = 2


@dataclass(frozen=True)
class Frame:
    """Rows as people feed them to a library: typed columns, labels as class ids, and one column per sensitive attribute."""

    columns: pd.DataFrame
    labels: Ints
    groups: pd.DataFrame

    @staticmethod
    def of(rows: pd.DataFrame, schema: Schema, sensitive: bool) -> Frame:
        """The features that the product reads, too; ordered columns as numbers."""
        columns = {
            c.name: pd.Categorical(rows[c.name], categories=c.categories)
            if c.kind == "categorical"
            else numeric_values(rows[c.name], c.kind, c.categories)
            for c in schema.features(sensitive)
        }
        labels = rows[schema.target.column].map(schema.target.classes.index).to_numpy(np.int64)
        return Frame(
            pd.DataFrame(columns, index=rows.index), labels, rows[[a.name for a in schema.sensitive]].astype(str)
        )

    @property
    def numbers(self) -> Floats:
        """The columns as numbers [n, F] for libraries without categories: their codes, and -1 for missing."""
        coded = {
            name: column.cat.codes if isinstance(column.dtype, pd.CategoricalDtype) else column.fillna(-1)
            for name, column in self.columns.items()
        }
        return pd.DataFrame(coded).to_numpy(np.float64)


@dataclass(frozen=True)
class Task:
    """What a system is given: rows to learn from, rows to choose with, seconds, and a seed."""

    train: Frame
    choose: Frame
    classes: int
    seconds: float
    seed: int


@dataclass(frozen=True)
class Answer:
    """What a system says of rows: decisions [n], and probabilities [n, C] if it has any."""

    decisions: Ints
    probabilities: Floats | None


System = Callable[[Task], Callable[[Frame], Answer]]
"""Learns, and returns how to answer for other rows."""

Suggest = Callable[[Any], dict[str, Any]]
Probabilities = Callable[[Frame], Floats]


def tuned(
    task: Task,
    first: Mapping[str, Any],
    suggest: Suggest,
    fit: Callable[[dict[str, Any]], Probabilities],
    score: Callable[[Floats], float],
) -> Probabilities:
    """The best of the configurations that Optuna tries until the time is up, `first` before all others.

    `score` judges the probabilities of the rows to choose with; more is better.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=task.seed))
    study.enqueue_trial(dict(first))
    until, best, longest = time.monotonic() + task.seconds, (-np.inf, None), 0.0
    while best[1] is None or time.monotonic() + longest < until:
        began = time.monotonic()
        trial = study.ask()
        found = fit(suggest(trial))
        value = score(found(task.choose))
        study.tell(trial, value)
        if value > best[0]:
            best = (value, found)
        longest = max(longest, time.monotonic() - began)
    assert best[1] is not None
    return best[1]


def balanced_accuracy(task: Task) -> Callable[[Floats], float]:
    """Of the most probable class, on the rows to choose with."""
    return lambda p: float(balanced_accuracy_score(task.choose.labels, p.argmax(1)))


def minus_log_loss(task: Task) -> Callable[[Floats], float]:
    """On the rows to choose with."""
    return lambda p: -float(log_loss(task.choose.labels, p, labels=range(task.classes)))


def with_tuned_threshold(task: Task, probabilities: Probabilities) -> Callable[[Frame], Answer]:
    """Decisions at the threshold of best balanced accuracy on the rows to choose with.

    Of more than two classes, the power of the class shares that the probabilities are divided by is chosen instead.
    """
    known, labels = probabilities(task.choose), task.choose.labels
    shares = np.bincount(task.train.labels, minlength=task.classes) / len(task.train.labels)
    if task.classes == 2:
        cuts = np.unique(known[:, 1])
        cuts = cuts if len(cuts) <= 1000 else np.quantile(cuts, np.linspace(0, 1, 1000))
        cut = max(cuts, key=lambda c: balanced_accuracy_score(labels, known[:, 1] >= c))
        return lambda rows: Answer(((p := probabilities(rows))[:, 1] >= cut).astype(np.int64), p)
    powers = np.linspace(0, 1.5, 31)
    weight = np.maximum(shares, 1e-9)
    power = max(powers, key=lambda t: balanced_accuracy_score(labels, (known / weight**t).argmax(1)))
    return lambda rows: Answer(((p := probabilities(rows)) / weight**power).argmax(1), p)


def most_probable(probabilities: Probabilities) -> Callable[[Frame], Answer]:
    """Decisions for the most probable class."""
    return lambda rows: Answer((p := probabilities(rows)).argmax(1), p)


def _lightgbm(task: Task, values: Mapping[str, Any]) -> Probabilities:
    """LightGBM, stopped by the rows to choose with; `power` makes classes weigh by their rows to the minus power."""
    import lightgbm

    values = dict(values)
    counts = np.maximum(np.bincount(task.train.labels, minlength=task.classes), 1)
    weights = (counts / counts.max()) ** -values.pop("power", 0.0)
    model = lightgbm.LGBMClassifier(
        n_estimators=2000, n_jobs=THREADS, random_state=task.seed, verbose=-1, subsample_freq=1, **values
    )
    model.fit(
        task.train.columns, task.train.labels, sample_weight=weights[task.train.labels],
        eval_X=task.choose.columns, eval_y=task.choose.labels, eval_sample_weight=[weights[task.choose.labels]],
        callbacks=[lightgbm.early_stopping(50, verbose=False)],
    )  # fmt: skip
    return lambda rows: np.asarray(model.predict_proba(rows.columns), dtype=np.float64)


LIGHTGBM = {"learning_rate": 0.05, "num_leaves": 31, "min_child_samples": 20, "reg_lambda": 1e-3,
            "colsample_bytree": 1.0, "subsample": 1.0}  # fmt: skip


def _lightgbm_space(trial: Any) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 128, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 5, 100, log=True),
        "reg_lambda": trial.suggest_float("reg_lambda", 1e-3, 100.0, log=True),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.3, 1.0),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
    }


def lightgbm_class_weights(task: Task) -> Callable[[Frame], Answer]:
    """LightGBM whose parameters and class weights Optuna tunes for balanced accuracy."""
    found = tuned(
        task, {**LIGHTGBM, "power": 1.0},
        lambda trial: {**_lightgbm_space(trial), "power": trial.suggest_float("power", 0.0, 1.5)},
        lambda values: _lightgbm(task, values), balanced_accuracy(task),
    )  # fmt: skip
    return most_probable(found)


def lightgbm_threshold(task: Task) -> Callable[[Frame], Answer]:
    """LightGBM that Optuna tunes for log loss, with the threshold chosen afterwards."""
    found = tuned(task, LIGHTGBM, _lightgbm_space, lambda v: _lightgbm(task, v), minus_log_loss(task))
    return with_tuned_threshold(task, found)


def _ensemble(kind: str, first: Mapping[str, Any], suggest: Suggest) -> System:
    """One of imbalanced-learn's ensembles, tuned for balanced accuracy."""

    def system(task: Task) -> Callable[[Frame], Answer]:
        from imblearn import ensemble

        def fit(values: dict[str, Any]) -> Probabilities:
            jobs = {} if kind == "RUSBoostClassifier" else {"n_jobs": THREADS}
            model = getattr(ensemble, kind)(random_state=task.seed, **jobs, **values)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(task.train.numbers, task.train.labels)
            return lambda rows: _all_classes(model, rows.numbers, task.classes)

        return most_probable(tuned(task, first, suggest, fit, balanced_accuracy(task)))

    return system


def _all_classes(model: Any, numbers: Floats, classes: int) -> Floats:
    """Probabilities [n, C], 0 for classes that the model has not seen."""
    found = np.zeros((len(numbers), classes))
    found[:, model.classes_] = model.predict_proba(numbers)
    return found


balanced_random_forest = _ensemble(
    "BalancedRandomForestClassifier",
    {"n_estimators": 200, "min_samples_leaf": 2, "max_features": 0.5},
    lambda trial: {
        "n_estimators": trial.suggest_int("n_estimators", 100, 500),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 20, log=True),
        "max_features": trial.suggest_float("max_features", 0.1, 1.0),
    },
)
easy_ensemble = _ensemble(
    "EasyEnsembleClassifier", {"n_estimators": 10},
    lambda trial: {"n_estimators": trial.suggest_int("n_estimators", 5, 50)},
)  # fmt: skip
rus_boost = _ensemble(
    "RUSBoostClassifier", {"n_estimators": 100, "learning_rate": 0.5},
    lambda trial: {
        "n_estimators": trial.suggest_int("n_estimators", 50, 500),
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 1.0, log=True),
    },
)  # fmt: skip


def fairlearn_reduction(task: Task) -> Callable[[Frame], Answer]:
    """ExponentiatedGradient under equalized odds of the first attribute, around LightGBM; as many rounds as fit the time."""
    from fairlearn.reductions import EqualizedOdds, ExponentiatedGradient
    from lightgbm import LGBMClassifier

    base = LGBMClassifier(n_estimators=100, class_weight="balanced", n_jobs=THREADS, random_state=task.seed, verbose=-1)
    began = time.monotonic()
    base.fit(task.train.columns, task.train.labels)
    # A round fits once or twice and evaluates every constraint; its own linear programs come on top.
    rounds = max(2, min(50, int(task.seconds / (4 * (time.monotonic() - began)))))
    reduction = ExponentiatedGradient(
        base, EqualizedOdds(difference_bound=0.05), max_iter=rounds, run_linprog_step=False
    )
    groups = task.train.groups.iloc[:, 0].reset_index(drop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reduction.fit(
            task.train.columns.reset_index(drop=True), pd.Series(task.train.labels), sensitive_features=groups
        )
    return lambda rows: Answer(np.asarray(reduction.predict(rows.columns, random_state=task.seed), np.int64), None)


def flaml(task: Task) -> Callable[[Frame], Answer]:
    """FLAML with all its learners, for log loss, with the threshold chosen afterwards."""
    from flaml import AutoML

    search = AutoML()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search.fit(
            task.train.columns, task.train.labels, X_val=task.choose.columns, y_val=task.choose.labels,
            task="classification", metric="log_loss", time_budget=max(1, int(task.seconds)), n_jobs=THREADS,
            seed=task.seed, verbose=0, retrain_full=False,
        )  # fmt: skip
    return with_tuned_threshold(task, lambda rows: np.asarray(search.predict_proba(rows.columns), dtype=np.float64))


PEERS: Mapping[str, System] = {
    "LightGBM, class weights tuned": lightgbm_class_weights,
    "LightGBM, threshold tuned": lightgbm_threshold,
    "FLAML, threshold tuned": flaml,
    "BalancedRandomForest": balanced_random_forest,
    "EasyEnsemble": easy_ensemble,
    "RUSBoost": rus_boost,
    "fairlearn, ExponentiatedGradient": fairlearn_reduction,
}
STRONGEST = "LightGBM, threshold tuned"


def fits(name: str, task: Task) -> bool:
    """Whether the system can take the task: reductions need two classes and groups."""
    return PEERS[name] is not fairlearn_reduction or (task.classes == 2 and task.train.groups.shape[1] > 0)
