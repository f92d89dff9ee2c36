"""docs/params.md says what the code says."""

from pathlib import Path

from flows.params_page import page
from tasks.params import read_yaml, schema


def test_the_page_of_parameters_is_up_to_date_and_explains_every_key(repository: Path) -> None:
    made = page(read_yaml(repository / "params.yaml"))
    written = (repository / "docs" / "params.md").read_text(encoding="utf-8")
    assert written == made, "stale: .venv/bin/python -m flows.params_page > docs/params.md"
    for name, definition in schema()["$defs"].items():
        unexplained = [key for key, found in definition["properties"].items() if not found.get("description")]
        assert [key for key in unexplained if "$ref" not in str(definition["properties"][key])] == [], name
