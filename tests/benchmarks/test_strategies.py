"""The table of what methods cost a step: who is excused, and what becomes of lines that are not measured anew."""

from benchmarks.strategies import SAYS_SO, known, verdict, with_verdicts
from benchmarks.table import RESULTS, Figures, read
from models.balancing.discovery import catalogue, component


def test_slower_than_allowed_is_excused_by_a_declared_cost_alone():
    assert verdict(component("sam"), 2.1) == SAYS_SO
    assert verdict(component("focal"), 1.31) == "no"
    assert verdict(component("focal"), 1.3) == verdict(component("sam"), 1.1) == "yes"


def test_lines_that_were_measured_before_are_judged_by_what_is_declared_today():
    rows = {
        "sam": ("sam", "optimize", "1 s", "2.10 ×", "2 … 3", "no"),
        "ldam": ("ldam", "loss", "1 s", "1.40 ×", "1 … 2", SAYS_SO),
    }
    found = with_verdicts(rows, catalogue())
    assert [(row[0], row[-1]) for row in found] == [("ldam", "no"), ("sam", SAYS_SO)]


def test_the_published_verdicts_are_those_of_what_is_declared_today():
    result = read(RESULTS / "strategies.json")
    assert isinstance(result, Figures)
    rows = {name: row for name, row in known(result.command).items() if name in catalogue()}
    assert [row[-1] for row in result.rows if row[0] in rows] == [row[-1] for row in with_verdicts(rows, catalogue())]
    assert not known("another command")
