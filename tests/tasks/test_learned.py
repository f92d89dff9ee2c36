"""Which rows a version learned: told by what they hold, in whatever order and under whatever number they come."""

from pathlib import Path

import pandas as pd

from tasks.learned import numbers_of, read_learned, write_learned


def test_rows_are_told_by_what_they_hold_and_a_version_knows_those_that_its_champion_learned(tmp_path: Path) -> None:
    rows = pd.DataFrame({"row_id": [0, 1, 2], "x": [1, 2, 3], "c": pd.Categorical(["a", None, "b"])})
    same = pd.DataFrame({"row_id": [7, 8, 9], "c": ["b", "a", None], "x": [3.0, 1.0, 2.0]}, index=[4, 5, 6])
    numbers, others = numbers_of(rows, ["c", "x"]), numbers_of(same, ["c", "x"])
    assert len(set(numbers)) == 3
    assert list(others) == [numbers[2], numbers[0], numbers[1]]
    for name, part, start_at in (("old", rows[:1], None), ("new", rows[1:], tmp_path / "old")):
        (tmp_path / name).mkdir()
        write_learned(tmp_path / name, part, ["x", "c"], start_at)
    told = read_learned(tmp_path / "new")
    assert told is not None
    assert told[0] == ["c", "x"]
    assert set(told[1]) == set(numbers)
