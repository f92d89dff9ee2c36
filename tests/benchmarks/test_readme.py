"""The README's tables: written between markers from the results, and nothing else is touched."""

import pytest

from benchmarks.readme import main, page, with_tables
from benchmarks.table import Row, as_text, publish, read
from models.errors import InputError


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    for name in ("trainer", "search"):
        publish(name, name, [Row(name, [1.0, 2.0], "s")], folder=folder)
    return folder


TEXT = "# Speed\n<!-- benchmark: trainer -->\nold\n<!-- /benchmark -->\nbetween\n<!-- benchmark:search --><!-- /benchmark -->\nend\n"


def test_every_marked_place_is_filled_and_the_rest_stays(results):
    once = with_tables(TEXT, results)
    tables = [as_text(read(results / f"{name}.json")) for name in ("trainer", "search")]
    assert once == (
        f"# Speed\n<!-- benchmark: trainer -->\n{tables[0]}\n<!-- /benchmark -->\nbetween\n"
        f"<!-- benchmark:search -->\n{tables[1]}\n<!-- /benchmark -->\nend\n"
    )
    assert with_tables(once, results) == once


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\n<!-- benchmark: trainer -->\n", "line 2: .* has no '<!-- /benchmark -->'"),
        ("<!-- benchmark: trainer -->\n<!-- benchmark: search -->\n<!-- /benchmark -->", "line 1: .*trainer.* has no"),
        ("<!-- /benchmark -->", "line 1: .* closes nothing"),
        ("<!-- benchmark: trainr --><!-- /benchmark -->", "no result 'trainr' in results/. Did you mean 'trainer'"),
    ],
)
def test_a_marker_that_makes_no_sense_is_named_by_its_line(results, text, says):
    with pytest.raises(InputError, match=says):
        with_tables(text, results)


def test_the_command_writes_and_checks(results, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text(TEXT)
    assert main(["--check"], readme, results, None) == 1
    assert readme.read_text() == TEXT
    assert main([], readme, results, None) == 0
    assert main(["--check"], readme, results, None) == 0
    assert "up to date" in capsys.readouterr().out
    readme.write_text("<!-- benchmark: nothing --><!-- /benchmark -->")
    assert main([], readme, results, None) == 2
    assert "no result 'nothing'" in capsys.readouterr().err


def test_the_readme_of_the_repository_is_up_to_date(repository):
    readme = repository / "README.md"
    if not readme.is_file():
        pytest.skip("there is no README.md yet")
    assert main(["--check"], readme) == 0


def test_a_page_shows_what_was_measured_and_what_is_owed(results, tmp_path):
    template = (
        "# Page\n<!-- benchmark: search --><!-- /benchmark -->\n<!-- benchmark: longtail_mnist --><!-- /benchmark -->\n"
    )
    assert page(template.replace("search", "other"), results, "page.md") is None
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages/page.md").write_text(template)
    (tmp_path / "docs").mkdir()
    readme = tmp_path / "README.md"
    readme.write_text("no tables\n")
    assert main(["--check"], readme, results, tmp_path / "pages") == 1
    assert main([], readme, results, tmp_path / "pages") == 0
    assert main(["--check"], readme, results, tmp_path / "pages") == 0
    text = (tmp_path / "docs/page.md").read_text()
    assert as_text(read(results / "search.json")) in text
    assert "*Not measured yet: `make bench-longtail`.*" in text
