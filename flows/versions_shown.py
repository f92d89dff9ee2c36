"""On the terminal: two versions side by side, and a version beside its rebuild."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.listing import figure, show_rows
from models.errors import InputError
from tasks.stage import replacing

if TYPE_CHECKING:
    from tasks.rebuild.rerun import Rebuilt

SHORT = 12
PARTS = {"recipe": "Recipe", "params": "Parameters", "data": "Data", "code": "Code"}


def show_difference(found: Mapping[str, Any]) -> None:
    """What `registry diff` found."""
    a, b = found["a"], found["b"]
    if found["same_content"]:
        print(f"{a} and {b} have the same content.")
    for part, title in PARTS.items():
        rows = [(key, _value(pair["a"]), _value(pair["b"])) for key, pair in found[part].items()]
        show_rows((title, a, b), rows) if rows else print(f"{title}: the same.")
        print()
    paired = {d["metric"]: d for d in found["paired"]["differences"] if d["attribute"] is None}
    metrics = [
        (metric, figure(pair["a"]), figure(pair["b"]), _difference(paired.get(metric)))
        for metric, pair in found["metrics"].items()
    ]
    show_rows(("Metric, as registered", a, b, f"{b} - {a}, same rows"), metrics)
    groups = [d for d in found["paired"]["differences"] if d["attribute"] is not None]
    if groups:
        print()
        show_rows(
            ("Groups", "metric", f"{b} - {a}, same rows"),
            ((d["attribute"], d["metric"], _difference(d)) for d in groups),
        )
    if found["paired"]["note"]:
        print(f"\n{found['paired']['note']}")


def show_rebuilt(reference: str, rebuilt: Rebuilt) -> None:
    """What `reproduce` found."""
    found = rebuilt.comparison
    show_rows(
        ("file", "", "recorded", "rebuilt"),
        (
            (one.file, "same" if one.same else "differs", one.recorded[:SHORT] or "–", (one.rebuilt or "–")[:SHORT])
            for one in found.files
        ),
    )
    if found.elsewhere:
        print()
        show_rows(
            ("not as it was", "recorded", "now"),
            ((name, _value(t), _value(n)) for name, (t, n) in found.elsewhere.items()),
        )
    apart = [f for f in found.figures if f.difference != 0]
    if apart:
        print()
        show_rows(
            ("metric", "recorded", "rebuilt", "apart"),
            ((f.metric, figure(f.recorded), figure(f.rebuilt), figure(f.difference)) for f in apart),
        )
    print(
        f"\nData: from {rebuilt.data}."
        + (" The recorded choice was refitted; the search was not repeated." if rebuilt.refit else "")
    )
    print(_verdict(reference, rebuilt))


def _verdict(reference: str, rebuilt: Rebuilt) -> str:
    found = rebuilt.comparison
    if found.identical:
        return f"{reference} comes out the same, bit for bit."
    if found.same:
        return (
            f"{reference} comes out the same within {found.tolerance:g} in every metric; bits may differ on another platform or with "
            "other libraries."
        )
    if found.elsewhere and not found.within_tolerance:
        return f"{reference} comes out DIFFERENT: by more than {found.tolerance:g}, or from other data."
    return f"{reference} comes out DIFFERENT, on the same platform with the same libraries."


def write_text(path: Path, content: str) -> None:
    """Write a file as a whole."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}). Name another file.") from None


def _difference(found: Mapping[str, Any] | None) -> str:
    if found is None or found["difference"] is None:
        return "–"
    interval = f" ({found['low']:+.4f} to {found['high']:+.4f})" if found["low"] is not None else ""
    return f"{found['difference']:+.4f}{interval}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    text = "–" if value is None else str(value)
    return f"{text[:SHORT]}…" if len(text) == 64 and text.isalnum() else text
