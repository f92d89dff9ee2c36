"""SVG drawn as escaped text: elements, linear scales, ticks and the axes that every chart shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

Number = int | float
CHARACTER = 6.1
"""Estimated width of a character of a chart's 11 px label, for placing labels without measuring them."""


def element(name: str, *children: str, **attributes: str | Number | None) -> Markup:
    """One element; `class_` is class, `text_anchor` is text-anchor; text and attribute values are escaped."""
    written = Markup("").join(
        Markup(' {}="{}"').format(Markup(key.rstrip("_").replace("_", "-")), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), written, Markup("").join(children))


def drawing(
    width: Number, height: Number, label: str, *children: str, class_: str = "chart", detail: str = ""
) -> Markup:
    """A picture with an accessible name; it scales with its container and keeps its proportions."""
    description = [element("desc", detail)] if detail else []
    return element(
        "svg",
        element("title", label),
        *description,
        *children,
        class_=class_,
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
    )


def text(
    x: Number, y: Number, words: str, class_: str = "label", anchor: str = "start", **attributes: str | Number
) -> Markup:
    """A line of text."""
    return element("text", escape(words), x=x, y=y, class_=class_, text_anchor=anchor, **attributes)


def line(x1: Number, y1: Number, x2: Number, y2: Number, class_: str) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Sequence[tuple[Number, Number]], class_: str) -> Markup:
    """A polyline through pixel positions."""
    return element("polyline", points=" ".join(f"{_value(x)},{_value(y)}" for x, y in points), class_=class_)


def _value(value: str | Number) -> str:
    if isinstance(value, str):
        return value
    written = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if written in ("", "-0") else written


@dataclass(frozen=True)
class Scale:
    """A linear map from [low, high] of the data to [start, end] in pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value; values outside the domain are drawn at its edge."""
        span = self.high - self.low or 1.0
        share = min(1.0, max(0.0, (value - self.low) / span))
        return self.start + share * (self.end - self.start)


@dataclass(frozen=True)
class Frame:
    """The plotting area of a chart: a scale to the right and one upwards."""

    x: Scale
    y: Scale

    @property
    def left(self) -> float:
        """Left edge in pixels."""
        return self.x.start

    @property
    def right(self) -> float:
        """Right edge in pixels."""
        return self.x.end

    @property
    def bottom(self) -> float:
        """Bottom edge in pixels."""
        return self.y.start

    @property
    def top(self) -> float:
        """Top edge in pixels."""
        return self.y.end


def domain(values: Sequence[float], floor: float | None = None, ceiling: float | None = None) -> tuple[float, float]:
    """Nice limits around values with some air, never beyond `floor` and `ceiling`; a single value gets room, too."""
    low, high = min(values), max(values)
    air = 0.06 * (high - low) or 0.02
    low, high = low - air, high + air
    step = _step(high - low, 5)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    return max(low, floor) if floor is not None else low, min(high, ceiling) if ceiling is not None else high


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within [low, high]."""
    step = _step(high - low, about)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def _step(span: float, about: int) -> float:
    raw = max(span, 1e-9) / about
    base = 10.0 ** math.floor(math.log10(raw))
    return next(base * m for m in (1, 2, 5, 10) if base * m >= raw * 0.999)


def tick_labels(values: Sequence[float]) -> list[str]:
    """As many decimals as tell the ticks apart, the same for all."""
    for digits in range(7):
        written = [f"{v:.{digits}f}" for v in values]
        if all(abs(float(w) - v) < 1e-9 for w, v in zip(written, values, strict=True)):
            return [w.replace("-", "−") for w in written]
    return [f"{v:g}" for v in values]


def axes(frame: Frame, across: str, up: str, about: tuple[int, int] = (5, 5)) -> Markup:
    """Grid, tick labels and the names of both axes; the name of the upward axis stands above it, unrotated."""
    parts: list[Markup] = []
    xs = ticks(frame.x.low, frame.x.high, about[0])
    ys = ticks(frame.y.low, frame.y.high, about[1])
    for value, words in zip(xs, tick_labels(xs), strict=True):
        parts.append(line(frame.x(value), frame.top, frame.x(value), frame.bottom, "grid"))
        parts.append(text(frame.x(value), frame.bottom + 15, words, "tick", "middle"))
    for value, words in zip(ys, tick_labels(ys), strict=True):
        parts.append(line(frame.left, frame.y(value), frame.right, frame.y(value), "grid"))
        parts.append(text(frame.left - 6, frame.y(value) + 4, words, "tick", "end"))
    parts.append(line(frame.left, frame.bottom, frame.right, frame.bottom, "axis"))
    parts.append(line(frame.left, frame.top, frame.left, frame.bottom, "axis"))
    parts.append(text((frame.left + frame.right) / 2, frame.bottom + 33, across, "axis-name", "middle"))
    parts.append(text(frame.left - 28, frame.top - 12, up, "axis-name"))
    return Markup("").join(parts)


Box = tuple[float, float, float, float]


def place(x: float, y: float, words: str, taken: list[Box], frame: Frame, gap: float = 9) -> tuple[float, float, str]:
    """Where a label beside (x, y) hides nothing placed before: its x, y and anchor. Adds its box to `taken`."""
    width, height = len(words) * CHARACTER, 13.0
    options: list[tuple[float, float, str, Box]] = []
    for rise in (0.0, -13.0, 13.0, -26.0, 26.0, -39.0, 39.0, -52.0, 52.0):
        options.append(
            (x + gap, y + rise + 4, "start", (x + gap, y + rise - 7, x + gap + width, y + rise - 7 + height))
        )
        options.append((x - gap, y + rise + 4, "end", (x - gap - width, y + rise - 7, x - gap, y + rise - 7 + height)))
    inside = [
        o
        for o in options
        if o[3][0] >= frame.left and o[3][2] <= frame.right + 4 and o[3][1] >= frame.top and o[3][3] <= frame.bottom
    ]
    chosen = min(inside or options, key=lambda o: sum(_overlap(o[3], other) for other in taken))
    taken.append(chosen[3])
    return chosen[0], chosen[1], chosen[2]


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
