"""The parameter that stands for params.yaml: what Prefect's form is made of and its server checks, and what becomes of it."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.utilities.schema_tools.validation import is_valid_schema, validate

from flows.asked import settings_of
from flows.retrain import retrain
from tasks.params import Params, schema

SERVED = retrain.parameters.model_dump_for_openapi()
ASKED = SERVED["properties"]["params"]


def keys(node: dict[str, Any], whole: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key of a schema with what is said of it, wherever it stands."""
    node = whole["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
    for key, found in node.get("properties", {}).items():
        yield f"{path}{key}", found
        yield from keys(found, whole, f"{path}{key}.")
    for option in (*node.get("anyOf", ()), *([node["items"]] if "items" in node else [])):
        yield from keys(option, whole, path)


def test_the_form_has_every_key_of_the_parameters_with_its_words_and_no_default() -> None:
    is_valid_schema(SERVED)
    asked, known = dict(keys(ASKED, {})), dict(keys(schema(), schema()))
    assert list(asked) == list(known)
    assert {"seed", "search.budget.trials", "gates.rules.metric", "sensitive.bins", "monitor.rows"} <= set(asked)
    assert list(ASKED["properties"]) == list(Params.model_fields)
    for key, found in asked.items():
        assert "default" not in found, key
        assert found.get("type") != "boolean", f"{key}: a form sends false of what nobody touched"
        assert found["title"] == key.rpartition(".")[2]
        # What the schema for editors says of a key, or of the section that it is.
        said = known[key].get("description") or schema()["$defs"][known[key]["$ref"].rpartition("/")[2]]["description"]
        assert found["description"] == said
    assert "macro_f1" in asked["search.maximize"]["enum"]
    assert all(SERVED["properties"][own]["description"] for own in ("params_file", "overrides", "wait"))


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({}, None),
        ({"seed": 3, "search": {"budget": {"trials": 8}, "subject_to": {"ece": 0.1}}}, None),
        ({"model": {"ensemble": True, "learners": ["trees"]}, "gates": {"rules": [{"metric": "ece", "at_most": 0.1}]}}, None),
        ({"sensitive": ["sex", {"column": "age", "bins": [25, 40]}], "retrain": {"start": None}}, None),
        ({"seed": -1}, "-1"),
        ({"search": {"budget": {"trials": "many"}}}, "many"),
        ({"search": {"budget": {"trails": 3}}}, "trails"),
        ({"search": {"maximize": "acuracy"}}, "acuracy"),
        ({"split": {"test": 1.5}}, "1.5"),
        ({"gates": {"rules": [{"at_most": 0.1}]}}, "metric"),
        ({"serach": {}}, "serach"),
    ],
)  # fmt: skip
def test_the_schema_takes_what_is_right_and_names_what_is_wrong(params: dict[str, Any], wrong: str | None) -> None:
    found = " ".join(error.message for error in validate({"params": params}, SERVED, allow_none_with_default=True))
    assert wrong in found if wrong else not found, found


def test_a_key_is_taken_whole_and_what_a_form_emptied_is_not_asked_for() -> None:
    params = {
        "seed": 3, "checks": [], "data": {"path": None}, "model": {},
        "search": {"budget": {"minutes": 1}, "subject_to": {}},
    }  # fmt: skip
    assert settings_of(params) == (
        ("seed", 3), ("checks", []), ("data.path", None), ("search.budget", {"minutes": 1}), ("search.subject_to", {}),
    )  # fmt: skip
    assert settings_of({"search": {"budget": {}}}) == ()
