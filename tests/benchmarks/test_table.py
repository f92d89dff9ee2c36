"""Tables of benchmarks: medians, ratios taken run by run, promises, and the same text for terminal and README."""

import json

import pytest

from benchmarks.table import Row, alternate, as_text, number, publish, publish_figures, read
from models.errors import InputError


def trainer(folder, **changes):
    arguments = {
        "rows": [
            Row("loader", [100.0, 50.0, 110.0], "rows/s"),
            Row("ours", [200.0, 90.0, 230.0], "rows/s", ratio_at_least=1.5),
            Row("share", [0.02, 0.03, 0.02], "fraction", at_most=0.025),
        ],
        "peer": "loader",
        **changes,
    }
    return publish("trainer", "The trainer", folder=folder, **arguments)


def test_ratios_are_taken_run_by_run_and_only_within_a_unit(tmp_path):
    loader, ours, share = trainer(tmp_path).rows
    assert (ours.value.median, ours.value.low, ours.value.high) == (200.0, 90.0, 230.0)
    assert ours.ratio.median == 2.0  # of 2.0, 1.8 and 2.09, not 200 / 100 by the medians' chance
    assert ours.ratio.low == 1.8
    assert (loader.peer, loader.ratio, share.peer, share.ratio) == (None, None, None, None)
    assert (loader.kept, ours.kept, share.kept) == (None, True, True)


def test_less_is_better_unless_it_is_counted_per_second(tmp_path):
    rows = [
        Row("peer", [4.0], "s"),
        Row("ours", [2.0], "s"),
        Row("score", [0.9], "", better="higher"),
        Row("base", [0.6], "", better="higher", peer="score"),
    ]
    result = publish("a", "A", rows, peer="peer", folder=tmp_path)
    assert result.rows[1].ratio.median == 2.0
    assert result.rows[3].ratio.median == pytest.approx(2 / 3)


def test_a_broken_promise_is_shown(tmp_path):
    rows = [Row("loader", [100.0], "rows/s"), Row("ours", [120.0], "rows/s", ratio_at_least=1.5)]
    result = trainer(tmp_path, rows=rows)
    assert result.rows[1].kept is False
    assert "| at least 1.50 × | no   |" in as_text(result)


@pytest.mark.parametrize(
    ("rows", "peer", "says"),
    [
        ([Row("ours", [1.0], "s")], "lodaer", "names the peer 'lodaer'"),
        ([Row("loader", [1.0, 2.0], "s"), Row("ours", [1.0], "s")], "loader", "not measured in the same runs"),
        ([Row("ours", [1.0], "s", ratio_at_least=2)], None, "promises a ratio and has no peer"),
        (
            [Row("a", [1.0], "s"), Row("b", [1.0], "MB", peer="a")],
            None,
            "not measured in the same runs, in the same unit",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_and_nothing_is_written(tmp_path, rows, peer, says):
    with pytest.raises(ValueError, match=says):
        trainer(tmp_path, rows=rows, peer=peer)
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_reads_back_the_same_and_says_how_and_where(tmp_path, capsys):
    result = trainer(tmp_path, notes=["two threads"])
    assert read(tmp_path / "trainer.json") == result
    written = json.loads((tmp_path / "trainer.json").read_text())
    assert written["rows"][1]["runs"] == [200.0, 90.0, 230.0]
    assert written["command"] == "python -m benchmarks.trainer"
    assert "torch" in written["machine"]
    assert as_text(result) in capsys.readouterr().out


def test_another_file_is_not_mistaken_for_a_result(tmp_path):
    (tmp_path / "x.json").write_text('{"kind": "other"}')
    with pytest.raises(InputError, match="not a benchmark's result"):
        read(tmp_path / "x.json")


def test_the_text_is_an_aligned_markdown_table(tmp_path):
    text = as_text(trainer(tmp_path, notes=["two threads"])).splitlines()
    assert text[0].split("|")[2].strip() == "median"
    assert {len(line) for line in text[:5]} == {len(text[0])}
    assert "200 rows/s" in text[3]
    assert "2.00 × (1.80 … 2.09) loader" in text[3]
    assert "median of 3 runs, `python -m benchmarks.trainer`" in text[6].lower()
    assert text[-1] == "- two threads"


def test_columns_that_would_be_empty_are_left_out(tmp_path):
    result = publish("one", "One", [Row("a", [3.0], "s")], folder=tmp_path)
    assert as_text(result).splitlines()[0] == "|   | median |"
    assert "One run" in result.caption()


def test_figures_are_shown_as_given(tmp_path):
    result = publish_figures(
        "adult", "Adult", ["model", "bacc", "rows", "wga"], [["ours | mlp", 0.84567, 12000, None], ["peer", 0.8, 9, "n/a"]],
        decimals=2, folder=tmp_path,
    )  # fmt: skip
    assert read(tmp_path / "adult.json") == result
    lines = as_text(result).splitlines()
    assert lines[2] == r"| ours \| mlp | 0.85 | 12,000 | –   |"
    with pytest.raises(ValueError, match="2 cells for 1 columns"):
        publish_figures("x", "X", ["a"], [["b", 1.0]], folder=tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (195_432.0, "195,000"),
        (1234.5, "1,230"),
        (99.96, "100"),
        (3.14159, "3.14"),
        (0.02714, "0.0271"),
        (0.0, "0"),
        (-5.0, "-5.00"),
        (10.0, "10.0"),
    ],
)
def test_numbers_have_three_significant_digits(value, text):
    assert number(value) == text


def test_candidates_take_turns_and_warm_up_is_dropped():
    calls = []

    def candidate(label):
        def measure():
            calls.append(label)
            return len(calls)

        return measure

    assert alternate({"a": candidate("a"), "b": candidate("b")}, runs=2) == {"a": [3, 5], "b": [4, 6]}
    assert calls == ["a", "b"] * 3
