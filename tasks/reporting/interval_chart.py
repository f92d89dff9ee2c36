"""Small charts of one figure on a line: the value, its interval, and the limit it has to keep."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from tasks.reporting.numbers import Figure, decimal
from tasks.reporting.svg import Scale, domain, drawing, element, line, text, tick_labels, ticks

LIMIT_WIDTH, LIMIT_HEIGHT = 320, 44
EDGE = 3
ROW_WIDTH, ROW_HEIGHT = 150, 18


def against_limit(
    figure: Figure, limit: float, at_least: bool, bounds: tuple[float | None, float | None], outcome: str, label: str
) -> Markup:
    """A figure and its interval over the range that keeps the limit; without a value the range alone, hatched.

    `outcome` is the class of the marker's colour; `at_least` says on which side of the limit the kept range lies.
    """
    measured = [v for v in (figure.value, figure.low, figure.high) if v is not None]
    low, high = domain([*(measured or [limit / 2, limit * 1.5]), limit], *bounds)
    scale = Scale(low, high, EDGE, LIMIT_WIDTH - EDGE)
    kept = (scale(limit), scale.end) if at_least else (scale.start, scale(limit))
    middle = 15.0
    parts = [
        element(
            "rect",
            x=EDGE,
            y=6,
            width=LIMIT_WIDTH - 2 * EDGE,
            height=18,
            class_="range" if measured else "range hatched",
        ),
        element(
            "rect",
            x=kept[0],
            y=6,
            width=max(0.0, kept[1] - kept[0]),
            height=18,
            class_="kept" if measured else "outline",
        ),
        line(scale(limit), 2, scale(limit), 28, "limit"),
        *_marker(figure, scale, middle, outcome),
    ]
    words = f"limit {decimal(limit)}"
    half = len(words) * 3.1
    parts.append(text(min(max(scale(limit), half + 2), LIMIT_WIDTH - half - 2), 39, words, "label strong", "middle"))
    if scale(limit) - half > 40:
        parts.append(text(EDGE, 39, tick_labels([low])[0], "tick"))
    if scale(limit) + half < LIMIT_WIDTH - 40:
        parts.append(text(LIMIT_WIDTH - EDGE, 39, tick_labels([high])[0], "tick", "end"))
    side = "at least" if at_least else "at most"
    return drawing(
        LIMIT_WIDTH,
        LIMIT_HEIGHT,
        f"{label}: {figure.spoken}; limit {side} {decimal(limit)}",
        *parts,
        class_="chart small",
    )


def on_a_line(figure: Figure, low: float, high: float, label: str, class_: str) -> Markup:
    """A value and its interval on a scale that other rows share."""
    scale = Scale(low, high, 6, ROW_WIDTH - 6)
    track = line(6, ROW_HEIGHT / 2, ROW_WIDTH - 6, ROW_HEIGHT / 2, "grid")
    parts = _marker(figure, scale, ROW_HEIGHT / 2, class_)
    return drawing(ROW_WIDTH, ROW_HEIGHT, f"{label}: {figure.spoken}", track, *parts, class_="chart small")


def shared_axis(low: float, high: float, label: str) -> Markup:
    """The ticks of the scale that `on_a_line` rows share, for the head of their column."""
    scale = Scale(low, high, 6, ROW_WIDTH - 6)
    marks = ticks(low, high, 3)
    words = [text(scale(v), 11, w, "tick", "middle") for v, w in zip(marks, tick_labels(marks), strict=True)]
    return drawing(ROW_WIDTH, 15, label, *words, class_="chart small")


def spread(values: Sequence[float], half: float, label: str) -> Markup:
    """One dot per refit around their mean, which is in the middle; the line ends `half` below and above it."""
    mean = sum(values) / len(values)
    scale = Scale(mean - half, mean + half, 6, LIMIT_WIDTH - 6)
    parts = [
        line(6, 10, LIMIT_WIDTH - 6, 10, "grid"),
        line(scale(mean), 3, scale(mean), 17, "limit"),
        line(scale(min(values)), 10, scale(max(values)), 10, "whisker chosen"),
        *[element("circle", cx=scale(v), cy=10, r=4, class_="dot chosen open") for v in values],
    ]
    spoken = ", ".join(decimal(v) for v in values)
    return drawing(
        LIMIT_WIDTH, 20, f"{label} of each refit: {spoken}; mean {decimal(mean)}", *parts, class_="chart small"
    )


def spread_axis(half: float) -> Markup:
    """What the ends of the `spread` lines mean."""
    marks = (
        (6.0, f"−{half:g}", "start"),
        (LIMIT_WIDTH / 2, "mean", "middle"),
        (LIMIT_WIDTH - 6.0, f"+{half:g}", "end"),
    )
    words = [text(x, 11, w, "tick", anchor) for x, w, anchor in marks]
    return drawing(LIMIT_WIDTH, 15, f"Scale: mean minus to mean plus {half:g}", *words, class_="chart small")


def _marker(figure: Figure, scale: Scale, middle: float, class_: str) -> list[Markup]:
    parts = []
    if figure.low is not None and figure.high is not None:
        parts.append(line(scale(figure.low), middle, scale(figure.high), middle, f"whisker {class_}"))
        ends = (scale(figure.low), scale(figure.high))
        parts += [line(x, middle - 4, x, middle + 4, f"whisker {class_}") for x in ends]
    if figure.value is not None:
        parts.append(element("circle", cx=scale(figure.value), cy=middle, r=4.5, class_=f"dot {class_}"))
    return parts
