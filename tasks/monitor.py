"""monitor: hold rows that came later against those that the champion was judged on, and say what to do."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from models.errors import InputError
from models.metrics.bootstrap import generator
from models.metrics.classification import from_confusion
from models.metrics.drift import Drift, drifts
from models.metrics.estimated import estimates
from models.metrics.figures import Terms
from models.metrics.names import BY_NAME, require
from models.metrics.paired import Comparison, paired_difference
from models.metrics.profile import Categories, Profile, profile_of
from models.metrics.reach import Rows
from models.metrics.scored import Grouping
from models.predictor import Predictor
from models.schema import CLASSES, Schema, Target, Task
from models.values import as_text
from tasks.audit import audit
from tasks.evaluate import evaluate
from tasks.judging import Scores, rounded
from tasks.monitoring import truth as truths
from tasks.monitoring.partitions import Partition
from tasks.monitoring.seen import Action
from tasks.params import Monitor
from tasks.registry import CHAMPION, PREVIOUS, Registry, parse_reference
from tasks.stage import read_json

log = logging.getLogger("equipoise")

AUTO: dict[Task, str] = {"regression": "r2"}
"""What is judged where nothing is named, of other kinds of target than classes and labels: in no unit, as limits are not."""


@dataclass(frozen=True)
class Watched:
    """A version and what it was judged on: the profile of those rows and its figures on them."""

    label: str
    predictor: Predictor
    profile: Profile
    evaluation: Mapping[str, Any]


def watched(registry: Registry, reference: str) -> Watched:
    """The verified version; one that was registered without a profile is an InputError."""
    name, which = parse_reference(reference)
    loaded = registry.load(name, which)
    path = loaded.directory / "profile.json"
    if not path.exists():
        raise InputError(
            f"{name}@{loaded.version} was registered without the profile of its test rows, which the monitor needs. Retrain."
        )
    predictor = Predictor.load(loaded.directory / "predictor")
    evaluation = read_json(loaded.directory / "evaluation.json")
    return Watched(f"{name}@{loaded.version}", predictor, Profile.model_validate(read_json(path)), evaluation)


def previous_of(registry: Registry, label: str) -> tuple[str, Predictor] | None:
    """The champion before this one (NAME@v3), if this is the present one: from any other nobody could roll back."""
    name, present = parse_reference(label)
    aliases = registry.aliases(name)
    version = aliases.get(PREVIOUS)
    if version is None or aliases.get(CHAMPION) != present:
        return None
    return f"{name}@{version}", Predictor.load(registry.load(name, version).directory / "predictor")


def examine(
    champion: Watched,
    partition: Partition,
    policy: Monitor,
    terms: Terms,
    previous: tuple[str, Predictor] | None = None,
) -> dict[str, Any]:
    """Everything about one partition, as JSON, with the action that it asks for and the reasons."""
    # What it was judged by: a figure of another beta is another figure.
    terms = dataclasses.replace(terms, beta=champion.evaluation.get("beta", terms.beta))
    predictor = champion.predictor
    target, metric = predictor.schema.target, judged_by(policy, predictor.schema.target.kind)
    decisions, probabilities = predictor.predict(partition.rows)
    profile = profile_of(partition.rows, predictor.schema, decisions, probabilities, champion.profile)
    features = drifts(champion.profile.columns, profile.columns)
    groups = drifts(champion.profile.groups, profile.groups)
    scores = _score_drifts(champion.profile, profile, target.kind)
    found: dict[str, Any] = {
        "partition": partition.name,
        "version": champion.label,
        "metric": metric,
        "rows": len(partition),
        "features": [_drift_json(d) for d in features],
        "groups": [_drift_json(d) for d in groups],
        "predictions": [_drift_json(d) for d in scores],
        "estimated": _estimated(decisions, probabilities, partition.name, terms) if target.kind in CLASSES else {},
        "labelled": 0,
    }
    if partition.labels is not None:
        known = truths.known(partition.labels)
        labels, rows = partition.labels[known], partition.rows[known]
        scored = truths.beside(labels, decisions[known], probabilities[known], target)
        found["labelled"] = len(scored)
        found |= performance_of(rows, predictor.schema, scored, terms)
        if previous is not None:
            rng = generator(terms.seed, "previous", partition.name)
            found["previous"] = _against_previous(
                previous, rows, labels, scored, target, Comparison(metric, terms.bins, beta=terms.beta), terms, rng
            )
    expected = np.array(champion.profile.expected)
    formulas = from_confusion(terms.beta) if target.kind in CLASSES else {}
    found["estimated_before"] = {name: _number(formula(expected)) for name, formula in formulas.items()}
    before = {name: champion.evaluation["overall"].get(name) for name in (metric, "ece")}
    if metric not in champion.evaluation["overall"] and min(found["rows"], found["labelled"]) >= policy.rows:
        raise InputError(
            f"params.yaml: monitor.metric: {champion.label} was registered before {metric} was measured, so labelled rows "
            "cannot be judged by it. Retrain, or set another monitor.metric."
        )
    found["reference"] = {name: figure and figure["value"] for name, figure in before.items()}
    found["reference_low"] = {name: figure and figure["low"] for name, figure in before.items()}
    return decided(found, policy)


def judged_by(policy: Monitor, kind: Task) -> str:
    """The metric of the policy; one that the kind of target does not have is an InputError."""
    metric: str = policy.metric
    if metric == "auto":
        return AUTO.get(kind, "balanced_accuracy")
    require(metric, kind, "params.yaml: monitor.metric")
    return metric


def decided(found: dict[str, Any], policy: Monitor) -> dict[str, Any]:
    """The same with `action` and `reasons`: a pure rule of what was found and of the policy."""
    action: Action = "none"
    reasons: list[str] = []
    if found["rows"] < policy.rows:
        note = f"{found['rows']} rows are too few to judge by; monitor.rows asks for {policy.rows}"
        return {**found, "action": action, "reasons": reasons, "note": note}
    better = found.get("previous")
    reasons += _drift_reasons(found, policy)
    reasons += _performance_reasons(found, policy)
    if reasons:
        action = "retrain"
    if better and better["low"] is not None and better["low"] > policy.roll_back_by:
        action = "roll back"
        reasons.insert(
            0,
            f"{better['version']} is better on the same rows: {found['metric']} by {better['value']:.3f} "
            f"({better['low']:.3f} to {better['high']:.3f}), and {policy.roll_back_by:g} is allowed",
        )
    return {**found, "action": action, "reasons": reasons, "note": ""}


def overall_action(found: Iterable[Mapping[str, Any]]) -> Action:
    """What the last partition that could be judged asks for: what was and has passed asks for nothing."""
    judged = [f for f in found if not f["note"]]
    action: Action = judged[-1]["action"] if judged else "none"
    return action


def _drift_reasons(found: Mapping[str, Any], policy: Monitor) -> list[str]:
    reasons = []
    for what in ("features", "predictions"):
        changed = [
            d
            for d in found[what]
            if d["adjusted"] is not None and d["adjusted"] < policy.alpha and d["psi"] >= policy.psi
        ]
        if changed:
            worst = sorted(changed, key=lambda d: -d["psi"])
            shown = ", ".join(f"{d['column']} (stability index {d['psi']:.2f})" for d in worst[:4])
            more = f" and {len(worst) - 4} more" if len(worst) > 4 else ""
            reasons.append(f"drift of {what}: {shown}{more}")
    return reasons


def _performance_reasons(found: Mapping[str, Any], policy: Monitor) -> list[str]:
    """With labels by what they say; without them by what is estimated."""
    metric, labelled = found["metric"], found["labelled"] >= policy.rows
    # A model that is badly calibrated misjudges itself: the estimate is held against what it was on the test rows.
    before = found["reference"][metric] if labelled else found["estimated_before"].get(metric)
    before_low = found["reference_low"][metric] if labelled else before
    figure = found["performance"]["overall"].get(metric) if labelled else found["estimated"].get(metric)
    reasons = []
    if figure and before is not None and _change(figure, before, before_low) < -policy.worse_by:
        said = "is" if labelled else "is estimated to be"
        reasons.append(
            f"{metric} {said} {figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f}), {before:.3f} on test rows"
        )
    ece = found["performance"]["overall"].get("ece") if labelled else None
    limit = max(policy.ece, found["reference"]["ece"] or 0.0)
    if ece and ece["low"] is not None and ece["low"] > limit:
        reasons.append(f"calibration error is {ece['value']:.3f} ({ece['low']:.3f} to {ece['high']:.3f})")
    return reasons


def _change(figure: Mapping[str, Any], before: float, before_low: float | None) -> float:
    """The upper end of the interval of `figure` minus `before`; infinite where one is not known.

    Test rows are few as well: each figure's own interval counts, combined as for independent samples (G. Y. Zou, A.
    Donner, Construction of confidence limits about effect measures: A general approach, Statistics in Medicine 27, 2008).
    """
    if figure["high"] is None or before_low is None:
        return math.inf
    return float(figure["value"] - before + math.hypot(figure["high"] - figure["value"], before - before_low))


def _score_drifts(reference: Profile, found: Profile, kind: Task) -> list[Drift]:
    """Of the probability of each class or label, of two classes of the positive one alone, or of the number; and of the decisions."""
    names = list(reference.scores)[1 if kind == "binary" else 0 :]
    said = "" if kind == "regression" else "probability of "
    old, new = ({f"{said}{n}": p.scores[n] for n in names} for p in (reference, found))
    return drifts({**old, **_decisions(reference, kind)}, {**new, **_decisions(found, kind)})


def _decisions(profile: Profile, kind: Task) -> dict[str, Categories]:
    """What was decided: one class of a row, each label for itself, nothing of a number."""
    if kind in CLASSES:
        return {"decision": Categories(counts=profile.decisions)}
    return {
        f"decision for {label}": Categories(counts={"yes": rows, "no": profile.rows - rows})
        for label, rows in profile.decisions.items()
    }


def _drift_json(found: Drift) -> dict[str, Any]:
    return {k: rounded(v) for k, v in dataclasses.asdict(found).items()}


def _number(value: Any) -> float | None:
    number = float(value)
    return float(rounded(number)) if np.isfinite(number) else None


def _estimated(decisions: Any, probabilities: Any, name: str, terms: Terms) -> dict[str, Any]:
    rng = generator(terms.seed, "monitor", name)
    found = estimates(decisions, probabilities, terms.confidence, rng, min(terms.draws, 500), terms.beta)
    return {metric: {k: rounded(v) for k, v in dataclasses.asdict(e).items()} for metric, e in found.items()}


def performance_of(rows: pd.DataFrame, schema: Schema, scored: Rows, terms: Terms) -> dict[str, Any]:
    """Figures overall and by group of typed rows with labels, as the stages evaluate and audit make them."""
    groupings = tuple(
        Grouping.of(a.name, as_text(rows[a.name]).fillna("missing").tolist(), a.groups)
        for a in schema.sensitive
        if a.name in rows
    )
    classes = schema.target.counted
    return {
        "performance": evaluate(scored, classes, terms),
        "groups_performance": audit(Scores(scored, classes, groupings), terms, with_intersections=False),
    }


def _against_previous(
    previous: tuple[str, Predictor],
    rows: pd.DataFrame,
    labels: truths.Truth,
    scored: Rows,
    target: Target,
    what: Comparison,
    terms: Terms,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """By how much the version before is better on the same rows; without figures, and why, where it cannot score them."""
    version, predictor = previous
    try:
        other = truths.beside(labels, *predictor.predict(rows), target)
    except InputError as error:
        return {"version": version, "value": None, "low": None, "high": None, "why": str(error)}
    value, interval = paired_difference(what, other, scored, terms.draws, terms.confidence, rng)
    sign = 1 if BY_NAME[what.metric].better == "higher" else -1
    ends = sorted((sign * interval.low, sign * interval.high))
    low, high = (rounded(float(e)) if np.isfinite(e) else None for e in ends)
    return {"version": version, "value": rounded(sign * value), "low": low, "high": high, "why": ""}
