"""What leads back from a version: lineage, differences, uncommitted changes, the commit, the data, and the comparison."""

from __future__ import annotations

import hashlib
import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from models.errors import InputError
from tasks.changes import apply, keep
from tasks.rebuild.checkout import check_out
from tasks.rebuild.compare import DOCUMENTS, TABLES, compare
from tasks.rebuild.difference import difference
from tasks.rebuild.lineage import as_html, as_svg, as_tree, stations
from tasks.rebuild.record import read_record
from tasks.rebuild.rerun import _run
from tasks.rebuild.tables import restore
from tasks.registry import CorruptError
from tests.tasks.rebuild.conftest import git


def test_the_lineage_leads_from_the_data_to_the_version(project):
    project.register()
    record = read_record(project.registry, "toy@champion")
    tree = as_tree(stations(record))
    commit = git(project.root, "rev-parse", "HEAD")
    for line in (
        "Data: toy", "└─ Splits: stratified", "   └─ Recipe: none with mlp", "      └─ Version: toy@v1", "aliases champion",
        f"code {commit[:12]}", "trial 1 of 2", "learning_rate 0.01", "2 400 rows",
    ):  # fmt: skip
        assert line in tree.replace("\u202f", " ").replace("\u00a0", " ").replace("2,400", "2 400"), tree
    picture = as_svg(stations(record), "Lineage of <toy>")
    names = [element.text for element in ElementTree.fromstring(str(picture)).iter() if element.get("class") == "name"]
    assert names == ["toy", "stratified", "none with mlp", "toy@v1"]
    assert "http" not in as_html(stations(record), "x").replace("http://www.w3.org/2000/svg", ""), (
        "nothing from elsewhere"
    )


def test_differences_are_paired_on_the_same_rows_and_those_of_a_version_with_itself_are_none(project, other_model):
    project.register()
    other_model(project)
    project.register(champion="v1", seed=3)
    first, second = (read_record(project.registry, f"toy@v{n}") for n in (1, 2))
    found = difference(first, second, project.root)
    assert found["params"]["seed"] == {"a": 0, "b": 3}
    assert found["code"] == {} == found["data"]
    assert found["paired"]["rows"] == 800
    paired = {d["metric"]: d for d in found["paired"]["differences"] if d["attribute"] is None}
    for metric in ("accuracy", "roc_auc", "log_loss"):
        recorded = found["metrics"][metric]
        assert paired[metric]["difference"] == pytest.approx(recorded["b"] - recorded["a"], abs=1e-5)
        assert paired[metric]["low"] <= paired[metric]["difference"] <= paired[metric]["high"]
    assert {d["attribute"] for d in found["paired"]["differences"]} == {None, "race", "age_group"}
    same = difference(first, first, project.root)
    assert same["same_content"]
    assert all(d["difference"] in (0, None) for d in same["paired"]["differences"])
    (project.root / "data/ingest/rows.parquet").unlink()
    gone = difference(first, second, project.root)["paired"]
    assert gone["differences"] == []
    assert "rows.parquet of toy@v2 is neither here nor with DVC" in gone["note"]


def test_a_clean_version_is_cloned_at_its_commit(project, tmp_path):
    project.register()
    (project.root / "model.py").write_text("x = 2\n")
    git(project.root, "commit", "--quiet", "-am", "second")
    check_out(read_record(project.registry, "toy@v1"), str(project.root), tmp_path / "clone", False)
    assert (tmp_path / "clone/model.py").read_text() == "x = 1\n"


def test_uncommitted_changes_are_seen_kept_and_only_run_when_that_is_wanted(project, tmp_path):
    (project.root / "model.py").write_text("x = 2\n")
    (project.root / "new.py").write_text("y = 1\n")
    project.register()
    record = read_record(project.registry, "toy@v1")
    assert record.loaded.manifest.summary["dirty"] is True
    with pytest.raises(InputError, match=r"uncommitted changes \(2: model\.py, new\.py\).*--with-changes"):
        check_out(record, str(project.root), tmp_path / "a", False)
    assert not (tmp_path / "a").exists()
    check_out(record, str(project.root), tmp_path / "b", True)
    assert (tmp_path / "b/model.py").read_text() == "x = 2\n"
    assert (tmp_path / "b/new.py").read_text() == "y = 1\n"


def test_changes_that_may_hold_a_secret_are_not_kept_and_the_version_cannot_be_rebuilt(project, tmp_path):
    (project.root / "model.py").write_text('password = "hunter2hunter2"\n')
    project.register()
    everything = b"".join(p.read_bytes() for p in (project.root / "registry").rglob("*") if p.is_file())
    assert b"hunter2" not in everything
    with pytest.raises(InputError, match=r"may hold a secret.*Commit before you register"):
        check_out(read_record(project.registry, "toy@v1"), str(project.root), tmp_path / "a", True)


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil", ".git/hooks/post-checkout", ".dvc/config", ""])
def test_changes_cannot_lead_out_of_the_clone_or_into_what_git_and_dvc_run(tmp_path, name):
    with pytest.raises(CorruptError, match="Nothing was run"):
        apply(tmp_path, {name: {"text": "x"}})
    assert list(tmp_path.iterdir()) == []


def test_changed_deleted_and_binary_files_are_kept_as_they_are(tmp_path):
    (tmp_path / "a.py").write_text("a\n")
    (tmp_path / "b.bin").write_bytes(b"\xff\x00")
    kept = json.loads(json.dumps(keep(tmp_path, ["a.py", "b.bin", "gone.py"])))
    target = tmp_path / "clone"
    target.mkdir()
    (target / "gone.py").write_text("x")
    apply(target, kept["files"])
    assert (target / "a.py").read_text() == "a\n"
    assert (target / "b.bin").read_bytes() == b"\xff\x00"
    assert not (target / "gone.py").exists()


def test_a_commit_that_is_unknown_or_none_is_said(project, tmp_path):
    project.register()
    record = read_record(project.registry, "toy@v1")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    git(other, "commit", "--quiet", "--allow-empty", "-m", "other")
    with pytest.raises(InputError, match="does not have the commit"):
        check_out(record, str(other), tmp_path / "a", False)
    with pytest.raises(InputError, match="cannot be cloned"):
        check_out(record, str(tmp_path / "nothing"), tmp_path / "b", False)
    record.identity["code"] = {"commit": "--upload-pack=evil"}
    with pytest.raises(CorruptError, match="cannot be one"):
        check_out(record, str(project.root), tmp_path / "c", False)
    record.identity["code"] = {"commit": None, "note": "git is not installed"}
    with pytest.raises(InputError, match="git is not installed"):
        check_out(record, str(project.root), tmp_path / "d", False)


def test_a_stage_is_done_again_whatever_a_remote_has_of_it(tmp_path, monkeypatch):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks/probe.py").write_text(
        "import os; open('seen', 'w').write(os.environ.get('EQUIPOISE_REMOTE', ''))"
    )
    monkeypatch.setenv("EQUIPOISE_REMOTE", str(tmp_path / "remote"))
    _run("probe", tmp_path, tmp_path)
    assert (tmp_path / "seen").read_text() == ""


@pytest.fixture
def rebuilt(project, tmp_path):
    """A record, and a copy of what it was made from, as a perfect rebuild would leave it."""
    project.register()
    record = read_record(project.registry, "toy@v1")
    shutil.copytree(project.root / "data", tmp_path / "clone/data")
    return record, tmp_path / "clone"


def test_a_rebuild_that_is_the_same_bit_for_bit_says_so(rebuilt):
    record, clone = rebuilt
    found = compare(record, clone, 0.01, frozenset())
    assert found.identical
    assert found.same
    compared = {one.file for one in found.files}
    assert compared == {*TABLES, *DOCUMENTS, "predictor/predictor.json", "predictor/weights.safetensors"}


def test_a_single_other_bit_is_a_difference_here_and_within_the_tolerance_elsewhere(rebuilt):
    record, clone = rebuilt
    weights = clone / "data/train/predictor/weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    metrics = clone / "data/evaluate/metrics.json"
    written = json.loads(metrics.read_text())
    metrics.write_text(json.dumps({**written, "accuracy": written["accuracy"] + 0.004}))
    here = compare(record, clone, 0.01, frozenset())
    assert not here.same
    assert {one.file for one in here.files if not one.same} == {"predictor/weights.safetensors", "metrics.json"}
    record.identity["libraries"]["torch"] = "1.0"
    elsewhere = compare(record, clone, 0.01, frozenset())
    assert elsewhere.elsewhere["torch"][0] == "1.0"
    assert elsewhere.same
    assert not elsewhere.identical
    assert not compare(record, clone, 0.001, frozenset()).same
    (clone / "data/ingest/rows.parquet").write_bytes(b"other rows")
    assert not compare(record, clone, 0.01, frozenset()).same, (
        "other data are not the same version, whatever the figures"
    )


def test_data_come_back_from_the_cache_whole_and_checked_or_not_at_all(tmp_path):
    from dvc.repo import Repo

    root = tmp_path / "copy"
    (root / "data/ingest").mkdir(parents=True)
    git(root, "init", "--quiet")
    repo = Repo.init(str(root))
    (root / "data/ingest/rows.parquet").write_bytes(b"rows")
    (root / "data/ingest/schema.json").write_text("{}")
    (stage,) = repo.add(str(root / "data/ingest"))
    name = stage.outs[0].hash_info.value
    repo.close()
    assert name.endswith(".dir")
    assert restore(root, name, tmp_path / "back") == "DVC's cache"
    assert (tmp_path / "back/rows.parquet").read_bytes() == b"rows"
    assert restore(root, "0" * 32, tmp_path / "none") is None
    assert restore(root, "../../etc/passwd", tmp_path / "none") is None
    sum_ = hashlib.md5(b"rows").hexdigest()
    cached = Path(root / f".dvc/cache/files/md5/{sum_[:2]}/{sum_[2:]}")
    cached.chmod(0o644)
    cached.write_bytes(b"swor")
    assert restore(root, name, tmp_path / "damaged") is None
