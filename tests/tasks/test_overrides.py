"""An override lasts for one run: it is written where DVC looks, and gone with the next run."""

import io
import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from models.errors import InputError
from tasks.overrides import FILE, STATE, effective, parse_settings, write
from tasks.params import Budget

BASE = """# yaml-language-server: $schema=docs/params.schema.json
# A comment that must survive.

seed: 0

data:
  name: lending            # or `name: null` and a path
  path: null

target:
  column: null

sensitive: auto            # auto: the catalogue's

checks:
  - {check: rows_per_class, at_least: 200, severity: error}

split: {by: stratified}
resample: {}
model:
  hidden: [128, 128]

search:
  recipes: [none, focal]
  budget:
    trials: 24

retrain: {}

evaluate: {}

gates:
  rules:
    - {metric: balanced_accuracy, at_least: 0.6}
    - {metric: ece, at_most: 0.05}

registry: {}

resources:
  device: auto
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with a params.yaml."""
    (tmp_path / FILE).write_text(BASE, encoding="utf-8")
    return tmp_path


def run(root: Path, *settings: str, params: str | None = None) -> str:
    """What the file says after a run with these overrides."""
    file = None
    if params is not None:
        file = root / "other.yaml"
        file.write_text(params, encoding="utf-8")
    write(root, effective(root, parse_settings(settings), file))
    return (root / FILE).read_text(encoding="utf-8")


def test_without_overrides_the_file_keeps_its_bytes(copy: Path) -> None:
    before = (copy / FILE).read_bytes()
    run(copy)
    assert (copy / FILE).read_bytes() == before
    assert not (copy / STATE).exists()


def test_an_override_changes_its_line_alone_and_keeps_comments_and_schema(copy: Path) -> None:
    before = (copy / FILE).read_text(encoding="utf-8").splitlines()
    after = run(copy, "search.budget.trials=8").splitlines()
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [("    trials: 24", "    trials: 8")]


def test_an_override_does_not_leak_into_the_next_run(copy: Path) -> None:
    base = (copy / FILE).read_text(encoding="utf-8")
    first = run(copy, "search.budget.trials=8")
    second = run(copy, "seed=5")
    assert "trials: 8" in first
    assert "trials: 24" in second
    assert "seed: 5" in second
    assert run(copy) == base
    assert not (copy / STATE).exists()


def test_the_same_command_twice_finds_the_same_file(copy: Path) -> None:
    assert run(copy, "search.budget.trials=8") == run(copy, "search.budget.trials=8")


def test_a_date_is_written_as_text_which_dvc_can_read(copy: Path) -> None:
    """Both of `--set` and in params.yaml itself; DVC takes no date of YAML for a parameter."""
    assert 'until: "2024-07-01"' in run(copy, "data.until=2024-07-01")
    (copy / FILE).write_text(BASE.replace("path: null", "path: null\n  since: 2024-01-01"), encoding="utf-8")
    assert effective(copy).params.data.since == "2024-01-01"
    assert 'since: "2024-01-01"' in run(copy)
    assert 'since: "2024-01-01"' in run(copy)


def test_an_edit_in_between_is_the_new_base(copy: Path) -> None:
    text = run(copy, "search.budget.trials=8")
    edited = text.replace("seed: 0", "seed: 7")
    (copy / FILE).write_text(edited, encoding="utf-8")
    assert run(copy) == edited
    assert "seed: 7" in run(copy, "search.budget.trials=9")
    assert run(copy) == edited


def test_a_run_killed_while_it_wrote_does_not_make_an_override_permanent(copy: Path) -> None:
    base = (copy / FILE).read_text(encoding="utf-8")
    first = run(copy, "search.budget.trials=8")
    run(copy, "search.budget.trials=9")
    # Killed after the state was written and before params.yaml was: the file still has the first override.
    (copy / FILE).write_text(first, encoding="utf-8")
    assert run(copy) == base


def test_a_file_replaces_keys_and_leaves_the_rest(copy: Path) -> None:
    params = effective(copy, (), _file(copy, "search: {budget: {trials: 4}}\nmodel: {epochs: 3}\n")).params
    assert (params.search.budget.trials, params.model.epochs) == (4, 3)
    assert params.search.recipes == ("none", "focal")
    assert params.gates.rules


def test_a_setting_wins_over_the_file(copy: Path) -> None:
    chosen = effective(copy, parse_settings(["search.budget.trials=6"]), _file(copy, "search: {budget: {trials: 4}}\n"))
    assert chosen.params.search.budget.trials == 6


def test_own_data_need_three_sections_only(copy: Path) -> None:
    text = run(copy, params="data: {path: loans.csv}\ntarget: {column: paid}\nsensitive: [sex]\n")
    params = effective(copy, (), copy / "other.yaml").params
    assert params.data.path == "loans.csv"
    assert params.data.name is None
    assert params.model_name == "loans"
    assert "# yaml-language-server: $schema=" in text.splitlines()[0]
    assert "check: rows_per_class" in text


def test_another_source_does_not_inherit_the_columns_of_the_old_one(copy: Path) -> None:
    own = "data: {path: loans.csv, id: number, rows: 500}\ntarget: {column: paid}\nsensitive: [sex]\n"
    text = run(copy, params=own)
    (copy / FILE).write_text(text + "\n", encoding="utf-8")  # the user's own base from here on
    params = effective(copy, parse_settings(["data.name=adult"])).params
    assert (params.data.name, params.data.path, params.data.id, params.data.rows) == ("adult", None, None, None)
    assert params.target.column is None
    assert params.sensitive == "auto"
    same = effective(copy, parse_settings(["data.rows=100"])).params
    assert (same.data.path, same.data.rows, same.target.column) == ("loans.csv", 100, "paid")
    later = effective(copy, parse_settings(["data.path=loans-july.csv"])).params
    assert (later.data.path, later.data.id, later.target.column, later.sensitive) == (
        "loans-july.csv",
        "number",
        "paid",
        ("sex",),
    )


def test_a_missing_section_is_filled_in_for_dvc(copy: Path) -> None:
    text = (copy / FILE).read_text(encoding="utf-8")
    base = text[: text.index("resources:")]
    (copy / FILE).write_text(base, encoding="utf-8")
    assert "resources:\n  device: auto" in run(copy)
    assert effective(copy).base == base
    assert effective(copy).changes == ()


def test_what_is_overridden_is_said(copy: Path) -> None:
    chosen = effective(copy, parse_settings(["search.budget.trials=8", "gates.rules[0].at_least=0.7"]))
    assert chosen.changes == ("search.budget.trials: 24 -> 8", "gates.rules[0].at_least: 0.6 -> 0.7")
    address = "https://me:hunter2@example.org/rows.csv?token=t0ken"
    said = "; ".join(effective(copy, (("data.name", None), ("data.path", address), ("target.column", "paid"))).changes)
    assert "data.path: null -> https://example.org/rows.csv?token=REDACTED" in said


def test_values_are_yaml(copy: Path) -> None:
    settings = [
        "model.hidden=[8, 4]",
        "search.budget={minutes: 1.5}",
        "search.subject_to={ece: 0.1}",
        "search.recipes=[focal]",
    ]
    params = effective(copy, parse_settings(settings)).params
    assert params.model.hidden == (8, 4)
    assert params.search.budget == Budget(minutes=1.5)
    assert params.search.subject_to == {"ece": 0.1}
    assert params.search.recipes == ("focal",)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("search.budget.trials", "write it as section.key=value"),
        ("=3", "write it as section.key=value"),
        ("serch.trials=3", "no section 'serch'. Did you mean 'search'?"),
        ("search.trails=3", r"search.trails: no such key. Did you mean 'budget.trials'\?"),
        ("gates.rules[99].at_least=1", "'99' is no position in a list of 2"),
        ("search.budget.trials=[", "is not valid YAML"),
    ],
)
def test_a_wrong_setting_is_an_error_and_writes_nothing(copy: Path, setting: str, expected: str) -> None:
    before = (copy / FILE).read_bytes()
    with pytest.raises(InputError, match=expected):
        run(copy, setting)
    assert (copy / FILE).read_bytes() == before
    assert not (copy / STATE).exists()


def test_others_who_write_yaml_in_this_process_are_left_alone(copy: Path) -> None:
    run(copy, "seed=3")
    buffer = io.StringIO()
    YAML(typ="rt", pure=True).dump({"a": None}, buffer)
    assert buffer.getvalue() == "a:\n"


def test_the_state_keeps_the_base(copy: Path) -> None:
    base = (copy / FILE).read_text(encoding="utf-8")
    run(copy, "seed=3")
    assert json.loads((copy / STATE).read_text(encoding="utf-8"))["base"] == base


def _file(root: Path, text: str) -> Path:
    path = root / "other.yaml"
    path.write_text(text, encoding="utf-8")
    return path
