"""Ensembles of trees, boosted unless the recipe says how they grow, for recipes that weigh rows or act before or after."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits
from torch import Tensor

from models.balancing.component import Loss, Range, Weigher
from models.data import Split, Statistics
from models.learners import model_class
from models.learners.growing_trees import Plot, grown
from models.learners.label_trees import LabelTrees
from models.learners.learner import Checkpoint, Input, Learner, Member, Model, OnEpoch, Outcome, Plan, TimeIsUp
from models.learners.replacing import replaced
from models.learners.soundness import require_sound
from models.learners.tree_bins import numeric_bounds, numeric_codes
from models.learners.trees_model import TreesModel, export
from models.recipe import Recipe

BINS = 255
"""Values that scikit-learn tells apart in one column, besides missing."""

MISSING = BINS
"""The bin of what is missing, as scikit-learn numbers it."""

ROUNDS_PER_EPOCH = 5
"""Patience is told in epochs of a net; a boosting round is a smaller step, and so many of them count as one epoch."""

TWO_CLASSES = "trees need two classes among the training rows, and validation rows of them"


class Stopped(Exception):
    """Boosting ends early: the validation loss is not finite."""


class Watched:
    """scikit-learn's boosting of rows that are bins already, with patience counted from the best round, and a call after every round.

    Its own rule compares with one round `patience` rounds ago and keeps the trees that came after the best. Its own
    binning takes a table in double precision and copies it twice on the way, which is many times what the bins take.
    """

    def watched(self, bins: Sequence[int], patience: int, after_round: Callable[[int], None]) -> Self:
        """Set how many bins each column has, and what happens after each round, where TimeIsUp ends boosting.

        No constructor parameters, so that scikit-learn leaves them alone.
        """
        self._bins, self._patience, self._after_round, self.stopped = bins, patience, after_round, False
        return self

    def _preprocess_X(self, X: NDArray[np.uint8], *, reset: bool) -> Any:
        """The bins as they are; when fitting, with the categories of each column, or None for a numeric one."""
        if not reset:
            return X
        chosen = np.asarray(self.categorical_features, dtype=np.bool_)  # type: ignore[attr-defined]
        self.n_features_in_, self._preprocessor = X.shape[1], None
        self.is_categorical_ = self._is_categorical_remapped = chosen if chosen.any() else None
        known = [
            np.arange(count, dtype=np.float64) if own else None for count, own in zip(self._bins, chosen, strict=True)
        ]
        return X, known if chosen.any() else None

    def _bin_data(self, X: NDArray[np.uint8], sample_weight: object, is_training_data: bool) -> NDArray[np.uint8]:
        """Training rows by columns, as histograms are faster so; others by rows, as predictions are."""
        if not is_training_data:
            return np.ascontiguousarray(X)
        every = [np.minimum(np.arange(BINS, dtype=np.float64), max(1, count) - 1) for count in self._bins]
        self._bin_mapper.fit(np.stack(every, axis=1))  # type: ignore[attr-defined]
        return np.asfortranarray(X)

    def _check_early_stopping_loss(self, **given: Any) -> bool:
        """Judge by validation rows alone: nobody reads the loss of the training rows, which takes two numbers for each."""
        self.validation_score_: list[float]
        loss = self._loss(  # type: ignore[attr-defined]
            y_true=given["y_val"], raw_prediction=given["raw_predictions_val"], sample_weight=given["sample_weight_val"],
            n_threads=given["n_threads"],
        )  # fmt: skip
        self.validation_score_.append(-loss)
        return self._should_stop(self.validation_score_)

    def _should_stop(self, scores: list[float]) -> bool:
        rounds, best = len(scores) - 1, int(np.argmax(scores))
        if not math.isfinite(scores[-1]):
            raise Stopped(f"the validation loss is not finite in round {rounds}")
        if rounds:
            try:
                self._after_round(rounds)
            except TimeIsUp:
                self.stopped = True
                return True
        return rounds - best >= self._patience


class Boosting(Watched, HistGradientBoostingClassifier):
    """Of classes."""


class NumberBoosting(Watched, HistGradientBoostingRegressor):
    """Of a number."""


class Trees(Learner):
    """scikit-learn's histogram gradient boosting, or what `grow` asks for; a method that is no row weight is refused."""

    name = "trees"
    counts_in = "iterations"
    accelerated = False

    def refuses(self, recipe: Recipe, image: bool) -> str | None:
        """Trees take tables, and methods that are the same as weighing the rows."""
        if image:
            return "trees work on tables"
        probe = Statistics(torch.tensor([2.0, 1.0]), torch.tensor([3.0]), torch.tensor([[2.0], [1.0]]), 3)
        labels, groups = torch.tensor([0, 0, 1]), torch.zeros(3, dtype=torch.int64)
        for part in recipe.in_training():
            if not isinstance(part, (Loss, Weigher)) or part.row_weights(probe, labels, groups) is None:
                return f"trees take only methods that weigh rows, and '{part.name}' does not"
        return None

    def space(self) -> dict[str, Range]:
        """Shrinkage, size of a tree, regularization; `max_features` is the share of the columns that a split may use."""
        return {
            "learning_rate": Range(0.06, 0.02, 0.2, log=True, minimum=1e-6),
            "max_leaf_nodes": Range(31, 7, 63, log=True, minimum=2),
            "min_samples_leaf": Range(20, 5, 100, log=True, minimum=1),
            "l2_regularization": Range(3.0, 1e-2, 100.0, log=True, minimum=0.0),
            "max_features": Range(0.8, 0.3, 1.0, minimum=0.01, maximum=1.0),
        }

    def fit(
        self,
        recipe: Recipe,
        members: list[Member],
        train: Split,
        valid: Split,
        inputs: Input,
        plan: Plan,
        resume: Checkpoint | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> list[Outcome]:
        """Train the members one after the other; a checkpoint holds those that are finished.

        One thread: more gain little on tables of this size, and wait for each other when trials share the cores.
        """
        require_sound(train, "training", inputs, missing=True)
        require_sound(valid, "validation", inputs, missing=True)
        outcomes = _restore(resume) if resume is not None else []
        with threadpool_limits(1, user_api="openmp"):
            for member in members[len(outcomes) :]:
                if outcomes and outcomes[-1].stopped:
                    outcomes.append(Outcome(None, "the time was up before it began", stopped=True))
                    continue

                def report(rounds: int) -> None:
                    if on_epoch is not None:
                        on_epoch(rounds, lambda: _checkpoint(outcomes))

                outcomes.append(
                    self._fit_one(recipe.with_values(member.values), member, train, valid, inputs, plan, report)
                )
        return [replaced(outcome, recipe, member, train) for outcome, member in zip(outcomes, members, strict=True)]

    def _fit_one(
        self,
        recipe: Recipe,
        member: Member,
        train: Split,
        valid: Split,
        inputs: Input,
        plan: Plan,
        report: Callable[[int], None],
    ) -> Outcome:
        """One member, stopped by the weighted validation loss; the best round's trees are kept."""
        acting = (*recipe.in_training(), *([recipe.grow] if recipe.grow else []))
        methods = ", ".join(c.name for c in acting) or "none"
        statistics = Statistics.of(train)
        codes = category_codes(train.categorical, inputs.cardinalities)
        bounds = numeric_bounds(train, BINS)
        weights, valid_weights = (_weights(recipe, statistics, part) for part in (train, valid))
        if not (np.isfinite(weights).all() and weights.sum() > 0):
            return Outcome(None, f"{methods}: the row weights are not finite and positive")
        values = {k: r.default for k, r in self.space().items()} | dict(recipe.learner) | dict(member.values)
        columns = len(inputs.cardinalities)
        arguments = {
            "learning_rate": float(values["learning_rate"]),
            "max_leaf_nodes": round(values["max_leaf_nodes"]),
            "min_samples_leaf": round(values["min_samples_leaf"]),
            "l2_regularization": float(values["l2_regularization"]),
            "max_features": float(values["max_features"]),
            "max_bins": BINS,
            "categorical_features": np.arange(columns + inputs.numeric) < columns,
        }
        if recipe.grow is not None:
            if len(np.unique(train.labels.cpu().numpy())) < 2:
                return Outcome(None, f"{methods}: {TWO_CLASSES}")
            coded, valid_coded = (as_numbers(table(part, codes, bounds)) for part in (train, valid))
            plot = Plot(train, valid, inputs, codes, bounds, coded, valid_coded, weights, valid_weights)
            outcome = grown(recipe.grow, member, plan, plot, arguments)
            with contextlib.suppress(TimeIsUp):
                report(plan.budget)
            return outcome
        boosted = _Boosted(
            codes,
            bounds,
            (table(train, codes, bounds), table(valid, codes, bounds)),
            (weights, valid_weights),
            {**arguments, "max_iter": plan.budget, "random_state": member.seed},
            plan.patience * ROUNDS_PER_EPOCH,
        )
        truth = [part.truth.cpu().numpy() for part in (train, valid)]
        try:
            if train.task == "multilabel":
                return boosted.labels(truth[0], truth[1], report)
            if train.task == "regression":
                return boosted.fit(NumberBoosting, truth[0][:, 0], truth[1][:, 0], report, 1)
            return boosted.fit(Boosting, truth[0], truth[1], report, train.classes)
        except Stopped as reason:
            return Outcome(None, f"{methods}: {reason}")


class _Boosted(NamedTuple):
    """What all ensembles of one member share: the encoded training and validation rows, their weights, the settings."""

    codes: list[NDArray[np.float64]]
    bounds: list[NDArray[np.float32]]
    rows: tuple[NDArray[np.uint8], NDArray[np.uint8]]
    weights: tuple[NDArray[np.float64], NDArray[np.float64]]
    arguments: Mapping[str, Any]
    patience: int

    def fit(
        self,
        kind: type[Boosting | NumberBoosting],
        truth: NDArray[Any],
        valid_truth: NDArray[Any],
        report: Callable[[int], None],
        classes: int,
    ) -> Outcome:
        """One ensemble with the trees up to its best round; raises Stopped where it cannot be trained."""
        known = self.weights[1] > 0
        if kind is Boosting:
            known &= np.isin(valid_truth, truth)
            if len(np.unique(truth)) < 2 or not known.any():
                raise Stopped(TWO_CLASSES)
        boosting = kind(**self.arguments, early_stopping=True, scoring="loss", tol=0.0)
        bins = [*(int(np.sum(~np.isnan(np.unique(own)))) for own in self.codes), *(len(own) + 1 for own in self.bounds)]
        boosting.watched(bins, self.patience, report)
        boosting.fit(
            self.rows[0], truth, sample_weight=self.weights[0], X_val=self.rows[1][known], y_val=valid_truth[known],
            sample_weight_val=self.weights[1][known],
        )  # fmt: skip
        losses = [-float(score) for score in boosting.validation_score_]
        best = max(1, int(np.argmin(losses)))
        model = export(boosting, best, self.codes, self.bounds, classes, len(truth))
        cut = boosting.stopped and len(losses) - 1 < self.arguments["max_iter"]
        return Outcome(model, None, len(losses) - 1, losses[1:], cut)

    def labels(self, truth: NDArray[Any], valid_truth: NDArray[Any], report: Callable[[int], None]) -> Outcome:
        """One ensemble per label [n, L]; the history is the mean over the labels, as far as all of them came."""
        each = [
            self.fit(Boosting, truth[:, i].astype(np.int64), valid_truth[:, i].astype(np.int64), report, 2)
            for i in range(truth.shape[1])
        ]
        model = LabelTrees([cast("TreesModel", outcome.model) for outcome in each])
        shortest = min(len(outcome.history) for outcome in each)
        history = np.mean([outcome.history[:shortest] for outcome in each], axis=0).tolist()
        stopped = any(outcome.stopped for outcome in each)
        return Outcome(model, None, max(outcome.budget_used for outcome in each), history, stopped)


def category_codes(categories: Tensor, cardinalities: tuple[int, ...]) -> list[NDArray[np.float64]]:
    """Per column, a table from id to the code that boosting sees: NaN for id 0 and for ids without training rows.

    A column with more values than bins keeps the most frequent ones (ties: lower id); the others share the last code.
    """
    codes = []
    for column, cardinality in enumerate(cardinalities):
        counts = torch.bincount(categories[:, column].cpu(), minlength=cardinality).numpy()
        ids = [i for i in np.argsort(-counts, kind="stable") if i > 0 and counts[i] > 0]
        code = np.full(cardinality, np.nan)
        own = ids if len(ids) <= BINS else ids[: BINS - 1]
        code[sorted(own)] = np.arange(len(own))
        code[ids[len(own) :]] = len(own)
        codes.append(code)
    return codes


def table(split: Split, codes: list[NDArray[np.float64]], bounds: list[NDArray[np.float32]]) -> NDArray[np.uint8]:
    """The rows as boosting sees them [n, K + F]: category codes first, then the bins of the numeric columns."""
    ids = split.categorical.cpu().numpy()
    numeric = split.numeric.cpu().numpy()
    rows = np.empty((len(split), len(codes) + numeric.shape[1]), dtype=np.uint8, order="F")
    for column, code in enumerate(codes):
        rows[:, column] = np.where(np.isnan(code), MISSING, code).astype(np.uint8)[ids[:, column]]
    for column, own in enumerate(bounds):
        rows[:, len(codes) + column] = numeric_codes(numeric[:, column], own, MISSING)
    return rows


def as_numbers(rows: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The same for scikit-learn's own ensembles: NaN for what is missing."""
    return np.where(rows == MISSING, np.nan, rows)


def _weights(recipe: Recipe, statistics: Statistics, split: Split) -> NDArray[np.float64]:
    """The rows' own weights times those of the recipe's methods, scaled to mean 1 so that regularization keeps its meaning."""
    weights = split.weights.double()
    for part in (recipe.loss, recipe.weigh):
        own = part.row_weights(statistics, split.labels, split.groups) if part is not None else None
        weights = weights if own is None else weights * own.double()
    found: NDArray[np.float64] = weights.cpu().numpy()
    mean = found.mean() if len(found) else 0.0
    return found / mean if mean > 0 else found


def _checkpoint(outcomes: list[Outcome]) -> Checkpoint:
    tensors: dict[str, Tensor] = {}
    numbers: list[dict[str, Any]] = []
    for i, outcome in enumerate(outcomes):
        model = outcome.model
        tensors.update({f"{i}/{k}": v.clone() for k, v in (model.tensors() if model else {}).items()})
        numbers.append({
            "kind": model.kind if model else None, "architecture": model.architecture() if model else None,
            "error": outcome.error, "budget_used": outcome.budget_used, "history": list(outcome.history),
        })  # fmt: skip
    return Checkpoint(tensors, {"members": numbers})


def _restore(checkpoint: Checkpoint) -> list[Outcome]:
    outcomes = []
    for i, saved in enumerate(checkpoint.numbers["members"]):
        model: Model | None = None
        if saved["architecture"] is not None:
            own: Mapping[str, Tensor] = {
                k.removeprefix(f"{i}/"): v for k, v in checkpoint.tensors.items() if k.startswith(f"{i}/")
            }
            model = model_class(saved["kind"]).rebuild(saved["architecture"], own)
        outcomes.append(Outcome(model, saved["error"], saved["budget_used"], list(saved["history"])))
    return outcomes
