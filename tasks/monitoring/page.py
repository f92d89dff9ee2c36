"""The monitor's page: what to do and why, and the lines of drift and performance over the partitions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tasks.params import Params
from tasks.reporting import numbers, page, words
from tasks.reporting.svg import Frame, Scale, domain, drawing, element, line, path, text, tick_labels, ticks

WIDTH, HEIGHT = 640, 260
HERE = Path(page.__file__).parent
SHOWN = ("balanced_accuracy", "accuracy", "macro_f1", "mae", "rmse", "bias", "ece")
SHOWN_OF_LABELS = ("recall", "precision", "f1", "roc_auc", "average_precision")
LOOKS = {"none": "pass", "retrain": "fail", "roll back": "fail"}
HEADLINES = {"none": "Nothing to do", "retrain": "Retrain", "roll back": "Roll back"}


def render(version: str, action: str, found: Sequence[dict[str, Any]], params: Params) -> str:
    """The HTML; all that comes from data is escaped."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates", encoding="utf-8"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters.update(decimal=numbers.decimal, count=numbers.count, percent=numbers.percent, label=words.label)
    judged = [f for f in found if not f["note"]]
    return environment.get_template("monitor.html").render(
        version=version,
        action=action,
        headline=HEADLINES[action],
        look=LOOKS[action],
        reasons=judged[-1]["reasons"] if judged else [],
        found=found,
        last=found[-1] if found else None,
        metric=found[-1]["metric"] if found else "",
        columns=columns_of(found[-1]) if found else [],
        by_class=labels_of(found[-1]) if found else [],
        style=Markup((HERE / "style.css").read_text(encoding="utf-8")),
        drift=drift_chart(found, params.monitor.psi) if len(found) > 1 else None,
        performance=performance_chart(found, found[-1]["metric"]) if len(found) > 1 else None,
    )


def columns_of(last: dict[str, Any]) -> list[str]:
    """The figures that the tables of groups and of labels show, of those that there are."""
    measured = last["performance"]["overall"] if last["labelled"] else {}
    return [name for name in SHOWN if name in measured]


def labels_of(last: dict[str, Any]) -> list[str]:
    """The figures that the table of labels shows; none of other kinds of target."""
    if not last["labelled"] or last["performance"]["task"] != "multilabel":
        return []
    first = next(iter(last["performance"]["by_class"].values()))
    return [name for name in SHOWN_OF_LABELS if name in first]


def _frame(values: Sequence[float], count: int, floor: float | None = 0.0) -> Frame:
    low, high = domain(values, floor=floor)
    return Frame(Scale(-0.5, max(count, 2) - 0.5, 52, WIDTH - 16), Scale(low, high, HEIGHT - 44, 30))


def _named(frame: Frame, found: Sequence[dict[str, Any]]) -> Markup:
    """Names of the partitions below the axis, as many as there is room for."""
    step = max(1, -(-len(found) // 9))
    return Markup("").join(
        text(frame.x(i), frame.bottom + 15, f["partition"], "tick", "middle")
        for i, f in enumerate(found)
        if i % step == 0
    )


def drift_chart(found: Sequence[dict[str, Any]], limit: float) -> Markup:
    """The largest stability index of a feature, partition by partition, and the limit."""
    values = [max((d["psi"] for d in f["features"] if d["psi"] is not None), default=0.0) for f in found]
    frame = _frame([*values, limit], len(found))
    alarms = [i for i, f in enumerate(found) if any(r.startswith("drift") for r in f["reasons"])]
    return drawing(
        WIDTH, HEIGHT, "Largest stability index of a feature by partition",
        _axes(frame, "stability index"), _named(frame, found),
        line(frame.left, frame.y(limit), frame.right, frame.y(limit), "diagonal"),
        path([(frame.x(i), frame.y(v)) for i, v in enumerate(values)], "curve chosen"),
        *(element("circle", cx=frame.x(i), cy=frame.y(values[i]), r=4, class_="dot worst") for i in alarms),
    )  # fmt: skip


def performance_chart(found: Sequence[dict[str, Any]], metric: str) -> Markup:
    """What was estimated without labels, what the labels said with its interval, and the value on test rows."""
    seen = [f["performance"]["overall"].get(metric) if f["labelled"] else None for f in found]
    estimated = [f["estimated"].get(metric, {}).get("value") for f in found]
    before = found[-1]["reference"][metric]
    known = [v for s in seen if s for v in (s["low"], s["high"]) if v is not None]
    values = [v for v in (*estimated, before, *known) if v is not None]
    if not values:
        return Markup("")
    frame = _frame(values, len(found), floor=None)
    parts = [_axes(frame, words.label(metric).lower()), _named(frame, found)]
    if before is not None:
        parts.append(line(frame.left, frame.y(before), frame.right, frame.y(before), "diagonal"))
    parts.append(path([(frame.x(i), frame.y(v)) for i, v in enumerate(estimated) if v is not None], "curve faint"))
    for i, s in enumerate(seen):
        if s and s["low"] is not None:
            parts.append(line(frame.x(i), frame.y(s["low"]), frame.x(i), frame.y(s["high"]), "whisker chosen"))
            parts.append(element("circle", cx=frame.x(i), cy=frame.y(s["value"]), r=3.2, class_="dot chosen"))
    return drawing(WIDTH, HEIGHT, f"{words.label(metric)} by partition", *parts)


def _axes(frame: Frame, up: str) -> Markup:
    """The upward axis and its lines; the partitions are named below, so there are no numbers there."""
    at = ticks(frame.y.low, frame.y.high, 5)
    grid = [line(frame.left, frame.y(v), frame.right, frame.y(v), "grid") for v in at]
    marks = [text(frame.left - 6, frame.y(v) + 4, w, "tick", "end") for v, w in zip(at, tick_labels(at), strict=True)]
    bottom = line(frame.left, frame.bottom, frame.right, frame.bottom, "axis")
    return Markup("").join([*grid, *marks, bottom, text(frame.left - 28, frame.top - 12, up, "axis-name")])
