"""Figures as a reader sees them: a value with its interval and its count, or the reason why there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MISSING = "–"


@dataclass(frozen=True)
class Figure:
    """A measured value with its interval and the rows it was measured on; `value` None is insufficient evidence."""

    value: float | None
    low: float | None = None
    high: float | None = None
    rows: int | None = None
    note: str = ""

    @staticmethod
    def of(found: Mapping[str, Any] | float | None, why: str = "") -> Figure:
        """The figure of a metric object, of a bare number, or of nothing; `why` explains an absent value without a note."""
        if found is None:
            return Figure(None, note=why)
        if not isinstance(found, Mapping):
            return Figure(float(found))
        value = finite(found.get("value"))
        note = str(found.get("note") or found.get("why") or ("" if value is not None else why))
        return Figure(value, finite(found.get("low")), finite(found.get("high")), found.get("rows"), note)

    @property
    def text(self) -> str:
        """The value alone."""
        return decimal(self.value)

    @property
    def interval(self) -> str:
        """`0.81 to 0.85`, or nothing where there is no interval."""
        if self.low is None or self.high is None:
            return ""
        return f"{decimal(self.low)} to {decimal(self.high)}"

    @property
    def spoken(self) -> str:
        """Value and interval in one phrase, for labels of charts."""
        if self.value is None:
            return "insufficient evidence"
        return f"{self.text} (interval {self.interval})" if self.interval else self.text


def finite(value: Any) -> float | None:
    """A finite float, or None."""
    if value is None or isinstance(value, (bool, str)):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def decimal(value: float | None) -> str:
    """Three decimals, which is what an interval of a few thousand rows supports; a true minus sign, no negative zero."""
    if value is None:
        return MISSING
    text = f"{value:.3f}"
    if text.startswith("-"):
        text = text[1:] if float(text) == 0 else "−" + text[1:]
    return text


def count(value: int | None) -> str:
    """A whole number with thin spaces between thousands."""
    return MISSING if value is None else f"{int(value):,}".replace(",", "\u202f")


def percent(share: float | None) -> str:
    """A share as a percentage: one decimal, two below one percent; what is not nothing never reads as 0%."""
    if share is None:
        return MISSING
    if share == 0:
        return "0%"
    if abs(share) < 0.0001:
        return "<0.01%"
    return f"{share:.2%}" if abs(share) < 0.01 else f"{share:.1%}"


def setting(value: Any) -> str:
    """A hyperparameter or a parameter: four significant digits of a fraction, everything else as it is written."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {setting(v)}" for k, v in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(setting(v) for v in value) or "none"
    return str(value)


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 rule`, `3 rules`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"
