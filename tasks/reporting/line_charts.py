"""Charts of curves: reliability, ROC and precision-recall."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from tasks.reporting.curves import Bin, Curve
from tasks.reporting.numbers import decimal, percent
from tasks.reporting.svg import CHARACTER, Frame, Scale, axes, drawing, element, line, path, text

PANEL_WIDTH, PANEL_HEIGHT = 236, 270
WIDTH, HEIGHT = 400, 360


def reliability(bins: Sequence[Bin], top: float, label: str, across: str, up: str) -> Markup:
    """Observed frequency against predicted probability with intervals, and below it how many rows each bin holds.

    `top` is the end of both axes, shared by the panels that are to be compared.
    """
    frame = Frame(Scale(0, top, 34, PANEL_WIDTH - 8), Scale(0, top, PANEL_HEIGHT - 84, 26))
    most = max((b.rows for b in bins), default=1)
    base, height = PANEL_HEIGHT - 4, 30
    parts = [axes(frame, across, up, (4, 4)), line(frame.left, frame.bottom, frame.right, frame.top, "diagonal")]
    for b in bins:
        x = frame.x(b.predicted)
        parts.append(line(x, frame.y(b.low), x, frame.y(b.high), "whisker chosen"))
        tall = max(1.0, height * b.rows / most)
        left, right = frame.x(b.start), frame.x(min(b.end, top))
        parts.append(
            element(
                "rect",
                element("title", f"{b.rows} rows"),
                x=left + 0.5,
                y=base - tall,
                width=max(0.5, right - left - 1),
                height=tall,
                class_="bar",
            )
        )
    parts.append(path([(frame.x(b.predicted), frame.y(b.observed)) for b in bins], "curve chosen"))
    for b in bins:
        title = f"predicted {percent(b.predicted)}, observed {percent(b.observed)} of {b.rows} rows"
        parts.append(
            element(
                "circle",
                element("title", title),
                cx=frame.x(b.predicted),
                cy=frame.y(b.observed),
                r=3.2,
                class_="dot chosen",
            )
        )
    parts.append(text(frame.right, base - height - 2, "rows per bin", "tick", "end"))
    detail = "; ".join(f"predicted {decimal(b.predicted)}, observed {decimal(b.observed)}, {b.rows} rows" for b in bins)
    return drawing(PANEL_WIDTH, PANEL_HEIGHT, label, *parts, detail=detail)


def curves(found: Sequence[Curve], across: str, up: str, area: str, legend_right: bool) -> Markup:
    """One curve, or one per class with the best and the worst named; chance as a dashed line where it is the same for all.

    `area` is the name of the area under a curve, `legend_right` the lower corner that the curves leave free.
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
    parts.append(_legend(frame, ranked, area, legend_right))
    spoken = "; ".join(f"{c.name}: {decimal(c.area)}" for c in found)
    return drawing(WIDTH, HEIGHT, f"{up} against {across.lower()}; {area} of {spoken}", *parts)


def _chance(frame: Frame, chance: float, rising: bool) -> Markup:
    if rising:
        return line(frame.left, frame.bottom, frame.right, frame.top, "diagonal")
    return line(frame.left, frame.y(chance), frame.right, frame.y(chance), "diagonal")


def _legend(frame: Frame, ranked: Sequence[Curve], area: str, right: bool) -> Markup:
    """The areas in words: of the only curve, or of the best and the worst."""
    if len(ranked) == 1:
        entries = [("chosen", f"{area} {decimal(ranked[0].area)}")]
    else:
        best, worst = ranked[-1], ranked[0]
        entries = [
            ("chosen", f"best: {best.name}, {decimal(best.area)}"),
            ("worst", f"worst: {worst.name}, {decimal(worst.area)}"),
        ]
    wide = max(len(words) for _, words in entries) * CHARACTER + 34
    left = frame.right - wide - 6 if right else frame.left + 10
    parts = []
    for i, (look, words) in enumerate(entries):
        y = frame.bottom - 18 - 18 * (len(entries) - 1 - i)
        parts.append(line(left, y - 4, left + 24, y - 4, f"curve {look}"))
        parts.append(text(left + 30, y, words, "label strong"))
    return Markup("").join(parts)
