"""Contrast of the style sheet's colours in light and in dark: text at least 4.5 to 1, marks of charts at least 3 to 1 (WCAG 2.2)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasks.reporting import page

Colour = tuple[float, float, float]
MODES = ("light", "dark", "print")
TEXT = [
    ("ink", "paper"), ("ink", "card"), ("ink", "soft"), ("muted", "paper"), ("muted", "card"), ("muted", "soft"),
    ("accent", "paper"), ("accent", "card"), ("pass", "pass-soft"), ("fail", "fail-soft"), ("unknown", "unknown-soft"),
    ("warn", "warn-soft"), ("ink", "pass-soft"), ("ink", "fail-soft"), ("ink", "unknown-soft"), ("ink", "warn-soft"),
    ("fail", "card"), ("unknown", "card"), ("card", "pass"), ("card", "fail"), ("card", "unknown"), ("card", "accent"),
    ("ink", "kept"),
]  # fmt: skip
MARKS = [("blue", "card"), ("blue", "kept"), ("orange", "card"), ("orange", "kept"), ("accent", "card"), ("pass", "kept"), ("fail", "kept")]  # fmt: skip


def colours(mode: str) -> dict[str, Colour]:
    """The variables of one mode, as fractions of red, green and blue; print overrides light."""
    css = (Path(page.__file__).parent / "style.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    light, dark, paper = ({k: v.strip() for k, v in re.findall(r"--([a-z-]+):([^;]+)", b)} for b in blocks)
    chosen = {"light": light, "dark": light | dark, "print": light | paper}[mode]
    return {name: parse(value) for name, value in chosen.items()}


def parse(value: str) -> Colour:
    if value.startswith("#"):
        digits = value[1:] if len(value) == 7 else "".join(2 * c for c in value[1:])
        parts = [int(digits[i : i + 2], 16) for i in (0, 2, 4)]
    else:
        parts = [int(v) for v in value.split()]
    return parts[0] / 255, parts[1] / 255, parts[2] / 255


def contrast(a: Colour, b: Colour) -> float:
    """Ratio of the relative luminances (WCAG 2.2)."""
    first, second = sorted((luminance(a), luminance(b)), reverse=True)
    return (first + 0.05) / (second + 0.05)


def luminance(colour: Colour) -> float:
    r, g, b = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def over(tint: Colour, alpha: float, ground: Colour) -> Colour:
    """A translucent tint on a ground."""
    r, g, b = (alpha * t + (1 - alpha) * c for t, c in zip(tint, ground, strict=True))
    return r, g, b


@pytest.mark.parametrize("mode", MODES)
def test_text_can_be_read(mode: str) -> None:
    found = colours(mode)
    weak = {(a, b): round(contrast(found[a], found[b]), 2) for a, b in TEXT if contrast(found[a], found[b]) < 4.5}
    assert not weak


@pytest.mark.parametrize("mode", MODES)
def test_marks_can_be_seen(mode: str) -> None:
    found = colours(mode)
    weak = {(a, b): round(contrast(found[a], found[b]), 2) for a, b in MARKS if contrast(found[a], found[b]) < 3}
    assert not weak


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tint", ["blue", "orange", "violet", "teal"])
def test_figures_on_the_strongest_tint_can_be_read(mode: str, tint: str) -> None:
    found = colours(mode)
    assert contrast(found["ink"], over(found[tint], 0.59, found["card"])) >= 4.5
