"""The report: what it says in every case, that it is safe to open, and that the same inputs give the same bytes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tasks.reporting.page import SECTIONS

Make = Callable[[Any], Any]
MANY = tuple(f"digit {i}" for i in range(10))


def every_case(case: Any) -> dict[str, Any]:
    """The cases that the report must be able to show."""
    one = {"sex": ("Female", "Male")}
    return {
        "pass": case(),
        "first model, refused, nothing feasible": case(outcome="fail", champion=False, feasible=False),
        "undecided": case(outcome="insufficient evidence"),
        "ten classes of images, no attributes": case(classes=MANY, groups={}, shares={}, image=True),
        "ten classes with groups": case(classes=MANY, groups=one, shares={"sex": [0.4, 0.6]}),
        "few rows": case(rows=60),
    }


CASES = ("pass", "first model, refused, nothing feasible", "undecided", "ten classes of images, no attributes", "ten classes with groups", "few rows")  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_every_case_is_a_whole_page(make_report: Make, case: Any, name: str) -> None:
    page = make_report(every_case(case)[name]).page
    sections = [s.attributes["id"] for s in page.all("section")]
    assert sections == [id for id, _ in SECTIONS]
    assert [a.attributes["href"] for a in page.one("nav").all("a")] == [f"#{id}" for id in sections]
    assert page.one("h1").text
    ids = [n.attributes["id"] for n in page.all() if "id" in n.attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", CASES)
def test_nothing_runs_and_nothing_is_fetched(make_report: Make, case: Any, name: str) -> None:
    report = make_report(every_case(case)[name])
    page = report.page
    assert not page.all("script") + page.all("link") + page.all("img") + page.all("iframe") + page.all("object")
    for node in page.all():
        assert not [k for k in node.attributes if k.startswith("on")]
        for key in ("src", "href", "xlink:href", "action", "data"):
            assert node.attributes.get(key, "#").startswith("#")
    assert "@import" not in report.html
    assert not [u for u in re.findall(r"url\(([^)]*)\)", report.html) if not u.startswith("#")]
    policy = page.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("name", CASES)
def test_it_can_be_heard_as_well_as_seen(make_report: Make, case: Any, name: str) -> None:
    page = make_report(every_case(case)[name]).page
    assert page.one("html").attributes["lang"] == "en"
    for picture in page.all("svg", role="img"):
        assert picture.attributes["aria-label"]
        assert picture.children[0].tag == "title"  # type: ignore[union-attr]
    assert not [
        s for s in page.all("svg") if s.attributes.get("role") != "img" and s.attributes.get("aria-hidden") != "true"
    ]
    for table in page.all("table"):
        assert table.all("caption")
        assert all(th.attributes.get("scope") in ("col", "row", "rowgroup") for th in table.all("th"))
        assert table.all("th")
    for section in page.all("section"):
        assert page.one(id=section.attributes["aria-labelledby"]).text


def test_same_inputs_same_bytes(make_report: Make, case: Any) -> None:
    first = make_report(case())
    assert make_report(case()).html == first.html
    assert str(first.root) not in first.html


def test_text_of_files_is_text(make_report: Make, case: Any) -> None:
    evil = "<script>alert(1)</script>"
    quoted = "a\"b' onload=x & “ünï” <b>"
    names = {"classes": ("no", evil), "groups": {"sex": ("Female", quoted)}, "shares": {"sex": [0.5, 0.5]}}
    report = make_report(case(**names))
    trials = report.read("trials")
    trials["trials"][17]["error"] = f"failed: {evil}"
    report = report.changed("trials", trials)
    verdict = report.read("verdict")
    verdict["summary"] = evil
    verdict["rules"][0]["why"] = quoted
    verdict["rules"][1]["attribute"] = evil
    report = report.changed("verdict", verdict)
    page = report.page
    assert not page.all("script")
    assert not page.all("b")
    assert evil not in report.html
    assert not [n for n in page.all() if "onload" in n.attributes]
    assert page.one("p", class_="summary").text == evil
    assert quoted in page.one("section", id="verdict").text
    assert any(th.text == quoted for th in page.one("section", id="groups").all("th"))
    assert evil in page.one("section", id="search").text


@pytest.mark.parametrize(
    ("outcome", "look", "words", "first"),
    [
        ("pass", "pass", "may be registered", "Balanced accuracy"),
        ("fail", "fail", "must not be registered", "Log loss"),
        ("insufficient evidence", "unknown", "insufficient evidence", "Equalized odds difference by region"),
    ],
)
def test_verdict_comes_first_and_outcomes_differ(
    make_report: Make, case: Any, outcome: str, look: str, words: str, first: str
) -> None:
    report = make_report(case(outcome=outcome))
    verdict = report.page.all("section")[0]
    banner = verdict.one(class_="banner")
    assert look in banner.attributes["class"].split()
    assert words in banner.one("h1").text
    assert banner.one("p", class_="summary").text == report.read("verdict")["summary"]
    rule = verdict.all("li", class_="rule")[0]
    assert look in rule.attributes["class"].split()
    assert rule.one("h3").text == first
    assert rule.one("span", class_="sign").text.lstrip("✓✕? ") == outcome


def test_each_rule_has_value_interval_limit_outcome_and_reason(make_report: Make, case: Any) -> None:
    report = make_report(case())
    rule = next(r for r in report.page.all("li", class_="rule") if r.one("h3").text == "Balanced accuracy")
    found = report.read("verdict")["rules"][0]
    interval = f"{found['low']:.3f} to {found['high']:.3f}"
    for text in (f"{found['value']:.3f}", interval, "at least 0.100, for the whole interval"):
        assert text in rule.text
    assert found["why"] in rule.text
    assert "limit at least 0.100" in rule.one("svg").attributes["aria-label"]


def test_a_rule_that_could_be_judged_in_part_shows_what_was_measured_and_what_is_missing(
    make_report: Make, case: Any
) -> None:
    report = make_report(case(outcome="insufficient evidence"))
    rule = report.page.all("li", class_="rule")[0]
    found = next(r for r in report.read("verdict")["rules"] if r["outcome"] == "insufficient evidence")
    assert f"{found['value']:.3f}" in rule.one("p", class_="big").text
    assert "Islands" in rule.one("p", class_="why").text


def test_a_rule_without_a_figure_shows_no_number(make_report: Make, case: Any) -> None:
    report = make_report(case(outcome="insufficient evidence"))
    verdict = report.read("verdict")
    found = next(r for r in verdict["rules"] if r["outcome"] == "insufficient evidence")
    found |= {"value": None, "low": None, "high": None}
    rule = report.changed("verdict", verdict).page.all("li", class_="rule")[0]
    assert rule.one("p", class_="big").text == "insufficient evidence"
    assert not rule.all("circle")
    assert rule.all("rect", class_="hatched")


def test_champion(make_report: Make, case: Any) -> None:
    report = make_report(case())
    verdict = report.page.one("section", id="verdict")
    found = next(r for r in report.read("verdict")["rules"] if r["champion_value"] is not None)
    rule = next(r for r in verdict.all("li", class_="rule") if r.one("h3").text == "ROC AUC")
    assert "champion is version v3" in verdict.text
    assert f"champion {found['champion_value']:.3f}" in rule.text
    assert f"{found['difference']['low']:.3f}".replace("-", "−") in rule.text
    assert "limit at least −0.200" in rule.one("svg").attributes["aria-label"]


def test_no_champion(make_report: Make, case: Any) -> None:
    verdict = make_report(case(champion=False)).page.one("section", id="verdict")
    assert "no champion yet" in verdict.text
    rule = verdict.all("li", class_="rule")[-1]
    assert "idle" in rule.attributes["class"].split()
    assert "not applicable" in rule.one("span", class_="sign").text
    assert "1 rule not applicable yet" in verdict.one(class_="tally").text


def test_champion_that_does_not_fit(make_report: Make, case: Any) -> None:
    report = make_report(case())
    verdict = report.read("verdict")
    verdict["champion"] |= {"fits": False, "why": "it expects the column 'age'"}
    text = report.changed("verdict", verdict).page.one("section", id="verdict").text
    assert "cannot be compared on these rows: it expects the column 'age'" in text


def test_leaderboard_ranks_marks_and_names_baselines(make_report: Make, case: Any) -> None:
    report = make_report(case())
    board = report.page.one("table", class_="board")
    rows = board.one("tbody").all("tr")
    finished = [t for t in report.read("trials")["trials"] if t["status"] == "finished"]
    assert len(rows) == len(finished)
    chosen = [r for r in rows if "chosen" in r.attributes.get("class", "")]
    assert len(chosen) == 1
    assert f"trial {report.read('choice')['trial']}" in chosen[0].text
    assert rows[0] is chosen[0]
    baselines = [r for r in rows if "baseline" in r.one("th").text]
    assert len(baselines) == sum(t["recipe"] in ("none", "prior_threshold") for t in finished)
    order = ["keeps all" in r.text for r in rows]
    assert order == sorted(order, reverse=True)
    over = next(r for r in rows if "over by" in r.text)
    assert over.all("td", class_="broken")
    best = max((t for t in finished if t["feasible"]), key=lambda t: t["metrics"]["balanced_accuracy"])
    interval = f"{best['metrics']['objective_low']:.3f} to {best['metrics']['objective_high']:.3f}"
    assert interval in rows[0].text


def test_trials_that_did_not_finish_are_shown_with_their_error(make_report: Make, case: Any) -> None:
    details = make_report(case()).page.one("section", id="search").one("details")
    assert "6 trials that did not finish" in details.one("summary").text
    assert "ran out of memory" in details.text


def test_trade_off_per_limit(make_report: Make, case: Any) -> None:
    report = make_report(case())
    plots = report.page.one("section", id="search").one("div", class_="panels").all("svg", role="img")
    assert len(plots) == len(report.read("trials")["objective"]["subject_to"])
    measured = [t for t in report.read("trials")["trials"] if t["status"] != "failed"]
    for plot in plots:
        assert len(plot.all(class_="mark")) == len(measured)
        assert len(plot.all(class_="ring")) == 1
        assert plot.all("rect", class_="kept")
        labels = [t.text for t in plot.all("text", class_="label")]
        assert any(w.startswith("chosen: ") for w in labels)
        assert any(w.startswith("limit ") for w in labels)
        assert any("prior_threshold" in w for w in labels)


def test_nothing_feasible_is_said_prominently(make_report: Make, case: Any) -> None:
    page = make_report(case(feasible=False)).page
    assert "No configuration kept every limit" in page.all("section")[0].one(class_="notice").text
    assert "Nothing was feasible" in page.one("section", id="search").text
    assert "No configuration kept" not in make_report(case()).page.text


def test_search_without_limits(make_report: Make, case: Any) -> None:
    report = make_report(case())
    trials = report.read("trials")
    trials["objective"]["subject_to"] = {}
    trials["wall_clock_limited"] = True
    section = report.changed("trials", trials).page.one("section", id="search")
    assert "no limits were set" in section.text
    assert "limited by time" in section.text
    assert not section.all("figure")


def test_a_choice_that_the_clock_cut_short_is_on_the_leaderboard(make_report: Make, case: Any) -> None:
    report = make_report(case())
    trials, choice = report.read("trials"), report.read("choice")
    for trial in trials["trials"]:
        trial["status"] = "halved"
    report.changed("trials", trials)
    rows = report.changed("choice", choice).page.one("table", class_="board").one("tbody").all("tr")
    assert len(rows) == 1
    assert "stopped before its full budget" in rows[0].text


def test_data_section_says_what_it_rests_on(make_report: Make, case: Any) -> None:
    report = make_report(case())
    data = report.page.one("section", id="data")
    assert "Biased labels: 0.80% of all rows are good loans recorded as defaulted, all of them sex Female." in data.text
    assert "application_id identifies a row" in data.text
    assert "3 rows left out: the target is missing." in data.text
    counts = report.read("card")["class_by_group"]["sex"]["Female"]
    line = next(r for r in data.all("tr") if r.children[0].text == "Female")  # type: ignore[union-attr]
    assert [c.text for c in line.all("td")][2:4] == [f"{n:,}".replace(",", " ") for n in counts.values()]
    nowhere = next(r for r in data.all("tr") if r.children[0].text.startswith("Nowhere"))  # type: ignore[union-attr]
    assert [c.text for c in nowhere.all("td", class_="empty")] == ["no rows", "no rows"]


def test_data_checks_show_their_outcomes(make_report: Make, case: Any) -> None:
    data = make_report(case()).page.one("section", id="data")
    rows = data.one(aria_label="Data checks").one("tbody").all("tr")
    assert [r.all("span", class_="sign")[0].text for r in rows] == ["! warning", "✓ passed", "– not applicable"]
    assert "income by sex" in rows[1].text
    assert "no groups" in rows[2].text
    assert "1 further check passed" in data.text


def test_group_without_evidence_is_hatched_never_zero(make_report: Make, case: Any) -> None:
    groups = make_report(case()).page.one("section", id="groups")
    heat = groups.one("table", class_="heat")
    assert all(n.text != "0.000" for n in heat.all("td", class_="hatched"))
    for name in ("Islands", "Nowhere", "Female & Nowhere"):
        line = next(r for r in heat.all("tr") if r.all("th") and r.all("th")[0].text == name)
        assert [c.text for c in line.all("td")[1:]]
        assert all("insufficient evidence" in c.text for c in line.all("td")[1:])
        assert line.all("td", class_="hatched")
    assert "Islands (region: " in groups.one(class_="notice").text
    region = groups.one(aria_label="Gaps between the groups of region")
    assert all("Islands" in r.text and "Nowhere 0 rows, needs 50" in r.text for r in region.one("tbody").all("tr"))


def test_group_that_is_worse_is_coloured_and_named(make_report: Make, case: Any) -> None:
    report = make_report(case())
    heat = report.page.one("section", id="groups").one("table", class_="heat")
    female = next(r for r in heat.all("tr") if r.all("th") and r.all("th")[0].text == "Female")
    accuracy = female.all("td")[1]
    assert accuracy.attributes["class"].startswith("worse")
    assert (
        accuracy.text
        == f"{report.read('audit')['attributes']['sex']['groups']['Female']['metrics']['accuracy']['value']:.3f}"
    )


def test_without_attributes_it_says_that_nothing_is_known(make_report: Make, case: Any) -> None:
    page = make_report(case(classes=MANY, groups={}, shares={}, image=True)).page
    assert "Nothing is known about fairness" in page.one("section", id="groups").text
    assert not page.one("section", id="groups").all("table")
    assert "with images" in page.one("section", id="data").text


def test_reliability_by_group(make_report: Make, case: Any) -> None:
    figures = make_report(case()).page.one("section", id="calibration").all("figure")
    drawn = {f.one("strong").text: bool(f.all("svg")) for f in figures}
    assert drawn == {
        "All test rows": True,
        "Female": True,
        "Male": True,
        "East": True,
        "Islands": False,
        "North": True,
        "Nowhere": False,
    }
    assert "insufficient evidence" in figures[4].text


def test_test_figures_and_confusion(make_report: Make, case: Any) -> None:
    report = make_report(case())
    page, evaluation = report.page.one("section", id="performance"), report.read("evaluation")
    table = page.one(aria_label="Overall test figures")
    for figure in evaluation["overall"].values():
        assert f"{figure['value']:.3f}" in table.text
        assert f"{figure['low']:.3f} to {figure['high']:.3f}" in table.text
    cells = [
        int(c.children[0].replace("\u202f", ""))
        for c in page.one("table", class_="confusion").all("td", class_="number")
    ]  # type: ignore[union-attr]
    assert cells == [n for row in evaluation["confusion"] for n in row]


def test_curves_of_many_classes_name_best_and_worst(make_report: Make, case: Any) -> None:
    page = make_report(case(classes=MANY, groups={}, shares={})).page.one("section", id="performance")
    roc = next(s for s in page.all("svg") if s.attributes["aria-label"].startswith("True positive rate"))
    assert len(roc.all("polyline")) == len(MANY)
    words = [t.text for t in roc.all("text", class_="strong")]
    assert words[0].startswith("best: digit")
    assert words[1].startswith("worst: digit")


def test_lineage_and_glossary(make_report: Make, case: Any) -> None:
    page = make_report(case()).page
    lineage = page.one("section", id="lineage")
    assert [s.text for s in lineage.all("span", class_="step")] == ["Data", "Split", "Recipe", "Refit", "Version"]
    assert re.search(r"rows\.parquet sha256 [0-9a-f]{64}", lineage.text)
    assert "scikit-learn" in lineage.text
    assert "search.subject_to.ece 0.03" in lineage.text
    assert "11, 12, 13" in lineage.text
    assert "Insufficient evidence" in [t.text for t in page.one("section", id="glossary").all("dt")]


def test_no_credentials_of_a_source(make_report: Make, case: Any) -> None:
    report = make_report(case())
    card = report.read("card")
    card["source"]["files"][0]["name"] = "https://user:geheim@example.org/x.csv?token=geheim"
    assert "geheim" not in report.changed("card", card).html


PLANTED = "https://me:hunter2@example.org/loans.csv?token=t0ken"


def test_a_planted_secret_is_not_shown(make_report: Make, case: Any) -> None:
    report = make_report(case())
    card = report.read("card")
    card["source"]["files"] = [{"name": PLANTED, "sha256": "ab" * 32}]
    card["home"] = PLANTED
    html = report.changed("card", card, {"data": {"path": PLANTED}, "target": {"column": "defaulted"}}).html
    assert html.count("https://example.org/loans.csv") >= 3
    assert "hunter2" not in html
    assert "t0ken" not in html
