"""Recipes: names, compositions, defaults, and errors that name the nearest."""

import pytest

from models.errors import InputError
from models.recipe import BASELINES, competitors, parse


def test_a_name_is_method_names_joined():
    recipe = parse("ldam_drw")
    assert (recipe.loss.name, recipe.schedule.name, recipe.head.name) == ("ldam", "drw", "cosine")


def test_longest_method_name_wins():
    recipe = parse("class_balanced_sampling_class_balanced")
    assert (recipe.sample.name, recipe.loss.name) == ("class_balanced_sampling", "class_balanced")


def test_a_composition_says_the_same_as_its_name():
    assert parse({"loss": "ldam", "schedule": "drw"}) == parse("ldam_drw")


def test_fixed_values_are_set_and_not_searched():
    recipe = parse({"loss": {"focal": {"gamma": 1.5}}, "mix": "mixup"})
    assert recipe.loss.gamma == 1.5
    assert set(recipe.space()) == {"mix.alpha"}


def test_several_adjusters_apply_in_order_and_have_keys_of_their_own():
    recipe = parse({"adjust": ["temperature", "logit_adjustment"]})
    assert [a.name for a in recipe.adjust] == ["temperature", "logit_adjustment"]
    changed = recipe.with_values({"adjust.logit_adjustment.tau": 0.5, "learning_rate": 1.0})
    assert changed.adjust[1].tau == 0.5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ldma_drw", "no strategy 'ldma_drw'"),
        ("focl", "Did you mean 'focal'"),
        ({"los": "focal"}, "Did you mean 'loss'"),
        ({"loss": "focall"}, "Did you mean 'focal'"),
        ({"loss": "mixup"}, "acts in slot 'mix'"),
        ({"loss": {"focal": {"gama": 1}}}, "Did you mean 'gamma'"),
        ({"loss": {"focal": {"gamma": -1}}}, r"gamma = -1 is outside \[0, 20\]"),
        ("focal_ldam", "both act in slot 'loss'"),
        ({"schedule": "drw", "weigh": "group_dro"}, "switches slot 'weigh', which 'group_dro' holds"),
        ({"loss": ["focal", "ldam"]}, "takes one method"),
        ({}, "empty composition"),
        (3, "neither a name nor a composition"),
    ],
)
def test_a_wrong_recipe_says_where_and_what(spec, message):
    with pytest.raises(InputError, match=message) as caught:
        parse(spec, "params.yaml: search.recipes[2]")
    assert str(caught.value).startswith("params.yaml: search.recipes[2]: ")


def test_baselines_always_compete_and_names_are_unique():
    assert tuple(competitors([])) == BASELINES
    assert tuple(competitors(["none", "focal"])) == (*BASELINES, "focal")
    with pytest.raises(InputError, match=r"recipes\[1\].*'focal' is there already"):
        competitors(["focal", {"loss": "focal"}])


def test_a_method_that_needs_groups_is_refused_without_them():
    with pytest.raises(InputError, match="needs groups"):
        parse("group_dro").check("binary", groups=False, image=False, where="here")
    parse("group_dro").check("binary", groups=True, image=False, where="here")


def test_a_loss_that_does_not_fit_the_task_is_refused():
    with pytest.raises(
        InputError, match="'focal' serves binary, multiclass, ordinal targets, but the target is regression"
    ):
        parse("focal").check("regression", groups=False, image=False, where="here")


def test_none_leaves_a_slot_empty():
    recipe = parse({"resample": "none", "loss": "focal", "mix": None})
    assert (recipe.resample, recipe.mix, recipe.loss.name) == (None, None, "focal")
    with pytest.raises(InputError, match="an empty composition"):
        parse({"resample": "none"})
