"""Rows that nothing can be learned from are an error with part, row and value before training begins, for every learner."""

from dataclasses import replace

import pytest
import torch

from models.data import Split
from models.errors import InputError
from models.learners import learner
from models.learners.learner import Input, Member, Plan
from models.recipe import parse

INPUTS, PLAN = Input(2, (3,)), Plan(budget=1, hidden=(4,))


def rows(count=40):
    g = torch.Generator().manual_seed(0)
    return Split(
        torch.randn(count, 2, generator=g), torch.randint(0, 3, (count, 1), generator=g), torch.arange(count) % 2,
        torch.arange(count) % 3, torch.ones(count), torch.arange(count), torch.zeros(count, dtype=torch.bool), 2, 3,
    )  # fmt: skip


def with_value(name, row, value):
    def change(split):
        changed = getattr(split, name).clone()
        changed[row] = value
        return replace(split, **{name: changed})

    return change


@pytest.mark.parametrize("name", ["mlp", "trees"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (with_value("labels", 7, 2), "row 7 has the label 2, but there are 2 classes, 0 to 1"),
        (with_value("labels", 7, -2), "row 7 has the label -2"),
        (with_value("groups", 5, 3), "row 5 has the group 3, but there are 3 groups, 0 to 2"),
        (with_value("categorical", (4, 0), 9), "row 4 has the id in categorical column 0 9, but there are 3 values"),
        (with_value("numeric", (3, 0), float("inf")), "row 3 has inf in numeric column 0"),
        (with_value("weights", 6, float("nan")), "row 6 has nan in weight 0"),
        (with_value("weights", 6, -2.0), "row 6 has the weight -2"),
        (lambda split: split.take(torch.arange(0)), "there are none"),
    ],
)
@pytest.mark.parametrize("part", ["training", "validation"])
def test_unsound_rows_are_named(name, change, expected, part):
    train, valid = (change(rows()), rows()) if part == "training" else (rows(), change(rows()))
    with pytest.raises(InputError, match=f"the {part} rows: .*{expected}"):
        learner(name).fit(parse("none"), [Member({}, 0)], train, valid, INPUTS, PLAN)


def test_a_missing_number_is_an_error_for_a_net_and_a_value_like_others_for_trees():
    missing = with_value("numeric", (3, 1), float("nan"))(rows())
    with pytest.raises(InputError, match="the training rows: row 3 has nan in numeric column 1"):
        learner("mlp").fit(parse("none"), [Member({}, 0)], missing, rows(), INPUTS, PLAN)
    outcome = learner("trees").fit(parse("none"), [Member({}, 0)], missing, rows(), INPUTS, PLAN)[0]
    assert outcome.error is None


def test_sound_rows_are_trained_on():
    outcome = learner("mlp").fit(parse("none"), [Member({}, 0)], rows(), rows(), INPUTS, PLAN)[0]
    assert outcome.error is None


def test_a_row_without_a_label_may_be_trained_beside_by_a_net_and_never_judges():
    unlabelled = with_value("labels", 7, -1)(rows())
    outcome = learner("mlp").fit(parse("none"), [Member({}, 0)], unlabelled, rows(), INPUTS, PLAN)[0]
    assert outcome.error is None
    with pytest.raises(InputError, match="the validation rows: row 7 has the label -1"):
        learner("mlp").fit(parse("none"), [Member({}, 0)], rows(), unlabelled, INPUTS, PLAN)
    with pytest.raises(InputError, match="the training rows: row 7 has the label -1"):
        learner("trees").fit(parse("none"), [Member({}, 0)], unlabelled, rows(), INPUTS, PLAN)
