"""A model is retrained on later rows, from the champion and from scratch, and both are judged by one search and one gate."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from models.errors import InputError
from models.preprocess import Preprocessor
from models.recipe import parse
from tasks import evaluate, gate, ingest, register, resample, split, start, train, tune
from tasks.champion import Champion, encoded, read_champion
from tasks.learned import known_rows, numbers_of, read_learned
from tasks.memory import Today, remember
from tasks.params import Model, Params, Resources, Retrain, Search, parse_params
from tasks.parts import MEMORY as MEMORY_FILE
from tasks.parts import read_rows, read_schema, rows_of
from tasks.rebuild.lineage import as_tree, stations
from tasks.rebuild.record import Record, read_record
from tasks.rebuild.rerun import Wanted, _bring_start
from tasks.rebuild.tables import restore
from tasks.registry import open_registry
from tasks.search.cluster import cluster
from tasks.search.entrants import entrants
from tasks.stage import read_json, write_json
from tests.tasks.conftest import toy_schema

LEARNED = ["warm_start", "shrink_and_perturb", "warm_start_distillation_ema_bias_correction", "warm_start_rehearsal"]
MEMORY = 150
SMALL: dict[str, Any] = {
    "model": {"learners": ["mlp"], "hidden": [16], "epochs": 3, "refits": 2},
    "evaluate": {"bootstrap": 50, "intersections": False},
    "gates": {"rules": [{"metric": "roc_auc", "at_least": 0.5}, {"metric": "roc_auc", "worse_by_at_most": 0.5}]},
    "resources": {"concurrent_trials": 1},
}


def params(
    root: Path, recipes: list[Any], until: str | None = None, since: str | None = None, **sections: Any
) -> Params:
    """A small search on some months of the embedded data."""
    search = {
        "recipes": recipes,
        "budget": {"trials": max(2, len(recipes) + 1)},
        "rounds": 1,
        "rungs": 1,
        "subject_to": {},
        "minimize": "log_loss",
    }
    return parse_params(
        {
            **SMALL, "data": {"name": "lending", "rows": 1500, "until": until, "since": since}, "search": search,
            "registry": {"url": f"file://{root}/registry", "name": "loans"}, **sections,
        }
    )  # fmt: skip


def retrained(root: Path, chosen: Params, searched: bool = True) -> None:
    """The stages that train, judge and register; without a search, what stands in the place of its record."""
    for module in (ingest, split, start, resample):
        write_json(root / "data/validate/results.json", {})
        module.STAGE.execute(chosen, root)
    if searched:
        tune.STAGE.execute(chosen, root)
    else:
        write_json(root / "data/tune/trials.json", {"trials": []})
        write_json(root / "data/tune/choice.json", {"trial": 0, "recipe": "none", "learner": "mlp", "values": {}})
    for module in (train, evaluate, gate):
        module.STAGE.execute(chosen, root)
    write_json(root / "data/audit/audit.json", {"attributes": {}})
    (root / "data/report").mkdir(exist_ok=True)
    (root / "data/report/report.html").write_text("<p>report</p>")
    kept_by_dvc(root)
    register.STAGE.execute(chosen, root)


def kept_by_dvc(root: Path) -> None:
    """What the stages wrote, in DVC's cache under the sums that its lock file names, as a run leaves it."""
    from dvc.repo import Repo

    repo = Repo(str(root)) if (root / ".dvc").exists() else Repo.init(str(root), no_scm=True)
    places = ("data/ingest", "data/split", "data/start")
    added = repo.add([str(root / place) for place in places], force=True)
    outs = [{"path": place, "md5": stage.outs[0].hash_info.value} for place, stage in zip(places, added, strict=True)]
    repo.close()
    write_json(root / "dvc.lock", {"schema": "2.0", "stages": {"all": {"outs": outs}}})


@pytest.fixture(scope="module")
def one_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all searches of the module."""
    with cluster(Resources(concurrent_trials=1), "cpu", 0, tmp_path_factory.mktemp("ray") / "ray.json"):
        yield


@pytest.fixture(scope="module")
def first(one_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working copy with a champion that was trained on the earlier rows."""
    root = tmp_path_factory.mktemp("first")
    retrained(root, params(root, ["none"], until="2024-07-01"), searched=False)
    return root


@pytest.fixture(scope="module")
def second(first: Path) -> Path:
    """The same copy, retrained on later rows: from the champion in several ways, and from scratch."""
    retrained(first, later(first))
    return first


def later(root: Path, **sections: Any) -> Params:
    """A search on the later rows, in which the champion may teach."""
    chosen = {"retrain": {"start": "champion", "memory": MEMORY}, **sections}
    return params(root, LEARNED, since="2024-07-01", **chosen)


def test_learned_and_fresh_models_compete_in_one_search_and_the_record_says_which_learned_from_what(second):
    record = read_json(second / "data/tune/trials.json")
    by_recipe = {trial["recipe"]: trial for trial in record["trials"]}
    assert set(by_recipe) == {"none", "prior_threshold", *LEARNED}
    assert all(trial["status"] == "finished" for trial in record["trials"])
    for name, trial in by_recipe.items():
        assert trial.get("champion") == ("v1" if name in LEARNED else None)
    why = {entry["recipe"]: entry["why"] for entry in record["recipes"]}
    assert why["warm_start"] == "named in params.yaml; it learns from champion v1"
    scores = {name: by_recipe[name]["metrics"]["log_loss"] for name in ("none", *LEARNED)}
    assert len(set(scores.values())) == len(scores), "each way of learning gives another model"
    # Three epochs are few: who begins with what the champion knows is ahead of who begins anew.
    assert scores["warm_start"] < scores["none"]
    choice = read_json(second / "data/tune/choice.json")
    assert choice["recipe"] in LEARNED
    assert scores[choice["recipe"]] == min(scores.values())


def test_the_verdict_is_about_the_same_rows_and_the_same_champion(second):
    verdict = read_json(second / "data/gate/verdict.json")
    assert verdict["champion"]["version"] == "v1"
    assert verdict["verdict"] == "pass"
    registration = read_json(second / "data/register/registration.json")
    assert (registration["version"], registration["previous_champion"]) == ("v2", "v1")


def test_a_version_says_what_it_learned_from_and_is_the_same_when_it_is_made_again(second, tmp_path):
    record = read_record(open_registry(f"file://{second}/registry"), "loans@v2")
    choice = record.document("choice")
    assert choice["recipe"] in LEARNED
    assert record.document("train")["champion"] == choice["champion"] == "v1"
    assert "learned from loans@v1, 150 rows of its past again" in as_tree(stations(record))
    assert record.document("start")["version"] == "v1"
    # A clone in which the champion is v2 by now: what is brought back is v1. From DVC, and where DVC does not have it, from v1.
    registry = open_registry(f"file://{second}/registry")
    unnamed = changed(record, tmp_path / "version", "identity", lambda known: known["data"].pop("outputs"))
    for number, told in enumerate((record, unnamed)):
        clone = tmp_path / str(number)
        for folder in ("ingest", "split", "resample", "tune"):
            shutil.copytree(second / "data" / folder, clone / "data" / folder)
        _bring_start(told, Wanted(second, registry=registry), clone)
        assert {p.name for p in (clone / "data/start").iterdir()} == {p.name for p in (second / "data/start").iterdir()}
        for name in (MEMORY_FILE, "predictor/weights.safetensors"):
            assert (clone / "data/start" / name).read_bytes() == (second / "data/start" / name).read_bytes()
    train.STAGE.execute(later(second), clone)
    for name in ("weights.safetensors", "predictor.json"):
        made = (clone / "data/train/predictor" / name).read_bytes()
        assert made == (record.directory / "predictor" / name).read_bytes()
    with pytest.raises(
        InputError, match=r"could rehearse 150 rows that loans@v1 learned, and they cannot be brought back: rows"
    ):
        _bring_start(unnamed, Wanted(clone, registry=registry), clone)


def changed(record: Record, folder: Path, name: str, change: Callable[[dict[str, Any]], Any]) -> Record:
    """The version, with one of its documents changed."""
    if not folder.exists():
        shutil.copytree(record.directory, folder)
    content = record.document(name)
    change(content)
    (folder / f"{name}.json").unlink()
    write_json(folder / f"{name}.json", content)
    return replace(record, loaded=replace(record.loaded, directory=folder))


def test_a_memory_has_the_classes_of_what_the_champion_learned_and_no_row_of_today(second):
    """Rows that validate, calibrate or test now are never among those that are learned again."""
    registry = open_registry(f"file://{second}/registry")
    memory = pd.read_parquet(second / "data/start" / MEMORY_FILE)
    note = read_json(second / "data/start/start.json")["memory"]
    columns, numbers = read_learned(registry.load("loans", "v1").directory)
    today = read_rows(second / "data/ingest")
    found = numbers_of(memory, columns)
    assert set(found) <= set(numbers)
    assert not set(found) & set(numbers_of(today, columns))
    assert not set(memory["row_id"]) & set(today["row_id"])
    assert (memory["application_date"] < "2024-07-01").all()
    old = v1_training_rows(second)
    share = old["defaulted"].value_counts(normalize=True)
    for name, rows in memory["defaulted"].value_counts().items():
        assert abs(rows - MEMORY * share[name]) < 1
        assert note["classes"][name] == rows
    assert (note["rows"], note["of"], note["why"]) == (len(memory), len(old), "")
    table = pd.read_parquet(second / "data/resample/rehearsal.parquet")
    assert set(table.loc[~table["rehearsed"], "row_id"]) == set(
        rows_of(today, second / "data/split", "train")["row_id"]
    )
    assert set(table.loc[table["rehearsed"], "row_id"]) == set(memory["row_id"])
    said = read_json(second / "data/resample/summary.json")["resamplers"]["rehearsal"]
    assert (said["rehearsed"], said["dropped"], said["repeated"], said["synthetic"]) == (MEMORY, 0, 0, 0)


def v1_training_rows(root: Path) -> pd.DataFrame:
    record, folder = read_record(open_registry(f"file://{root}/registry"), "loans@v1"), root / "v1"
    for name in ("data/ingest", "data/split"):
        assert restore(root, record.outputs[name], folder / name)
    return rows_of(read_rows(folder / "data/ingest"), folder / "data/split", "train")


def test_the_seed_draws_the_memory_and_a_later_champion_hands_on_what_it_rehearsed(second, tmp_path):
    record = read_record(open_registry(f"file://{second}/registry"), "loans@v1")
    today = Today(read_rows(second / "data/ingest"), read_schema(second / "data/ingest"))
    memory = pd.read_parquet(second / "data/start" / MEMORY_FILE)
    again, _ = remember(record, second, today, MEMORY, 0)
    other, _ = remember(record, second, today, MEMORY, 1)
    pd.testing.assert_frame_equal(again.astype(memory.dtypes), memory)
    told = read_learned(record.directory)[0]
    assert set(numbers_of(other, told)) != set(numbers_of(again, told))
    v2 = read_record(open_registry(f"file://{second}/registry"), "loans@v2")
    rehearsing = changed(v2, tmp_path / "version", "train", lambda known: known.update(rehearsed=MEMORY))
    next_month = Today(today.rows[:3], today.schema)
    everything, note = remember(rehearsing, second, next_month, 10_000, 0)
    train_rows = rows_of(today.rows, second / "data/split", "train")
    fresh = ~train_rows["row_id"].isin(next_month.rows["row_id"])
    assert len(everything) == note["rows"] == MEMORY + fresh.sum()
    assert (everything["application_date"] < "2024-07-01").sum() == MEMORY


def test_what_was_rehearsed_from_scratch_is_all_that_a_model_says_it_learned_of_the_past(second, tmp_path):
    for folder in ("ingest", "split", "start"):
        shutil.copytree(second / "data" / folder, tmp_path / "data" / folder)
    chosen = params(second, [{"resample": "rehearsal", "name": "again"}], retrain={"start": "champion"})
    resample.STAGE.execute(chosen, tmp_path)
    write_json(tmp_path / "data/tune/choice.json", {"trial": 0, "recipe": "again", "learner": "mlp", "values": {}})
    train.STAGE.execute(chosen, tmp_path)
    columns, numbers = read_learned(tmp_path / "data/train")
    table = pd.read_parquet(tmp_path / "data/resample/rehearsal.parquet")
    assert set(numbers) == set(numbers_of(table, columns))
    summary = read_json(tmp_path / "data/train/summary.json")
    assert (summary["rows"], summary["rehearsed"], summary["champion"]) == (len(table), MEMORY, "v1")


def test_rows_that_are_nowhere_any_more_are_not_rehearsed_and_the_reason_names_what_is_missing(second, tmp_path):
    shutil.copytree(second / "registry", tmp_path / "registry")
    for folder in ("ingest", "split"):
        shutil.copytree(second / "data" / folder, tmp_path / "data" / folder)
    why = taken(tmp_path, "v1")["memory"]["why"]
    assert "rows.parquet of loans@v1 is neither here nor in DVC's cache or remote" in why
    schema = read_schema(tmp_path / "data/ingest")
    assert champion(tmp_path).objection(parse("warm_start")) == ""
    with pytest.raises(
        InputError, match=r"'rehearsal' learns from the champion, and rows.parquet of loans@v1 is neither"
    ):
        entrants(Search(recipes=("warm_start_rehearsal",)), schema, ("mlp",), champion=champion(tmp_path))
    # Of what v2 learned all but its own memory is in the data; of what it rehearsed nothing is known here.
    assert taken(tmp_path, "v2")["memory"]["why"].startswith("what loans@v2 rehearsed itself is neither")
    held = Today(v1_training_rows(second), schema)
    v1 = read_record(open_registry(f"file://{second}/registry"), "loans@v1")
    assert remember(v1, second, held, MEMORY, 0)[1]["why"].startswith("no row that loans@v1 learned")


def test_a_start_that_is_not_what_was_recorded_is_never_used(second, tmp_path):
    from tasks.registry import CorruptError

    registry = open_registry(f"file://{second}/registry")
    record = read_record(registry, "loans@v2")
    other = changed(record, tmp_path / "version", "start", lambda note: note.update(digest="0" * 64))
    with pytest.raises(CorruptError, match=r"learned from loans@v1.*is another"):
        _bring_start(other, Wanted(tmp_path, registry=registry), tmp_path)


def champion(root: Path, model: Model | None = None) -> Champion:
    found = read_champion(
        root / "data/start", read_schema(root / "data/ingest"), model or Model(learners=("mlp",), hidden=(16,))
    )
    assert isinstance(found, Champion)
    return found


def test_a_warm_started_net_without_a_step_says_what_the_champion_says(second):
    """Its rows are encoded as for the champion, although the training rows are others."""
    from models.adjustment import average
    from models.learners.learner import Member, Plan
    from models.learners.torch import MLP

    known, schema = champion(second), read_schema(second / "data/ingest")
    rows = rows_of(read_rows(second / "data/ingest"), second / "data/split", "train")
    split_ = encoded(known.encoding(), rows, known)
    plan = Plan(budget=1, hidden=(16,), champion=known.nets[:1])
    still = Member({"learning_rate": 0.0, "weight_decay": 0.0}, 0)
    model = MLP().fit(parse("warm_start"), [still], split_, split_, known.encoding().inputs, plan)[0].model
    alone = replace(known, predictor=replace(known.predictor, models=known.nets[:1]))
    torch.testing.assert_close(average([model], split_).log_probabilities.float(), alone.said(rows))
    assert Preprocessor.fit(rows, schema, False).encode(rows).numeric.shape == split_.numeric.shape


def test_what_cannot_learn_from_the_champion_is_left_out_with_the_reason_or_refused(second):
    schema = read_schema(second / "data/ingest")
    wide = champion(second, Model(learners=("mlp",), hidden=(32,)))
    search = Search(recipes=("warm_start", "distillation"), unsuitable="leave_out")
    found = {pick.recipe: pick for pick in entrants(search, schema, ("mlp",), champion=wide).picks}
    assert found["distillation"].chosen
    assert not found["warm_start"].chosen
    assert "the champion's net has hidden [16], and here it would be [32]" in found["warm_start"].why
    trees = champion(second, Model(learners=("trees",)))
    assert "champion v1 is of the learner mlp, which model.learners leaves out" in trees.objection(parse("warm_start"))
    with pytest.raises(InputError, match=r"'warm_start' learns from the champion, and retrain.start names no version"):
        entrants(Search(recipes=("warm_start",)), schema, ("mlp",))


def test_auto_goes_on_from_the_champion_where_there_is_one_and_not_otherwise(second):
    schema, known = read_schema(second / "data/ingest"), champion(second, Model(hidden=(16,)))
    rows = rows_of(read_rows(second / "data/ingest"), second / "data/split", "train")
    search = Search(recipes="auto")
    with_one = entrants(search, schema, ("auto",), lambda: rows, known)
    learning = [name for name, recipe in with_one.recipes.items() if recipe.reads_champion]
    assert learning
    assert any("there is champion v1 to learn from" in pick.why for pick in with_one.picks if pick.chosen)
    without = entrants(search, schema, ("auto",), lambda: rows)
    assert not any(recipe.reads_champion for recipe in without.recipes.values())
    assert {p.why for p in without.picks if p.recipe == "distillation"} == {"no champion is learned from"}


def taken(root: Path, start_at: str | None, name: str = "loans") -> dict[str, Any]:
    """What the stage `start` leaves in a copy of the working copy's rows."""
    chosen = parse_params(
        {
            "search": {"recipes": ["none"]}, "gates": SMALL["gates"], "retrain": Retrain(start=start_at).model_dump(),
            "registry": {"url": f"file://{root}/registry", "name": name},
        }
    )  # fmt: skip
    start.STAGE.execute(chosen, root)
    return json.loads((root / "data/start/start.json").read_text())


def test_the_version_is_pinned_and_one_that_does_not_fit_is_said(second, tmp_path):
    shutil.copytree(second / "registry", tmp_path / "registry")
    for folder in ("ingest", "split"):
        shutil.copytree(second / "data" / folder, tmp_path / "data" / folder)
    assert taken(tmp_path, None)["why"] == "retrain.start names no version"
    assert not (tmp_path / "data/start/predictor").exists()
    assert taken(tmp_path, "champion")["version"] == "v2"
    assert taken(tmp_path, "v1")["version"] == "v1"
    assert (tmp_path / "data/start/predictor/weights.safetensors").exists()
    assert taken(tmp_path, "champion", "others")["why"] == "others has no version 'champion' yet"
    with pytest.raises(InputError, match="loans has no version 'v9'"):
        taken(tmp_path, "v9")
    write_json(tmp_path / "data/ingest/schema.json", toy_schema(("no", "yes")).model_dump(mode="json"))
    assert "does not fit these data: it predicts" in taken(tmp_path, "champion")["why"]


def test_a_champion_that_learned_rows_which_now_judge_is_not_learned_from(second, tmp_path):
    """The months that v1 learned, split anew by chance: some rows that it learned are test rows now."""
    shutil.copytree(second / "registry", tmp_path / "registry")
    for module in (ingest, split):
        write_json(tmp_path / "data/validate/results.json", {})
        module.STAGE.execute(params(tmp_path, ["none"], until="2024-07-01", seed=1), tmp_path)
    why = taken(tmp_path, "v1")["why"]
    assert "loans@v1: it learned from" in why
    assert "data.since" in why
    assert not (tmp_path / "data/start/predictor").exists()
    # Split as it was when the champion learned, no row has changed sides.
    shutil.rmtree(tmp_path / "data")
    for folder in ("ingest", "split"):
        shutil.copytree(second / "data" / folder, tmp_path / "data" / folder)
    assert taken(tmp_path, "v2")["why"] == ""
    (tmp_path / "version").mkdir()
    data = read_rows(tmp_path / "data/ingest"), tmp_path / "data/split"
    assert known_rows(tmp_path / "version", *data).startswith("it does not say which rows it learned")
