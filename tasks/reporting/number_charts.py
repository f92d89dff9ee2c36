"""Charts of predicted numbers: against the true ones, their errors by part, and whether predictions mean what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from models.metrics.numbers import Numbers, reliability
from tasks.reporting.numbers import Figure, count, decimal
from tasks.reporting.svg import (
    CHARACTER,
    Frame,
    Scale,
    axes,
    domain,
    drawing,
    element,
    line,
    path,
    text,
    tick_labels,
    ticks,
)

WIDTH, HEIGHT, CELLS = 400, 360, 36
PANEL = 236
NAMES, LINE = 132, 24


def against_truth(rows: Numbers, name: str) -> Markup:
    """Predicted against true numbers: a grid whose cells are the darker the more rows fall into them, and the diagonal."""
    low, high = domain([*rows.actual.tolist(), *rows.predicted.tolist()])
    frame = Frame(Scale(low, high, 48, WIDTH - 12), Scale(low, high, HEIGHT - 44, 30))
    edges = np.linspace(low, high, CELLS + 1)
    table, _, _ = np.histogram2d(rows.actual, rows.predicted, bins=(edges, edges))
    most = max(float(table.max()), 1.0)
    parts = [axes(frame, f"True {name}", f"Predicted {name}")]
    for i, j in np.argwhere(table > 0):
        held = int(table[i, j])
        left, bottom = frame.x(float(edges[i])), frame.y(float(edges[j]))
        title = element("title", f"{count(held)} rows")
        parts.append(
            element(
                "rect",
                title,
                x=left,
                y=frame.y(float(edges[j + 1])),
                width=frame.x(float(edges[i + 1])) - left,
                height=bottom - frame.y(float(edges[j + 1])),
                class_="bar",
                opacity=f"{0.25 + 0.75 * (held / most) ** 0.5:.2f}",
            )
        )
    parts.append(line(frame.left, frame.bottom, frame.right, frame.top, "diagonal"))
    return drawing(WIDTH, HEIGHT, f"Predicted against true {name}, {len(rows)} test rows", *parts)


def errors(found: Mapping[str, Figure], label: str) -> Markup:
    """Mean error of each part with its interval, a line each, about the line of no error; a part without one says so."""
    known = [v for f in found.values() for v in (f.value, f.low, f.high) if v is not None]
    low, high = domain([*known, 0.0])
    tall = 34 + LINE * len(found)
    frame = Frame(Scale(low, high, NAMES, WIDTH - 14), Scale(0, 1, tall, 14))
    at = ticks(low, high, 5)
    parts = [line(frame.x(v), frame.top, frame.x(v), frame.bottom, "grid") for v in at]
    parts += [
        text(frame.x(v), frame.bottom + 15, words, "tick", "middle")
        for v, words in zip(at, tick_labels(at), strict=True)
    ]
    # The name of the axis is centred below it as far as the drawing has room for that.
    half = len(label) * CHARACTER * 0.57
    middle = max(half, min((frame.left + frame.right) / 2, WIDTH - half))
    parts.append(text(middle, frame.bottom + 33, label, "axis-name", "middle"))
    parts.append(line(frame.x(0), frame.top, frame.x(0), frame.bottom, "diagonal"))
    for place, (name, figure) in enumerate(found.items()):
        y = 14 + LINE * (place + 0.5)
        parts.append(text(NAMES - 8, y + 4, name if len(name) < 19 else f"{name[:17]}…", "label", "end"))
        if figure.value is None:
            parts.append(text(frame.x(0) + 6, y + 4, "too few rows", "tick"))
            continue
        title = element("title", f"{name}: {figure.spoken}")
        marks = [title]
        if figure.low is not None and figure.high is not None:
            marks.append(line(frame.x(figure.low), y, frame.x(figure.high), y, "whisker chosen"))
        marks.append(element("circle", cx=frame.x(figure.value), cy=y, r=3.6, class_="dot chosen"))
        parts.append(element("g", *marks))
    spoken = "; ".join(f"{name}: {figure.spoken}" for name, figure in found.items())
    return drawing(WIDTH, tall + 44, f"{label}: {spoken}", *parts)


def fit(rows: Numbers, points: int, limits: tuple[float, float], label: str, name: str) -> Markup:
    """The mean true number of rows with about the same prediction, against that prediction; all panels share their axes."""
    frame = Frame(Scale(*limits, 40, PANEL - 8), Scale(*limits, PANEL - 44, 26))
    found = reliability(rows, points)
    parts = [axes(frame, f"Predicted {name}", f"Mean true {name}", (4, 4))]
    parts.append(line(frame.left, frame.bottom, frame.right, frame.top, "diagonal"))
    places = [(frame.x(p["predicted"]), frame.y(p["observed"])) for p in found]
    parts.append(path(places, "curve chosen"))
    for p, (x, y) in zip(found, places, strict=True):
        reach = 1.96 * p["deviation"] / np.sqrt(p["rows"])
        title = element(
            "title", f"predicted {decimal(p['predicted'])}, true {decimal(p['observed'])}, {p['rows']:.0f} rows"
        )
        whisker = line(x, frame.y(p["observed"] - reach), x, frame.y(p["observed"] + reach), "whisker chosen")
        parts.append(element("g", title, whisker, element("circle", cx=x, cy=y, r=3.2, class_="dot chosen")))
    return drawing(PANEL, PANEL, label, *parts)


def shared(panels: Sequence[Numbers], points: int) -> tuple[float, float]:
    """Axes that hold the points of all panels."""
    held = [v for rows in panels for p in reliability(rows, points) for v in (p["predicted"], p["observed"])]
    return domain(held) if held else (0.0, 1.0)
