"""Charts of curves: reliability, ROC and precision-recall."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from tasks.reporting.curves import SETTLED, Bin, Curve
from tasks.reporting.numbers import decimal, percent
from tasks.reporting.svg import Frame, Scale, axes, drawing, element, line, path, text

PANEL_WIDTH, PANEL_HEIGHT = 236, 270
WIDTH, HEIGHT = 400, 360


def reliability(bins: Sequence[Bin], top: float, label: str, across: str, up: str) -> Markup:
    """Observed frequency against predicted probability with intervals, and below it how many rows each bin holds.

    `top` is the end of both axes, shared by the panels that are to be compared.
    """
    frame = Frame(Scale(0, top, 34, PANEL_WIDTH - 8), Scale(0, top, PANEL_HEIGHT - 84, 26))
    most = max((b.rows for b in bins), default=1)
    parts = [axes(frame, across, up, (4, 4)), line(frame.left, frame.bottom, frame.right, frame.top, "diagonal")]
    parts += [_bar(b, frame, top, most) for b in bins]
    parts.append(path([(frame.x(b.predicted), frame.y(b.observed)) for b in bins if b.rows >= SETTLED], "curve chosen"))
    parts += [_bin(b, frame) for b in bins]
    parts.append(text(frame.right, PANEL_HEIGHT - 36, "rows per bin", "tick", "end"))
    detail = "; ".join(f"predicted {decimal(b.predicted)}, observed {decimal(b.observed)}, {b.rows} rows" for b in bins)
    return drawing(PANEL_WIDTH, PANEL_HEIGHT, label, *parts, detail=detail)


def _bar(b: Bin, frame: Frame, top: float, most: int) -> Markup:
    tall = max(1.0, 30 * b.rows / most)
    left, right = frame.x(b.start), frame.x(min(b.end, top))
    title = element("title", f"{b.rows} rows")
    return element(
        "rect",
        title,
        x=left + 0.5,
        y=PANEL_HEIGHT - 4 - tall,
        width=max(0.5, right - left - 1),
        height=tall,
        class_="bar",
    )


def _bin(b: Bin, frame: Frame) -> Markup:
    """A point with its interval; hollow, and left out where it is off the axis, when few rows are behind it."""
    settled = b.rows >= SETTLED
    x, look = frame.x(b.predicted), "chosen" if settled else "plain"
    title = element("title", f"predicted {percent(b.predicted)}, observed {percent(b.observed)} of {b.rows} rows")
    parts = [title, line(x, frame.y(b.low), x, frame.y(b.high), f"whisker {look}")]
    if b.observed <= frame.y.high:
        parts.append(
            element("circle", cx=x, cy=frame.y(b.observed), r=3.2, class_=f"dot {look}" + ("" if settled else " open"))
        )
    return element("g", *parts)


def curves(found: Sequence[Curve], across: str, up: str, area: str) -> Markup:
    """One curve, or one per class with the best and the worst named; chance as a dashed line where it is the same for all.

    `area` is the name of the area under a curve.
    """
    frame = Frame(Scale(0, 1, 44, WIDTH - 14), Scale(0, 1, HEIGHT - 44, 30))
    parts = [axes(frame, across, up)]
    if len({c.chance for c in found}) == 1:
        parts.append(_chance(frame, found[0].chance, area == "ROC AUC"))
    ranked = sorted(found, key=lambda c: (c.area, c.name))
    looks = {ranked[0].name: "worst", ranked[-1].name: "chosen"}
    for curve in sorted(found, key=lambda c: c.name in looks):
        points = [(frame.x(x), frame.y(y)) for x, y in curve.points]
        title = element("title", f"{curve.name}: {area} {decimal(curve.area)}")
        parts.append(element("g", title, path(points, f"curve {looks.get(curve.name, 'faint')}")))
    parts.append(_legend(frame, ranked, area))
    spoken = "; ".join(f"{c.name}: {decimal(c.area)}" for c in found)
    return drawing(WIDTH, HEIGHT, f"{up} against {across.lower()}; {area} of {spoken}", *parts)


def _chance(frame: Frame, chance: float, rising: bool) -> Markup:
    if rising:
        return line(frame.left, frame.bottom, frame.right, frame.top, "diagonal")
    return line(frame.left, frame.y(chance), frame.right, frame.y(chance), "diagonal")


def _legend(frame: Frame, ranked: Sequence[Curve], area: str) -> Markup:
    """The areas in words, of the only curve or of the best and the worst, in the corner with the fewest points."""
    if len(ranked) == 1:
        entries = [("chosen", f"{area} {decimal(ranked[0].area)}")]
    else:
        best, worst = ranked[-1], ranked[0]
        entries = [
            ("chosen", f"best: {best.name}, {decimal(best.area)}"),
            ("worst", f"worst: {worst.name}, {decimal(worst.area)}"),
        ]
    wide = max(len(words) for _, words in entries) * 6.6 + 44
    left, top = _emptiest(frame, ranked, wide, 18 * len(entries) + 12)
    parts = []
    for i, (look, words) in enumerate(entries):
        y = top + 18 + 18 * i
        parts.append(line(left + 6, y - 4, left + 30, y - 4, f"curve {look}"))
        parts.append(text(left + 36, y, words, "label strong"))
    return Markup("").join(parts)


def _emptiest(frame: Frame, found: Sequence[Curve], wide: float, tall: float) -> tuple[float, float]:
    """The left and upper edge of the box in that corner of the frame which hides the fewest points of the curves."""
    points = [
        (frame.x(x), frame.y(y))
        for curve in found
        for x, y in (*curve.points, *[(i / 40, curve.chance) for i in range(41)])
    ]
    corners = [(x, y) for y in (frame.bottom - tall, frame.top + 4) for x in (frame.right - wide, frame.left + 4)]
    return min(corners, key=lambda c: sum(c[0] <= x <= c[0] + wide and c[1] <= y <= c[1] + tall for x, y in points))
