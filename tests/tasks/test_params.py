"""params.yaml: what is wrong is an error before anything runs, with the key, the problem, and what to do."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.errors import InputError
from tasks.params import SECTIONS, Params, check_recipes, load_params, parse_params, parse_yaml, read_yaml, schema

VALID = """
seed: 0
data: {name: lending, path: null}
target: {column: null}
sensitive: auto
checks:
  - {check: rows_per_class, at_least: 100, severity: error}
split: {by: stratified, train: 0.6, valid: 0.15, calib: 0.1, test: 0.15}
resample: {sampling_strategy: auto}
model: {learners: [auto], hidden: [64], epochs: 12}
search:
  recipes: [focal, ldam_drw]
  budget: {trials: 24}
  rounds: 2
  halving: 3
  rungs: 2
  maximize: balanced_accuracy
  subject_to: {ece: 0.05, equalized_odds_difference: 0.15}
evaluate: {bootstrap: 500}
gates:
  rules:
    - {metric: balanced_accuracy, at_least: 0.6}
    - {metric: equalized_odds_difference, at_most: 0.25}
    - {metric: worst_group_accuracy, at_least: 0.5}
registry: {url: "file://registry"}
resources: {device: auto}
"""
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def defaults() -> dict[str, Any]:
    """A valid file, independent of what the project's own params.yaml says today."""
    return parse_yaml(VALID, "params.yaml")


def problems(defaults: dict[str, Any], change: Change) -> list[str]:
    """The lines of the error that a change of the default file causes."""
    raw = copy.deepcopy(defaults)
    change(raw)
    with pytest.raises(InputError) as caught:
        parse_params(raw)
    return str(caught.value).split("\n")


def test_the_default_file_is_valid_and_names_every_section(repository: Path) -> None:
    params = load_params(repository / "params.yaml")
    check_recipes(params)
    assert set(read_yaml(repository / "params.yaml")) == set(SECTIONS), "DVC tracks each section, so each must be there"
    assert params.model_name == "lending"


def test_the_first_line_points_editors_to_a_schema_that_is_not_stale(repository: Path) -> None:
    first = (repository / "params.yaml").read_text(encoding="utf-8").splitlines()[0]
    name = first.removeprefix("# yaml-language-server: $schema=")
    exported = json.loads((repository / name).read_text(encoding="utf-8"))
    assert exported == json.loads(json.dumps(schema())), "run: equipoise params schema > docs/params.schema.json"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda r: r["search"]["budget"].update(trails=3), "search.budget.trails: no such key. Did you mean 'trials'?"),
        (lambda r: r["search"].update(trails=3), "search.trails: no such key. Did you mean 'budget.trials'?"),
        (lambda r: r.update(serch={}), "serch: no such key. Did you mean 'search'?"),
        (lambda r: r.update(trials=3), "trials: no such key. Did you mean 'search.budget.trials'?"),
        (lambda r: r.update(sensitive=[{"column": "age", "bin": [30]}]), "sensitive[0].bin: no such key. Did you mean 'bins'?"),
        (lambda r: r["search"]["budget"].update(trials="many"), "search.budget.trials: found 'many' (a text). Give a whole number ("),
        (lambda r: r["search"]["budget"].update(trials="8"), "search.budget.trials: found '8' (a text). Give a whole number ("),
        (lambda r: r.update(seed=True), "seed: found true (true or false). Give a whole number ("),
        (lambda r: r["split"].update(test="0.1"), "split.test: found '0.1' (a text). Give a number ("),
        (lambda r: r.update(sensitive="sex"), "sensitive: found 'sex' (a text). Give 'auto' or a list ("),
        (lambda r: r.update(model=[]), "model: found a list of 0. Give a mapping."),
        (lambda r: r.update(search=None), "search: found nothing (null). Give a mapping."),
        (lambda r: r["search"]["recipes"].append(3), "search.recipes[2]: found 3 (a number). Give a text or a mapping ("),
        (lambda r: r["search"].update(budget={"minutes": float("nan")}), "search.budget.minutes: found nan (a number). Give a finite number ("),
        (lambda r: r["search"].update(maximize="acuracy"), "search.maximize: 'acuracy' is not valid. Did you mean 'accuracy'?"),
        (lambda r: r["search"].update(subject_to={"ecee": 0.1}), "search.subject_to.ecee: 'ecee' is not valid. Did you mean 'ece'?"),
        (lambda r: r["model"].update(learners=["mpl"]), "model.learners[0]: 'mpl' is not valid. Did you mean 'mlp'?"),
        (lambda r: r["checks"][0].update(severity="eror"), "checks[0].severity: 'eror' is not valid. Did you mean 'error'?"),
        (lambda r: r["checks"][0].update(check="imbalance_rato"), "checks[0].check: 'imbalance_rato' is not valid. Did you mean 'imbalance_ratio'?"),
        (lambda r: r.update(retrain={"start": "../v1"}), "retrain.start: '../v1' has not the right form ("),
        (lambda r: r["search"]["budget"].update(trials=1), "search.budget.trials: should be greater than or equal to 2; found 1 (a number)."),
        (lambda r: r["search"].update(subject_to={"ece": 3}), "search: subject_to.ece: 3 limits nothing; give a fraction in [0, 1]"),
        (lambda r: r["data"].update(sha256="abc"), "data.sha256: 'abc' has not the right form ("),
        (lambda r: r["registry"].update(name="a b"), "registry.name: 'a b' has not the right form ("),
        (lambda r: r.pop("gates"), "gates: missing. Add it."),
        (lambda r: r["search"].pop("recipes"), "search.recipes: missing. Add it ("),
    ],
)  # fmt: skip
def test_a_wrong_key_type_or_value_is_named_with_what_to_do(
    defaults: dict[str, Any], change: Change, expected: str
) -> None:
    lines = problems(defaults, change)
    assert len(lines) == 1
    assert lines[0].startswith(f"params.yaml: {expected}")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda r: r["split"].update(test=0.5), "split: train + valid + calib + test is 1.35; make it 1."),
        (lambda r: r["gates"].update(rules=[]), "gates: a policy with no rules would let every model through; add at least one rule."),
        (lambda r: r["gates"]["rules"][0].update(at_most=1), "gates.rules[0]: give exactly one of at_least, at_most, worse_by_at_most; "),
        (lambda r: r["data"].update(name="adult", path="x.csv"), "data: give either data.name or data.path, not both"),
        (lambda r: r["data"].update(name=None), "data: neither data.name nor data.path is given"),
        (lambda r: r["data"].update(path="x.csv"), "target.column: missing; data.path names data of your own"),
        (
            lambda r: (r["data"].update(path="x.csv"), r["target"].update(column="y"), r["split"].update(by="time")),
            "split.by: time needs a column that orders the rows",
        ),
        (lambda r: r["target"].update(bins=[3.0, 1.0]), "target.bins: the cut points must rise"),
        (lambda r: r["target"].update(bins=[1.0, 3.0], kind="binary"), "target.bins: 2 cut points make 3 classes, but target.kind is binary"),
        (lambda r: r.update(sensitive=["sex", "sex"]), "sensitive[1]: 'sex' is there already"),
        (lambda r: (r["target"].update(column="y"), r.update(sensitive=["y"])), "sensitive[0]: 'y' is the target"),
        (lambda r: (r["target"].update(column="y"), r["data"].update(drop=["y"])), "data.drop: 'y' is the target"),
        (lambda r: r["search"]["budget"].update(minutes=5), "search.budget: give one of trials and minutes; found both. Write budget: {trials: 40} or"),
        (lambda r: r["search"].update(budget={}), "search.budget: give one of trials and minutes; found neither"),
        (lambda r: r["search"].update(trials=8), "search.trials: it stands in search.budget now. Write search.budget: {trials: 8}, or --set search.budget.trials=8."),
        (lambda r: r["search"].update(minutes=5), "search.minutes: it stands in search.budget now. Write search.budget: {minutes: 5}, or --set search.budget.minutes=5."),
        (lambda r: r["search"].update(minutes=None), "search.minutes: it stands in search.budget now. Remove it, and name the one limit of the search in search.budget."),
        (lambda r: r["search"].update(rounds=30), "search.rounds: 30 rounds for 24 trials"),
        (lambda r: r["search"].update(rungs=4), "search.rungs: 4 rungs that each divide the budget by 3 leave less than one of model.epochs: 12"),
        (lambda r: r["model"].update(learners=["resnet32", "mlp"]), "model.learners: resnet32 is for images and the others are for tables"),
        (lambda r: r["gates"]["rules"][0].update(attribute="sex"), "gates.rules[0].attribute: balanced_accuracy compares no groups"),
        (
            lambda r: (r.update(sensitive=["sex", "race"]), r["gates"]["rules"][1].update(attribute="rase")),
            "gates.rules[1].attribute: 'rase' is no sensitive attribute. Did you mean 'race'?",
        ),
        (lambda r: r["registry"].update(url="s4://x"), "registry.url: 's4://x': no registry of kind 's4://'"),
        (lambda r: r.update(checks=[{"check": "imbalance_ratio"}]), "checks[0]: imbalance_ratio needs at_most"),
        (
            lambda r: r.update(checks=[{"check": "imbalance_ratio", "at_least": 3}]),
            "checks[0]: imbalance_ratio has no at_least; it takes at_most",
        ),
        (
            lambda r: r.update(checks=[{"check": "imbalance_ratio", "at_most": 0.5}]),
            "checks[0]: at_most is 0.5; imbalance_ratio needs a value of at least 1",
        ),
        (
            lambda r: r.update(checks=[{"check": "missing_rate", "at_most": 5}]),
            "checks[0]: at_most is 5; missing_rate needs a value in [0, 1]",
        ),
        (
            lambda r: r.update(checks=[{"check": "constant_column", "at_most": 5}]),
            "checks[0]: constant_column has no at_most; it takes no limit",
        ),
        (lambda r: r["resample"].update(sampling_strategy="minorty"), "resample: sampling_strategy: no strategy 'minorty'; choose one of"),
        (lambda r: r["resample"].update(sampling_strategy=1.5), "resample: sampling_strategy: 1.5 is not a ratio"),
        (lambda r: r["resample"].update(sampling_strategy=0.0), "resample: sampling_strategy: 0 is not a ratio"),
    ],
)  # fmt: skip
def test_an_impossible_combination_is_an_error(defaults: dict[str, Any], change: Change, expected: str) -> None:
    lines = problems(defaults, change)
    assert len(lines) == 1
    assert lines[0].startswith(f"params.yaml: {expected}")


def test_limits_on_groups_without_a_sensitive_attribute_are_all_named(defaults: dict[str, Any]) -> None:
    lines = problems(defaults, lambda r: r.update(sensitive=[]))
    assert any(
        line.startswith("params.yaml: search.subject_to.equalized_odds_difference: it compares groups")
        for line in lines
    )
    assert sum("gates.rules[" in line for line in lines) == 2


def test_all_problems_are_listed_at_once(defaults: dict[str, Any]) -> None:
    lines = problems(
        defaults, lambda r: (r["search"]["budget"].update(trials="x"), r["split"].update(by="tme"), r.update(x=1))
    )
    assert len(lines) == 3


def test_an_intersection_of_sensitive_attributes_can_be_gated(defaults: dict[str, Any]) -> None:
    raw = copy.deepcopy(defaults)
    raw["sensitive"] = ["sex", {"column": "age", "bins": [30, 60]}]
    raw["gates"]["rules"][1]["attribute"] = "sex & age_group"
    assert parse_params(raw).gates.rules[1].attribute == "sex & age_group"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: 1\nseed: 2\n", "is not valid YAML"),
        ("seed: [1\n", "is not valid YAML"),
        ("- 1\n", "must hold a mapping of sections; found list"),
        ("", "must hold a mapping of sections; found NoneType"),
    ],
)
def test_broken_yaml_is_named(text: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        parse_yaml(text, "params.yaml")


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_yaml(tmp_path / "params.yaml")
    with pytest.raises(InputError, match="is a folder"):
        read_yaml(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("seed: 1 # Jürgen".encode("latin-1"))
    with pytest.raises(InputError, match="is not UTF-8"):
        read_yaml(tmp_path / "latin.yaml")


def test_an_unknown_recipe_or_slot_is_named_with_its_place_and_the_nearest(defaults: dict[str, Any]) -> None:
    raw = copy.deepcopy(defaults)
    raw["search"]["recipes"] = ["none", "fokal"]
    with pytest.raises(InputError, match=r"search\.recipes\[1\]: no strategy 'fokal'\. Did you mean 'focal'\?"):
        check_recipes(parse_params(raw))
    raw["search"]["recipes"] = [{"los": "focal"}]
    with pytest.raises(InputError, match=r"search\.recipes\[0\]: no slot 'los'\. Did you mean 'loss'\?"):
        check_recipes(parse_params(raw))


def test_params_are_frozen_and_a_stage_sees_only_its_sections(defaults: dict[str, Any]) -> None:
    params = parse_params(defaults)
    with pytest.raises(ValueError, match="frozen"):
        params.search.budget = 3  # type: ignore[misc]
    view: Params = params.only(("seed", "data"))
    assert view.data.name == "lending"
    with pytest.raises(AttributeError):
        _ = view.search


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("some/My data.csv", "My-data"),
        ("s3://bucket/rows.parquet", "rows"),
        ("https://x.org/a.csv?key=secret", "a"),
        ("images/", "images"),
    ],
)
def test_a_model_is_named_after_its_data(defaults: dict[str, Any], path: str, name: str) -> None:
    raw = copy.deepcopy(defaults)
    raw["data"].update(name=None, path=path)
    raw["target"]["column"] = "y"
    assert parse_params(raw).model_name == name
