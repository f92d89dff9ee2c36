"""The identity of a version: what it says of code, data and secrets."""

import hashlib
import os
import platform
import subprocess
from pathlib import Path

import pytest

from tasks.identity import code, identity, libraries, redacted, sums


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A working copy with one commit."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "model.py").write_text("x = 1\n")
    (tmp_path / "params.yaml").write_text("seed: 0\n")
    (tmp_path / ".gitignore").write_text("/registry/\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_a_clean_copy_is_its_commit(copy):
    found = code(copy)
    assert found["commit"] == git(copy, "rev-parse", "HEAD")
    assert (found["dirty"], found["changed"], found["difference_sha256"], found["note"]) == (False, [], None, "")


def test_changed_deleted_staged_and_new_source_files_are_in_the_difference(copy):
    (copy / "gone.py").write_text("y")
    git(copy, "add", "gone.py")
    git(copy, "commit", "--quiet", "-m", "second")
    (copy / "gone.py").unlink()
    (copy / "model.py").write_text("x = 2\n")
    (copy / "new.py").write_text("z")
    (copy / "staged.py").write_text("s")
    git(copy, "add", "staged.py")
    found = code(copy)
    assert found["dirty"] is True
    assert found["changed"] == ["gone.py", "model.py", "new.py", "staged.py"]
    assert len(found["difference_sha256"]) == 64


def test_the_difference_depends_on_the_content_of_every_changed_file(copy):
    seen = set()
    for model, new in (("x = 2", "a"), ("x = 3", "a"), ("x = 2", "b")):
        (copy / "model.py").write_text(model)
        (copy / "new.py").write_text(new)
        seen.add(code(copy)["difference_sha256"])
        assert code(copy)["difference_sha256"] in seen
    assert len(seen) == 3


def test_parameters_products_of_runs_and_tables_are_not_code(copy):
    (copy / "params.yaml").write_text("seed: 1\n")
    (copy / "dvc.lock").write_text("x")
    (copy / "data/train").mkdir(parents=True)
    (copy / "data/train/summary.json").write_text("{}")
    (copy / "registry").mkdir()
    (copy / "registry/manifest.json").write_text("{}")
    (copy / "mine.csv").write_text("a,b")
    (copy / "mine.yaml").write_text("data: {path: mine.csv}\n")
    assert code(copy)["dirty"] is False
    (copy / "data/catalog.yaml").write_text("x: 1\n")
    (copy / "dvc.yaml").write_text("stages: {}\n")
    assert code(copy)["changed"] == ["data/catalog.yaml", "dvc.yaml"]


def test_odd_file_names_are_taken_as_they_are(copy):
    (copy / "a b\nc.py").write_text("x")
    (copy / "ü.py").write_text("x")
    assert code(copy)["changed"] == ["a b\nc.py", "ü.py"]


def test_a_repository_without_a_commit_says_so(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "model.py").write_text("x")
    found = code(tmp_path)
    assert (found["commit"], found["dirty"], found["changed"]) == (None, True, ["model.py"])
    assert "no commit yet" in found["note"]


def test_outside_a_repository_it_says_so(tmp_path):
    found = code(tmp_path)
    assert (found["commit"], found["dirty"]) == (None, None)
    assert "not a git repository" in found["note"]


def test_without_git_it_says_so(copy, monkeypatch):
    monkeypatch.setenv("PATH", str(copy / "nothing"))
    found = code(copy)
    assert found["commit"] is None
    assert "git is not installed" in found["note"]


def test_the_repository_of_a_hook_is_not_mistaken_for_the_working_copy(copy, tmp_path_factory, monkeypatch):
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "--quiet")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert code(copy)["dirty"] is False


def test_nothing_is_written_into_the_repository(copy):
    before = {p: p.stat().st_mtime_ns for p in (copy / ".git").rglob("*")}
    os.utime(copy / "model.py")
    code(copy)
    assert {p: p.stat().st_mtime_ns for p in (copy / ".git").rglob("*")} == before


def test_credentials_of_the_remote_are_taken_out(copy):
    git(copy, "remote", "add", "origin", "https://me:t0ken@example.org/a/b.git")
    assert code(copy)["remote"] == "https://example.org/a/b.git"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("https://user:pass@host/x.csv", "https://host/x.csv"),
        ("https://token@host:8443/x.csv", "https://host:8443/x.csv"),
        (
            "https://host/x.csv?part=2&X-Amz-Signature=abc&sig=q",
            "https://host/x.csv?part=2&X-Amz-Signature=REDACTED&sig=REDACTED",
        ),
        ("see s3://AKIA:xyz@bucket/key now", "see s3://bucket/key now"),
        ("https://user:pass@[broken/x", "https://REDACTED"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
        ("https://host/x.csv?version=3#top", "https://host/x.csv?version=3#top"),
        ("no address", "no address"),
    ],
)
def test_secrets_in_addresses_are_taken_out(given, shown):
    assert redacted(given) == shown
    assert redacted({"a": [given, 1, None], "b": (given,)}) == {"a": [shown, 1, None], "b": [shown]}


def test_what_the_environment_keeps_secret_is_taken_out_of_any_text(monkeypatch):
    for name, value in (
        ("AWS_SECRET_ACCESS_KEY", "wJalr/XUtnFEMI"), ("EQUIPOISE_WEBHOOK", "https://hooks/B0/s3cr3t"),
        ("GIT_TOKEN", "short"), ("RAY_AUTH_TOKEN_PATH", "/etc/ray/token"), ("AWS_ACCESS_KEY_ID", "equipoise"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    said = "equipoise: wJalr/XUtnFEMI, ?x=wJalr%2FXUtnFEMI, https://hooks/B0/s3cr3t, /etc/ray/token, short"
    assert redacted([said]) == ["equipoise: REDACTED, ?x=REDACTED, REDACTED, /etc/ray/token, short"]


def test_of_a_secret_that_is_an_address_not_even_the_path_is_said(monkeypatch):
    for address in ("https://h/B0/s3cr3t?token=abc12345", "https://me:pass@h/B0/s3cr3t"):
        monkeypatch.setenv("EQUIPOISE_WEBHOOK", address)
        assert redacted(f"{address} did not answer") == "REDACTED did not answer"


@pytest.mark.parametrize(
    ("name", "value", "hidden"),
    [
        ("VAULT_SECRET_ID", "5e3f-0001", True),
        ("S3_ACCESS_KEY", "5e3f-0001", True),
        ("DB_PWD", "5e3f-0001", True),
        ("DB_PASS", "5e3f-0001", True),
        ("SSH_PASSPHRASE", "correcthorsebattery", True),
        ("AWS_ACCESS_KEY_ID", "5e3f-0001", False),
        ("API_TOKEN_ID", "5e3f-0001", False),
        ("PGPASSWORD", "postgres", False),
        ("DB_PASSWORD", "changeme", False),
        ("DB_PASSWORD", "changeme1", True),
    ],
)
def test_which_variables_hold_secrets_and_which_values_are_none(monkeypatch, name, value, hidden):
    monkeypatch.setenv(name, value)
    assert redacted(f"see {value}.") == ("see REDACTED." if hidden else f"see {value}.")


def test_a_path_of_what_is_there_is_no_secret(monkeypatch, tmp_path):
    key = tmp_path / "key.json"
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    assert redacted(f"{key}") == "REDACTED"
    key.touch()
    assert redacted(f"{key}") == str(key)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "not-yet"))
    monkeypatch.setenv("OLDPWD", str(tmp_path / "left-again"))
    said = f"{tmp_path}/not-yet {tmp_path}/left-again"
    assert redacted(said) == said


def test_tables_are_known_by_both_sums(tmp_path):
    table = tmp_path / "rows.parquet"
    table.write_bytes(b"abc")
    assert sums(table) == {
        "sha256": hashlib.sha256(b"abc").hexdigest(), "md5": hashlib.md5(b"abc").hexdigest(), "bytes": 3,
    }  # fmt: skip


def test_libraries_and_the_lock_are_recorded_and_the_machine_is_not_named(copy):
    found = identity(copy, {"seed": 0}, {}, {"format": "csv"}, {"seed": 0}, "cpu")
    assert found["libraries"] == libraries()
    assert found["libraries"]["python"] == platform.python_version()
    assert {"torch", "scikit-learn", "numpy"} <= set(found["libraries"])
    assert found["lock"] == {"requirements.lock": None}
    assert found["platform"]["device"] == "cpu"
    assert platform.node() not in str(found)
    assert str(copy) not in str(found)
