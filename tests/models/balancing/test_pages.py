"""The pages about methods say what the code says."""

import re

from models.balancing import catalogue
from models.balancing.page import page


def test_the_page_of_strategies_is_up_to_date(repository):
    written = (repository / "docs" / "strategies.md").read_text(encoding="utf-8")
    assert written == page(), "stale: .venv/bin/python -m models.balancing.page > docs/strategies.md"


def test_every_method_has_its_entry_and_every_link_its_place():
    text = page()
    headings = set(re.findall(r"^### (\S+)$", text, re.MULTILINE))
    assert headings == set(catalogue())
    assert set(re.findall(r"\]\(#(\S+?)\)", text)) == headings


def test_add_a_method_shows_the_file_and_the_test_that_are_there(repository):
    guide = (repository / "docs" / "add-a-method.md").read_text(encoding="utf-8")
    method, test = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert method == (repository / "models" / "balancing" / "weigh" / "reweighing.py").read_text(encoding="utf-8")
    assert test.strip() in (repository / "tests" / "models" / "balancing" / "test_weighers.py").read_text(
        encoding="utf-8"
    )
    commands = re.findall(r"^\.venv/bin/python -m (\S+)", guide, re.MULTILINE)
    assert commands == ["pytest", "models.balancing.page"]
