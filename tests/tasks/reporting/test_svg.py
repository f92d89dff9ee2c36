"""The drawing's arithmetic: scales, ticks, limits of axes, escaping, and labels that do not hide each other."""

from __future__ import annotations

import pytest

from tasks.reporting.svg import Box, Frame, Scale, domain, element, place, tick_labels, ticks


def test_element_escapes_text_and_attributes() -> None:
    assert element("text", "a < b & c", title='"x"', stroke_width=1.5) == (
        '<text title="&#34;x&#34;" stroke-width="1.5">a &lt; b &amp; c</text>'
    )


def test_numbers_are_short_and_never_minus_zero() -> None:
    assert element("g", x=1.0, y=-0.001, z=2.345678) == '<g x="1" y="0" z="2.35"></g>'


def test_scale_maps_its_ends_and_holds_what_is_outside_at_the_edge() -> None:
    up = Scale(0, 2, 100, 0)
    assert [up(v) for v in (0, 1, 2, 5, -1)] == [100, 50, 0, 0, 100]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 0.08, [0, 0.02, 0.04, 0.06, 0.08]), (0.61, 0.84, [0.65, 0.7, 0.75, 0.8])],
)
def test_ticks_are_round_and_inside(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


def test_tick_labels_have_the_same_decimals() -> None:
    assert tick_labels([0, 0.05, 0.1]) == ["0.00", "0.05", "0.10"]
    assert tick_labels([-1, 0, 1]) == ["−1", "0", "1"]


def test_domain_has_air_but_respects_its_bounds() -> None:
    low, high = domain([0.5, 0.9], 0.0, 1.0)
    assert low < 0.5
    assert 0.9 < high <= 1
    assert domain([0.0, 1.0], 0.0, 1.0) == (0.0, 1.0)
    low, high = domain([0.7])
    assert low < 0.7 < high


def test_labels_of_points_at_one_place_do_not_overlap() -> None:
    frame = Frame(Scale(0, 1, 0, 400), Scale(0, 1, 300, 0))
    taken: list[Box] = []
    for _ in range(6):
        place(200, 150, "prior_threshold", taken, frame)
    for i, a in enumerate(taken):
        for b in taken[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def test_labels_stay_inside_the_frame() -> None:
    frame = Frame(Scale(0, 1, 0, 400), Scale(0, 1, 300, 0))
    taken: list[Box] = []
    _, _, anchor = place(395, 150, "prior_threshold", taken, frame)
    assert anchor == "end"
    assert taken[0][2] <= 400
