"""DVC's remote in a bucket: what one working copy pushes another pulls, and a version's data come back from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.rebuild.tables import restore
from tests.s3_server import BUCKET


def run(folder: Path, *words: str) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, env=os.environ | {"DVC_NO_ANALYTICS": "1"})
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def dvc(folder: Path, *words: str) -> str:
    return run(folder, sys.executable, "-m", "dvc", *words)


@pytest.mark.slow
def test_data_go_through_the_remote_into_another_clone_and_back_by_their_sums(bucket, tmp_path, monkeypatch):
    (tmp_path / "aws").touch()
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "aws"))  # DVC wants it to be a file
    one, two = tmp_path / "one", tmp_path / "two"
    (one / "data").mkdir(parents=True)
    run(one, "git", "init", "--quiet")
    dvc(one, "init", "--quiet")
    dvc(one, "remote", "add", "--default", "storage", f"s3://{BUCKET}/{bucket.prefix}/dvc")
    (one / "data/rows.bin").write_bytes(b"rows" * 1000)
    dvc(one, "add", "--quiet", "data")
    run(one, "git", "add", ".")
    run(one, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "-m", "data")
    assert "file" in dvc(one, "push")
    run(tmp_path, "git", "clone", "--quiet", str(one), str(two))
    dvc(two, "pull", "--quiet")
    assert (two / "data/rows.bin").read_bytes() == b"rows" * 1000
    name = next(line.split()[-1] for line in (two / "data.dvc").read_text().splitlines() if "md5:" in line)
    run(two, "rm", "-rf", ".dvc/cache")
    assert restore(two, name, tmp_path / "back") == "DVC's remote"
    assert (tmp_path / "back/rows.bin").read_bytes() == b"rows" * 1000
    assert "moto-secret" not in (one / ".dvc/config").read_text()
