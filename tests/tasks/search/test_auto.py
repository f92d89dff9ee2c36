"""`search.recipes: auto` follows from the data and from what is asked, says why, and always gives recipes that can compete."""

from dataclasses import replace

import pandas as pd
import pytest

from models.partners import cautions
from models.recipe import BASELINES, parse, published
from models.schema import Attribute, Column, Schema, Target
from tasks.params import Budget, Search
from tasks.search.auto import Situation, picks
from tasks.search.entrants import entrant, entrants
from tasks.search.space import families, pairs

FAIR = {"ece": 0.05, "equalized_odds_difference": 0.15}
TABLE = Situation(
    "binary", False, True, ((20000, 14000, 900), (1200, 900, 60)), ("mlp", "trees"), "balanced_accuracy", FAIR, 40
)
IMAGES = Situation(
    "multiclass",
    True,
    False,
    tuple((int(5000 * 0.6**c),) for c in range(10)),
    ("resnet32",),
    "balanced_accuracy",
    {},
    40,
)
SITUATIONS = [
    TABLE,
    IMAGES,
    replace(TABLE, trials=6),
    replace(TABLE, trials=None),
    replace(TABLE, subject_to={}, maximize="roc_auc"),
    replace(TABLE, sensitive=False, cells=((500,), (480,))),
    replace(TABLE, cells=((100, 60), (9, 4)), learners=("trees",)),
    replace(IMAGES, subject_to={"ece": 0.03}, trials=10),
    replace(TABLE, maximize="accuracy", subject_to={"demographic_parity_difference": 0.1}),
]


def chosen(situation):
    return {p.recipe: p.why for p in picks(situation) if p.chosen}


@pytest.mark.parametrize("situation", SITUATIONS, ids=range(len(SITUATIONS)))
def test_every_pick_can_compete_and_every_recipe_has_its_reason(situation):
    found = picks(situation)
    assert found == picks(situation)
    assert all(p.why for p in found)
    assert len(found) == len(published())
    recipes = {n: parse(n) for n in (*BASELINES, *chosen(situation))}
    for name, recipe in recipes.items():
        recipe.check(situation.task, situation.sensitive, situation.image, name)
        assert name == "balanced_softmax_tau_normalization" or cautions(recipe) == ()
    competing = pairs(recipes, situation.learners, situation.image)
    assert situation.trials is None or len(families(competing)) <= situation.trials


def test_a_limit_on_a_gap_brings_methods_of_groups_and_without_one_there_are_none():
    with_limit, without = chosen(TABLE), chosen(replace(TABLE, subject_to={"ece": 0.05}))
    assert any("equalized_odds" in name for name in with_limit)
    assert any("groups" in parse(name).needs for name in with_limit)
    assert not any("groups" in parse(name).needs for name in without)
    assert "equalized_odds_difference is asked for" in with_limit["temperature_balanced_equalized_odds"]
    assert any("demographic_parity_difference" in why for why in chosen(SITUATIONS[-1]).values())


def test_a_limit_on_calibration_ends_every_recipe_in_one_and_without_it_the_recipes_stand_as_published():
    for situation in (TABLE, replace(IMAGES, subject_to={"ece": 0.03})):
        assert all(any(part.calibrates for part in parse(name).adjust) for name in chosen(situation))
    assert {"mislas", "crt", "ldam_drw", "cmo_ldam_drw"} <= set(chosen(IMAGES))


def test_classes_count_alike_in_every_recipe_where_that_is_asked():
    for name in chosen(TABLE):
        recipe = parse(name)
        decided = any(part.decides != "as_before" for part in recipe.adjust)
        assert decided or recipe.resample or any(c.corrects_prior != "no" for c in recipe.everything()), name
    plain = chosen(replace(TABLE, maximize="accuracy"))
    assert "temperature" in plain
    assert "temperature_prior_threshold" not in plain


def test_few_trials_keep_it_small_and_each_aim_has_one_still():
    few, many = chosen(replace(TABLE, trials=8)), chosen(TABLE)
    trained = families(pairs({name: parse(name) for name in (*BASELINES, *few)}, TABLE.learners, image=False))
    assert len(trained) <= 6 < len(few) < len(many)
    assert any("groups" in parse(name).needs for name in few)
    assert any(p.why.startswith("8 trainings have room for 5") for p in picks(replace(TABLE, trials=8)))


@pytest.mark.parametrize(
    ("recipe", "situation", "said"),
    [
        ("ldam_drw", replace(TABLE, cells=((90, 0, 0), (70, 0, 0))), "1.29 times the rows of the smallest"),
        ("mislas", TABLE, "2 classes, and it is made for 3 or more"),
        ("smote", IMAGES, "works on tables, but the data are images"),
        ("cmo_ldam_drw", TABLE, "works on images, but the data are a table"),
        ("random_under", replace(TABLE, cells=((3000,), (90,))), "3,090 training rows, and it is made for 5,000 or more"),
        ("dfr", replace(TABLE, cells=((3000, 30), (300, 12))), "12 rows of the rarest class in the smallest group, not 20"),
        ("group_dro", replace(TABLE, sensitive=False), "no sensitive attribute"),
        ("group_dro", replace(TABLE, learners=("trees",)), "no learner takes it: trees take only methods that weigh rows"),
        ("smote", replace(TABLE, cells=((300_000,), (9000,))), "too slow for more than 200,000"),
        ("temperature_equalized_odds", replace(TABLE, task="multiclass"), "serves binary targets, but the target is multiclass"),
        ("auc_margin_bias_corrected_temperature", TABLE, "no figure of ranking is asked for"),
    ],
)  # fmt: skip
def test_what_is_left_out_says_why(recipe, situation, said):
    (why,) = [p.why for p in picks(situation) if p.recipe == recipe and not p.chosen]
    assert said in why


ROWS = pd.DataFrame(
    {"x": range(600), "y": (["a"] * 9 + ["b"]) * 60, "sex": [("F", "M")[i // 3 % 2] for i in range(600)]}
)
SCHEMA = Schema(
    dataset="d",
    columns=(
        Column(name="x", kind="numeric", role="feature"),
        Column(name="y", kind="categorical", role="target", feature=False),
        Column(name="sex", kind="categorical", role="sensitive"),
    ),
    target=Target(column="y", kind="binary", classes=("a", "b")),
    sensitive=(Attribute(name="sex", groups=("F", "M")),),
)


def test_it_may_stand_beside_named_recipes_and_what_it_picks_is_found_again_by_name():
    search = Search(recipes=("ldam_drw", "auto"), subject_to=FAIR, budget=Budget(trials=20))
    found = entrants(search, SCHEMA, ("auto",), lambda: ROWS)
    assert list(found.recipes)[:3] == ["none", "prior_threshold", "ldam_drw"]
    assert {p.recipe: p.why for p in found.picks}["ldam_drw"] == "named in params.yaml"
    for name, recipe in found.recipes.items():
        assert entrant(search, name) == recipe
    record = {r["recipe"]: r for r in found.record()}
    assert record["temperature_balanced_equalized_odds"]["competes"]
    assert "the largest class has 9 times" in record["balanced_softmax_bias_corrected_temperature"]["why"]
    alone = entrants(Search(recipes="auto", subject_to=FAIR, budget=Budget(trials=20)), SCHEMA, ("auto",), lambda: ROWS)
    assert set(alone.recipes) == set(found.recipes) - {"ldam_drw"}


def test_a_named_recipe_that_corrects_twice_is_warned_of(caplog):
    found = entrants(Search(recipes=("weighted_ce_drw",)), SCHEMA)
    found.tell()
    assert "weighted_ce_drw: 'weighted_ce' and 'effective_number' both make up for the class frequencies" in caplog.text
    (record,) = [r for r in found.record() if r["recipe"] == "weighted_ce_drw"]
    assert len(record["cautions"]) == 1
