"""The figure of the replay: drift above, and below it what it does to the first champion and to those that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tasks.reporting.standalone import standalone
from tasks.reporting.svg import Frame, Scale, domain, drawing, element, line, path, text, tick_labels, ticks

WIDTH, PANEL, TOP = 820, 150, 46
PANELS = ("worst group's accuracy, sex", "calibration error", "equalized odds, sex")
LABELS = {
    "worst group's accuracy, sex": "Accuracy of the worse of both sexes",
    "calibration error": "Calibration error",
    "equalized odds, sex": "Equalized odds difference between the sexes",
}

Figures = Sequence[Mapping[str, Any]]


def drawn(
    months: Sequence[str],
    drift: Sequence[float],
    alarms: Sequence[bool],
    figures: Mapping[str, tuple[Figures, Figures]],
    start: str,
    made: Sequence[str],
    limit: float,
) -> str:
    """The SVG. `drift` is the largest stability index of each month, `figures` those in use and those of the first champion."""
    height = TOP + PANEL * (1 + len(PANELS)) + 26
    frame = _frame(0, [*drift, limit], len(months))
    parts = [_legend(), _panel(frame, "Largest stability index of a column; dots: the monitor asks for a retraining")]
    parts.append(line(frame.left, frame.y(limit), frame.right, frame.y(limit), "diagonal"))
    parts.append(path([(frame.x(i), frame.y(v)) for i, v in enumerate(drift)], "curve chosen"))
    parts += [
        element("circle", cx=frame.x(i), cy=frame.y(drift[i]), r=4, class_="dot worst")
        for i, on in enumerate(alarms)
        if on
    ]
    frames = [frame]
    for place, name in enumerate(PANELS, 1):
        used, first = figures[name]
        known = [f[end] for f in (*used, *first) for end in ("low", "high") if f[end] is not None]
        frames.append(_frame(place, known, len(months)))
        parts.append(_panel(frames[-1], LABELS[name]))
        parts.append(
            _series(
                frames[-1],
                first,
                "worst",
                -3.0,
                [i for i, (u, f) in enumerate(zip(used, first, strict=True)) if u is not f],
            )
        )
        parts.append(_series(frames[-1], used, "chosen", 0.0, range(len(used))))
    onset = frame.x(months.index(start)) - _step(frame) / 2
    parts.append(line(onset, TOP - 8, onset, frames[-1].bottom, "limit"))
    parts.append(text(onset + 5, TOP + 4, "drift starts", "label strong"))
    for name in made:
        x = frame.x(months.index(name)) + _step(frame) / 2
        parts.append(line(x, TOP + 12, x, frames[-1].bottom, "leader"))
        parts.append(text(x + 4, TOP + 18, "new champion", "label"))
    parts += [
        text(frame.x(i), frames[-1].bottom + 15, name, "tick", "middle") for i, name in enumerate(months) if i % 2 == 0
    ]
    return standalone(
        drawing(WIDTH, height, "Months of lending: drift, accuracy of the worse group, calibration and gap", *parts)
    )


def _frame(place: int, values: Sequence[float], count: int) -> Frame:
    top = TOP + PANEL * place
    low, high = domain(values, floor=0.0)
    return Frame(Scale(-0.6, count - 0.4, 56, WIDTH - 14), Scale(low, high, top + PANEL - 22, top + 24))


def _step(frame: Frame) -> float:
    return frame.x(1) - frame.x(0)


def _panel(frame: Frame, title: str) -> Markup:
    at = ticks(frame.y.low, frame.y.high, 4)
    rows = [line(frame.left, frame.y(v), frame.right, frame.y(v), "grid") for v in at]
    marks = [text(frame.left - 6, frame.y(v) + 4, w, "tick", "end") for v, w in zip(at, tick_labels(at), strict=True)]
    return Markup("").join([*rows, *marks, text(frame.left, frame.top - 8, title, "axis-name")])


def _series(frame: Frame, figures: Figures, look: str, shift: float, where: Sequence[int] | range) -> Markup:
    """Values with intervals, and the line between them."""
    shown = [(frame.x(i) + shift, figures[i]) for i in where if figures[i]["value"] is not None]
    parts = [line(x, frame.y(f["low"]), x, frame.y(f["high"]), f"whisker {look}") for x, f in shown]
    parts.append(path([(x, frame.y(f["value"])) for x, f in shown], f"curve {look}"))
    parts += [element("circle", cx=x, cy=frame.y(f["value"]), r=3.2, class_=f"dot {look}") for x, f in shown]
    return Markup("").join(parts)


def _legend() -> Markup:
    entries = [("chosen", "champion in use"), ("worst", "first champion, had it stayed")]
    parts = []
    for i, (look, words) in enumerate(entries):
        x = 56 + 170 * i
        parts += [line(x, 14, x + 26, 14, f"curve {look}"), text(x + 33, 18, words, "label")]
    return Markup("").join(parts)
