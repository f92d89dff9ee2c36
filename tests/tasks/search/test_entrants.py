"""Who competes: every recipe that the data allow; the others are errors or are left out aloud, as asked."""

import logging

import pytest

from models.errors import InputError
from models.schema import Attribute, Column, Schema, Target
from tasks.params import Search
from tasks.search.entrants import entrants

RECIPES = ("focal", "group_dro", "smote")


def schema(image: bool, groups: bool) -> Schema:
    kind = "image" if image else "numeric"
    attributes = (Attribute(name="sex", groups=("F", "M")),) if groups else ()
    columns = (
        Column(name="x", kind=kind, role="feature"),
        Column(name="y", kind="categorical", role="target", feature=False),
    )
    return Schema(
        dataset="d", columns=columns, target=Target(column="y", kind="binary", classes=("a", "b")), sensitive=attributes
    )


@pytest.mark.parametrize(
    ("image", "groups", "expected"),
    [
        (False, True, {"focal", "group_dro", "smote"}),
        (False, False, {"focal", "smote"}),
        (True, True, {"focal", "group_dro"}),
        (True, False, {"focal"}),
    ],
)
def test_what_does_not_fit_the_data_is_left_out_and_said_to_be(image, groups, expected, caplog):
    with caplog.at_level(logging.INFO, logger="equipoise"):
        found = entrants(Search(recipes=RECIPES, unsuitable="leave_out"), schema(image, groups))
        found.tell()
    assert set(found.recipes) == {"none", "prior_threshold"} | expected
    for name in set(RECIPES) - expected:
        assert f"left out: {name}: params.yaml: search.recipes: {name}: " in caplog.text
    assert {p.recipe: p.chosen for p in found.picks} == {
        **dict.fromkeys(("none", "prior_threshold"), True), **{name: name in expected for name in RECIPES},
    }  # fmt: skip


def test_unless_asked_otherwise_it_is_an_error():
    with pytest.raises(InputError, match=r"search.recipes: group_dro: 'group_dro' needs groups"):
        entrants(Search(recipes=RECIPES), schema(False, False))
