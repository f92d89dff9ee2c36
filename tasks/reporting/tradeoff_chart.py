"""The trade-off of a search: its objective against one of its limits, every trial a mark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tasks.reporting.numbers import decimal
from tasks.reporting.svg import CHARACTER, Box, Frame, Scale, axes, domain, drawing, element, line, path, place, text

WIDTH, HEIGHT = 430, 345
SIZE = 5.0
MARKS = {"none": "triangle", "prior_threshold": "square"}


@dataclass(frozen=True)
class Mark:
    """One trial on the plane: `x` the limited metric, `y` the objective.

    `kind` is feasible, infeasible (some limit is broken) or early (measured before the full budget).
    """

    name: str
    recipe: str
    x: float
    y: float
    kind: str
    chosen: bool = False
    named: bool = False


def tradeoff(marks: Sequence[Mark], limit: float, across: str, up: str) -> Markup:
    """A scatter plot with the limit as a line, the side that keeps it shaded, and the frontier of finished trials."""
    x = domain([m.x for m in marks] + [limit], 0.0 if min(m.x for m in marks) >= 0 else None)
    y = domain([m.y for m in marks], None, 1.0 if max(m.y for m in marks) <= 1 else None)
    frame = Frame(Scale(*x, 44, WIDTH - 14), Scale(*y, HEIGHT - 44, 34))
    taken = [_box(frame.x(m.x), frame.y(m.y)) for m in marks]
    kept, rule = _limit(frame, limit, taken)
    parts = [
        kept,
        axes(frame, across, up),
        rule,
        path([(frame.x(px), frame.y(py)) for px, py in frontier(marks)], "frontier"),
        *[_mark(m, frame) for m in sorted(marks, key=_order)],
        *[_name(m, frame, taken) for m in sorted(marks, key=_order, reverse=True) if m.chosen or m.named],
    ]
    inside = sum(m.kind == "feasible" for m in marks)
    label = f"{up} against {across}: {len(marks)} trials, {inside} of them feasible"
    detail = "; ".join(f"{m.name}: {across} {decimal(m.x)}, {up} {decimal(m.y)}" for m in marks if m.chosen or m.named)
    return drawing(WIDTH, HEIGHT, label, *parts, detail=detail)


def _limit(frame: Frame, limit: float, taken: list[Box]) -> tuple[Markup, Markup]:
    """The shaded side, and the line with its name on the side where there is room; their places are added to `taken`."""
    at, foot = frame.x(limit), frame.bottom - 6
    words = f"limit {decimal(limit)}"
    wide = len(words) * CHARACTER + 10
    right = at + wide < frame.right
    taken.append((at - 1, frame.top, at + 1, frame.bottom))
    taken.append((at, foot - 12, at + wide, foot) if right else (at - wide, foot - 12, at, foot))
    height = frame.bottom - frame.top
    kept = element("rect", x=frame.left, y=frame.top, width=at - frame.left, height=height, class_="kept")
    name = text(at + 5 if right else at - 5, foot, words, "label strong", "start" if right else "end")
    return kept, Markup("").join([line(at, frame.top, at, frame.bottom, "limit"), name])


def _box(x: float, y: float) -> Box:
    return x - SIZE, y - SIZE, x + SIZE, y + SIZE


def frontier(marks: Sequence[Mark]) -> list[tuple[float, float]]:
    """The trials that no other finished trial beats in both figures, as steps from the strictest to the best."""
    finished = sorted((m for m in marks if m.kind != "early"), key=lambda m: (m.x, -m.y))
    steps: list[tuple[float, float]] = []
    for mark in finished:
        if not steps:
            steps.append((mark.x, mark.y))
        elif mark.y > steps[-1][1]:
            steps += [(mark.x, steps[-1][1]), (mark.x, mark.y)]
    return steps


def _order(mark: Mark) -> tuple[bool, bool, int]:
    return mark.chosen, mark.recipe in MARKS, ("early", "infeasible", "feasible").index(mark.kind)


def _mark(mark: Mark, frame: Frame) -> Markup:
    x, y = frame.x(mark.x), frame.y(mark.y)
    title = element("title", f"{mark.name}: {decimal(mark.x)}, {decimal(mark.y)}, {mark.kind}")
    ring = element("circle", cx=x, cy=y, r=SIZE * 2.1, class_="ring") if mark.chosen else Markup("")
    return element(
        "g",
        title,
        ring,
        shape(MARKS.get(mark.recipe, "circle"), x, y, f"mark {mark.kind}" + (" chosen" if mark.chosen else "")),
    )


def shape(form: str, x: float, y: float, class_: str, size: float = SIZE) -> Markup:
    """A circle, a triangle or a square around a point, of about the same area."""
    if form == "triangle":
        corners = ((x, y - 1.3 * size), (x + 1.2 * size, y + 0.9 * size), (x - 1.2 * size, y + 0.9 * size))
        return element("polygon", points=" ".join(f"{a:.2f},{b:.2f}" for a, b in corners), class_=class_)
    if form == "square":
        return element("rect", x=x - 0.9 * size, y=y - 0.9 * size, width=1.8 * size, height=1.8 * size, class_=class_)
    return element("circle", cx=x, cy=y, r=3.0 if class_.endswith("early") else size, class_=class_)


def _name(mark: Mark, frame: Frame, taken: list[Box]) -> Markup:
    gap = 14 if mark.chosen else 9
    at = frame.x(mark.x)
    letters = int(max(frame.right + 4 - at - gap, at - gap - frame.left) / CHARACTER)
    words = _fitting(f"chosen: {mark.name}" if mark.chosen else mark.name, mark.chosen, letters)
    x, y, anchor = place(at, frame.y(mark.y), words, taken, frame, gap)
    name = text(x, y, words, "label strong" if mark.chosen else "label", anchor)
    if abs(y - 4 - frame.y(mark.y)) < 20:
        return name
    return Markup("").join([line(frame.x(mark.x), frame.y(mark.y), x, y - 4, "leader"), name])


def _fitting(words: str, chosen: bool, letters: int) -> str:
    """A label of at most so many letters; of the chosen one, which the page names elsewhere, rather none of its name than a part."""
    if len(words) <= letters:
        return words
    return "chosen" if chosen else f"{words[: max(letters - 1, 1)]}…"
