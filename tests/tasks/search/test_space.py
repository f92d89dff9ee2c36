"""Which pairs compete and in which order, and what is suggested for them."""

import itertools
import logging

import pytest

from models.errors import InputError
from models.learners import learner
from models.recipe import competitors
from tasks.search.space import families, pairs, rounded
from tasks.search.suggestions import Told, suggest

RECIPES = competitors(["weighted_ce", "focal", "ldam_drw"])
PAIRS = pairs(RECIPES, ("mlp", "trees"), image=False)


def test_baselines_come_first_then_every_recipe_once_then_second_learners():
    assert [pair.name for pair in PAIRS] == [
        "none|mlp", "prior_threshold|mlp", "none|trees", "prior_threshold|trees",
        "weighted_ce|mlp", "focal|mlp", "ldam_drw|mlp", "weighted_ce|trees",
    ]  # fmt: skip


def test_a_recipe_that_no_learner_takes_is_named_with_the_reason():
    with pytest.raises(InputError, match=r"no learner of model\.learners takes 'focal'.*'focal' does not"):
        pairs(RECIPES, ("trees",), image=False)


def test_a_learner_for_other_data_is_named():
    with pytest.raises(InputError, match=r"'resnet32' can train nothing here: resnet32 works on images"):
        pairs(RECIPES, ("mlp", "resnet32"), image=False)


def test_defaults_are_those_of_recipe_and_learner():
    focal = next(pair for pair in PAIRS if pair.name == "focal|mlp")
    assert focal.defaults() == {"loss.gamma": 2.0, **{k: r.default for k, r in learner("mlp").space().items()}}


def told(count):
    return [Told(PAIRS[i % 8], PAIRS[i % 8].defaults(), 0.5 + 0.01 * i, {"ece": 0.0}, i) for i in range(count)]


def test_suggestions_follow_from_results_and_seed_alone():
    first, second, other = (suggest(families(PAIRS), told(12), 6, seed) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_suggested_values_are_those_of_the_pair_and_inside_their_ranges():
    for pair, values in itertools.chain(*suggest(families(PAIRS), told(12), 40, 0)):
        space = pair.space()
        assert list(values) == list(space)
        for key, (_, allowed) in space.items():
            if allowed.choices is not None:
                assert values[key] in allowed.choices
            else:
                assert allowed.low <= values[key] <= allowed.high
                assert isinstance(values[key], type(allowed.default))


def test_suggestions_prefer_what_keeps_the_limits():
    """The pair with the higher objective breaks a limit in every trial, the other keeps it."""
    good, bad = PAIRS[4], PAIRS[5]
    results = [
        Told(p, p.defaults(), 0.6 if p is good else 0.9, {"ece": 0.0 if p is good else 1.0}, i)
        for i, p in enumerate([good, bad] * 12)
    ]
    names = [pair.name for ((pair, _),) in suggest(families([good, bad]), results, 40, 0)]
    assert names.count(good.name) > names.count(bad.name)


def test_suggesting_is_silent(caplog, capfd):
    with caplog.at_level(logging.INFO):
        suggest(families(PAIRS), told(3), 2, 0)
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_numbers_are_short_and_stay_inside():
    assert rounded(0.0012345678, 0.001, 0.01) == 0.001235
    assert rounded(0.0099999999, 0.001, 0.01) == 0.01
    assert rounded(0.00100001, 0.001000009, 0.01) == 0.001000009


def test_a_spared_learner_takes_what_trains_plainly_and_what_nobody_else_takes():
    recipes = competitors(["weighted_ce", "focal", "random_over", "temperature_prior_threshold"])
    spared = pairs(recipes, ("trees", "tabm"), image=False, spared=("tabm",))
    assert [pair.name for pair in spared if pair.learner == "tabm"] == [
        "none|tabm", "prior_threshold|tabm", "focal|tabm", "temperature_prior_threshold|tabm",
    ]  # fmt: skip
    assert {"weighted_ce|tabm", "random_over|tabm"} <= {p.name for p in pairs(recipes, ("trees", "tabm"), image=False)}
