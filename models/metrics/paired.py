"""The difference between two models on the same rows, with an interval from a paired bootstrap."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from models.metrics import labels, numbers
from models.metrics.bootstrap import expansion, percentile, row_weights
from models.metrics.calibration import FROM_LOSSES, bin_errors, bin_sums, ece, mean_loss
from models.metrics.classification import confusion_matrix, divide, recall
from models.metrics.extremes import difference_of_largest, difference_of_largest_sums, difference_of_sums
from models.metrics.fairness import (
    GAPS,
    Kind,
    Rates,
    ece_worst_group,
    extreme,
    gap,
    group_accuracy,
    group_confusion,
    rates,
    worst_group_accuracy,
)
from models.metrics.intervals import NONE, Interval, of_share
from models.metrics.labels import Labels
from models.metrics.measures import Measure
from models.metrics.names import BY_NAME
from models.metrics.numbers import Numbers
from models.metrics.ordered import OF_DECISIONS, from_decisions
from models.metrics.ranking import FROM_RANKING, rankings
from models.metrics.reach import Rows
from models.metrics.scored import Bools, Floats, Grouping, Ints, Scored
from models.metrics.terms import BETA

_BOUNDS = {
    "ece": difference_of_sums, "ece_worst_group": difference_of_largest_sums, "bias": difference_of_sums,
    "calibration_slope_error": difference_of_sums,
}  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """What is compared: the metric, and for a comparison of groups the groups and which of them have the evidence."""

    metric: str
    bins: int = 15
    grouping: Grouping | None = None
    masks: dict[Kind, Bools] | None = None
    enough: Bools | None = None
    beta: float = BETA

    @property
    def groups(self) -> tuple[Grouping, Bools]:
        """The groups and which of them have the evidence; a comparison that was given none is a mistake."""
        if self.grouping is None or self.enough is None:
            raise ValueError(f"{self.metric} compares groups and was given none")
        return self.grouping, self.enough

    @property
    def decisions_only(self) -> bool:
        """Whether the metric sees decisions and no probabilities."""
        return self.metric in OF_DECISIONS or self.metric in GAPS or self.metric == "worst_group_accuracy"


def measure(what: Comparison, scored: Rows) -> Measure:
    """The metric as a function of row weights [draws, n], or of None for the estimate: what a bootstrap repeats."""
    metric = what.metric
    if not isinstance(scored, Scored):
        return _measure_labels(what, scored) if isinstance(scored, Labels) else _measure_numbers(what, scored)
    if metric in OF_DECISIONS:
        formula = from_decisions(what.beta)[metric]
        return lambda w: formula(confusion_matrix(scored.labels, scored.decisions, scored.classes, w))
    if metric in FROM_RANKING:
        orders = rankings(scored)
        return lambda w: np.asarray(np.mean([FROM_RANKING[metric](*order.sums(w)) for order in orders], axis=0))
    if metric in FROM_LOSSES:
        losses = FROM_LOSSES[metric](scored)
        return lambda w: mean_loss(losses, w)
    if metric == "ece":
        return lambda w: ece(bin_sums(scored, what.bins, w))[..., 0]
    grouping, enough = what.groups
    ids, groups, masks = grouping.ids, len(grouping.groups), what.masks or {}
    if metric == "ece_worst_group":
        return lambda w: ece_worst_group(ece(bin_sums(scored, what.bins, w, ids, groups)), enough)
    if metric == "worst_group_accuracy":
        return lambda w: worst_group_accuracy(group_confusion(scored, ids, groups, w), enough)
    return lambda w: gap(metric, group_confusion(scored, ids, groups, w), masks)


def _measure_numbers(what: Comparison, rows: Numbers) -> Measure:
    if what.metric in numbers.MEASURES:
        return numbers.MEASURES[what.metric](rows)
    return numbers.compared(what.metric, rows, *what.groups)


def _measure_labels(what: Comparison, rows: Labels) -> Measure:
    known = labels.measures(what.beta)
    if what.metric in known:
        return known[what.metric](rows)
    if what.metric == "ece":
        return lambda w: labels.mean_ece(rows, what.bins, w)
    grouping, enough = what.groups
    if what.metric == "worst_group_accuracy":
        return lambda w: extreme(np.where(enough, labels.group_accuracy(rows, grouping, w), np.nan), np.fmin)
    masks, groups = what.masks or {}, len(grouping.groups)
    return lambda w: labels.gap(what.metric, labels.confusions(rows, w, grouping.ids, groups), masks)


def _label_parts(what: Comparison, rows: Labels) -> Measure | None:
    """As `parts`, of labels."""
    metric, grouping = what.metric, what.grouping
    if metric == "ece":
        each = [rows.one(i) for i in range(rows.count)]
        return lambda w: (
            np.concatenate([bin_errors(bin_sums(one, what.bins, w))[..., 0, :] for one in each], -1) / len(each)
        )
    if metric == "worst_class_recall":
        return lambda w: -recall(labels.confusions(rows, w)[..., 0, :, :])[..., 1]
    if grouping is None:
        return None
    if metric == "worst_group_accuracy":
        return lambda w: -labels.group_accuracy(rows, grouping, w)[..., what.groups[1]]
    if metric not in GAPS:
        return None

    def pairs(w: Floats | None) -> Floats:
        confusion = labels.confusions(rows, w, grouping.ids, len(grouping.groups))
        return _pairs(what, {kind: labels.rates(kind, confusion) for kind in GAPS[metric].kinds})

    return pairs


def parts(what: Comparison, scored: Rows) -> Measure | None:
    """The parts of a metric with kinks, None for a smooth one, which has none.

    [draws, m] of which it is the largest (negated: the smallest) or the sum of absolutes; [draws, m, t] for the largest
    of m sums of absolutes.
    """
    metric, grouping, enough = what.metric, what.grouping, what.enough
    if isinstance(scored, Numbers):
        return numbers.parts(metric, scored, grouping, enough)
    if isinstance(scored, Labels):
        return _label_parts(what, scored)
    if metric == "ece":
        return lambda w: bin_errors(bin_sums(scored, what.bins, w))[..., 0, :]
    if metric == "worst_class_recall":
        return lambda w: -recall(confusion_matrix(scored.labels, scored.decisions, scored.classes, w))
    if grouping is None:
        return None
    ids, groups = grouping.ids, len(grouping.groups)
    if metric == "ece_worst_group":
        return lambda w: bin_errors(bin_sums(scored, what.bins, w, ids, groups))[..., enough, :]
    if metric == "worst_group_accuracy":
        return lambda w: -group_accuracy(group_confusion(scored, ids, groups, w))[..., enough]
    if metric in GAPS:

        def pairs(w: Floats | None) -> Floats:
            confusion = group_confusion(scored, ids, groups, w)
            return _pairs(what, {kind: rates(kind, confusion) for kind in GAPS[metric].kinds})

        return pairs
    return None


def _pairs(what: Comparison, families: dict[Kind, Rates]) -> Floats:
    """Differences, or negated ratios, of the rates that a gap compares, for all ordered pairs of groups [..., m]."""
    assert what.masks is not None
    spec, found = GAPS[what.metric], []
    for kind in spec.kinds:
        rate = families[kind]
        share = divide(rate.successes, rate.trials)
        for k, mask in enumerate(what.masks[kind]):
            of_groups = share[..., k, :][..., mask]
            one, other = of_groups[..., :, None], of_groups[..., None, :]
            # The smallest ratio is at most 1; larger ones are cut, as near a rate of 0 they would have no spread.
            pair = (
                one - other if spec.how == "difference" else -np.nan_to_num(np.minimum(divide(one, other), 1), nan=1.0)
            )
            found.append(pair[..., ~np.eye(int(mask.sum()), dtype=bool)])
    return np.concatenate(found, axis=-1)


def paired_difference(
    what: Comparison, candidate: Rows, champion: Rows, draws: int, confidence: float, rng: np.random.Generator
) -> tuple[float, Interval]:
    """candidate - champion, with the same row weights for both in every resample: (estimate, interval), NaN if undefined.

    A figure with kinks takes its bounds from `extremes.py`. Two models that score every row alike differ by exactly 0;
    that no resample tells two others apart is not taken for certainty.
    """
    value = float(measure(what, candidate)(None)) - float(measure(what, champion)(None))
    if not np.isfinite(value):
        return value, NONE
    if candidate.same_as(champion):  # type: ignore[arg-type]  # both are rows of one kind of target
        return value, Interval(value, value)
    fewest = candidate.fewest(what.metric)
    estimates = [part(None) for part in (parts(what, candidate), parts(what, champion)) if part is not None]
    unseen = 0
    if what.decisions_only and isinstance(candidate, Scored) and isinstance(champion, Scored):
        what, candidate, champion, unseen = _with_unseen_disagreement(what, candidate, champion)
    repeat = [(parts(what, one) if estimates else None) or measure(what, one) for one in (candidate, champion)]
    drawn: list[list[Floats]] = []
    for real in row_weights(len(candidate) - unseen, draws, rng):
        weights = np.hstack([real, rng.standard_gamma(0.5, (len(real), unseen))]) if unseen else real
        drawn.append([one(weights) for one in repeat])
    a, b = (np.concatenate([pair[i] for pair in drawn]) for i in range(2))
    if estimates:
        bounds = _BOUNDS.get(what.metric, difference_of_largest)
        found = bounds(estimates[0], estimates[1], a, b, confidence, expansion(fewest))
        found = found if BY_NAME[what.metric].better == "lower" else Interval(-found.high, -found.low)
    else:
        found = percentile(a - b, value, confidence, fewest)
    if found.high - found.low < 1e-12 and not isinstance(candidate, Numbers):
        # Both rank perfectly, say. No more is known than the rarest class can show.
        reach = of_share(0, fewest, confidence).high
        return value, Interval(value - reach, value + reach)
    return value, found


def _with_unseen_disagreement(
    what: Comparison, candidate: Scored, champion: Scored
) -> tuple[Comparison, Scored, Scored, int]:
    """Two rows more for each label and group that occur: only the candidate is right, only the champion is.

    At half a row's weight (Jeffreys' prior on disagreement) they favour neither, and say that three disagreements of
    which all favour one model are not yet certainty. Returns how many rows were added at the end.
    """
    classes = candidate.classes
    ids = np.zeros(len(candidate), dtype=np.int64) if what.grouping is None else what.grouping.ids
    cells = np.unique(ids * classes + candidate.labels)
    labels, groups = np.tile(cells % classes, 2), np.tile(cells // classes, 2)
    right, wrong = cells % classes, (cells + 1) % classes
    decided: tuple[Ints, Ints] = (np.r_[right, wrong], np.r_[wrong, right])
    filler = np.full((len(labels), classes), 1 / classes)
    extended = [
        Scored(
            np.r_[old.labels, labels], np.r_[old.decisions, new], np.vstack([old.probabilities, filler]), old.ordered
        )
        for old, new in zip((candidate, champion), decided, strict=True)
    ]
    if what.grouping is not None:
        what = replace(what, grouping=replace(what.grouping, ids=np.r_[what.grouping.ids, groups]))
    return what, extended[0], extended[1], len(labels)
