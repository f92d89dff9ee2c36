"""The replay's claims follow from what was seen, either way; its figure is a file of its own."""

from pathlib import Path
from xml.etree import ElementTree

from benchmarks.replay import Month, facts_of
from benchmarks.replay_figure import PANELS, drawn
from tasks.monitoring.seen import Seen


def figure(value: float, width: float = 0.01) -> dict[str, float]:
    return {"value": value, "low": value - width, "high": value + width}


def month(name: str, reasons: list[str], made: str | None = None) -> Month:
    looked = {"note": "", "reasons": reasons, "features": []}
    return Month(name, Seen("lending@v1", "none", [looked], Path()), {}, {}, made)


def pooled(before: float, stayed: float, used: float) -> dict[str, dict[str, dict[str, float]]]:
    return {name: {"balanced accuracy": figure(v)} for name, v in zip("abc", (before, stayed, used), strict=True)}


def test_each_claim_holds_or_not_by_what_was_seen() -> None:
    drift = ["drift of features: income (stability index 0.20)"]
    calm, start = month("2025-06", []), month("2025-07", drift, "lending@v2")
    good = facts_of([calm, start], "2025-07", pooled(0.7, 0.6, 0.68))
    assert [holds for holds, _ in good.values()] == [True, True, True]
    assert "80% back" in list(good.values())[2][1]
    late = facts_of([calm, month("2025-07", []), month("2025-08", drift)], "2025-07", pooled(0.7, 0.6, 0.62))
    assert [holds for holds, _ in late.values()] == [False, False, False]
    false_alarm = facts_of([month("2025-06", ["calibration error is 0.2"]), start], "2025-07", pooled(0.7, 0.695, 0.7))
    assert [holds for holds, _ in false_alarm.values()] == [False, True, False]
    assert "cost nothing" in list(false_alarm.values())[2][1]


def test_the_figure_is_a_drawing_that_needs_nothing_else() -> None:
    first, used = [figure(0.6), figure(0.5)], [figure(0.6), figure(0.58)]
    used[0] = first[0]
    text = drawn(
        ["2025-06", "2025-07"],
        [0.02, 0.2],
        [False, True],
        dict.fromkeys(PANELS, (used, first)),
        "2025-07",
        ["2025-07"],
        0.1,
    )
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "prefers-color-scheme: dark" in text
    assert "drift starts" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
