"""Published recipes: they can be built, are called what they are, and the page says what the data say."""

from pathlib import Path

import pytest

from models.balancing import catalogue
from models.errors import InputError
from models.learners import learner
from models.published import AIMS
from models.published_page import listed, page
from models.recipe import parse, published
from tasks.search.space import Pair, pairs, refusal

ENTRIES = list(published().values())


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)
def test_it_is_built_by_its_name_and_some_learner_takes_it(entry):
    recipe = parse(entry.name)
    assert recipe == parse({**entry.composition, "name": entry.name})
    assert entry.aim in AIMS
    takers = [n for n in ("mlp", "tabm", "trees", "resnet32") if not refusal(recipe, n, image=n == "resnet32")]
    assert takers
    assert recipe.tasks


def test_a_name_of_its_own_is_no_method_and_a_joined_name_means_its_methods():
    for entry in ENTRIES:
        if entry.name in catalogue():
            (part,) = [c for c in parse(entry.name).components().values() if c.name == entry.name]
            assert type(part) is catalogue()[entry.name]


def test_it_can_be_built_on():
    joined = parse("dfr_bias_corrected_temperature")
    assert [a.name for a in joined.adjust] == ["last_layer_retraining", "bias_corrected_temperature"]
    built = parse({"recipe": "group_dro_strong_decay", "adjust": "temperature", "name": "mine"})
    assert (built.name, built.weigh.name, built.learner) == ("mine", "group_dro", (("weight_decay", 1.0),))
    with pytest.raises(InputError, match="no published recipe 'ldma'"):
        parse({"recipe": "ldma"})
    with pytest.raises(InputError, match="'group_dro' and 'reweighing' both act in slot 'weigh'"):
        parse({"recipe": "group_dro_strong_decay", "weigh": "reweighing"})


def test_what_it_sets_of_the_learner_is_used_and_not_searched():
    found = pairs({n: parse(n) for n in ("none", "prior_threshold", "group_dro_strong_decay")}, ("mlp",), image=False)
    pair = next(p for p in found if p.recipe.name == "group_dro_strong_decay")
    assert set(pair.space()) == {"weigh.step", "learning_rate", "dropout"}
    assert set(Pair(parse("none"), "mlp").space()) == {"learning_rate", "weight_decay", "dropout"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"weight_decay": "much"}, r"learner.weight_decay = 'much' is not a finite number"),
        ({"weight_decay": float("nan")}, "is not a finite number"),
        (3, "no mapping"),
    ],
)
def test_a_wrong_setting_of_the_learner_is_refused_when_the_recipe_is_built(setting, message):
    with pytest.raises(InputError, match=message):
        parse({"loss": "focal", "learner": setting})


def test_a_setting_that_a_learner_lacks_or_that_is_out_of_range_is_refused_with_the_learner():
    recipe = parse({"loss": "weighted_ce", "learner": {"weight_decay": 0.5}, "name": "mine"})
    assert refusal(recipe, "mlp", image=False) is None
    assert (
        refusal(recipe, "trees", image=False) == "'mine' sets the learner's 'weight_decay', which trees does not have"
    )
    wrong = parse({"loss": "weighted_ce", "learner": {"weight_decay": -1}, "name": "mine"})
    with pytest.raises(InputError, match=r"mine: learner.weight_decay = -1 is outside \[0, inf\]"):
        refusal(wrong, "mlp", image=False)
    assert "weight_decay" in learner("mlp").space()


def test_the_page_is_up_to_date(repository):
    written = (repository / "docs" / "recipes.md").read_text(encoding="utf-8")
    assert written == page(), "stale: .venv/bin/python -m models.published_page > docs/recipes.md"


def test_every_recipe_says_where_it_comes_from_and_titles_are_those_of_the_list_of_papers(repository):
    listing = Path(repository).parent / "shared" / "methods" / "methods.tsv"
    for row in listed():
        assert row["paper"] or len(row["methods"]) > 1, row["name"]
    if not listing.is_file():
        pytest.skip(f"no list of papers at {listing}")
    rows = [line.split("\t") for line in listing.read_text(encoding="utf-8").splitlines()[1:]]
    plain = {"".join(filter(str.isalnum, row[3].lower())): row[3] for row in rows}
    for entry in ENTRIES:
        if entry.paper is not None:
            known = plain.get("".join(filter(str.isalnum, entry.paper.title.lower())), entry.paper.title)
            assert entry.paper.title == known
