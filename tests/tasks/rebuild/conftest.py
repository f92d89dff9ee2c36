"""Two registered versions of a small model in a git repository: real rows, real predictors, real register stage."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tasks.evaluate import STAGE as EVALUATE
from tasks.params import Params
from tasks.register import STAGE as REGISTER
from tasks.registry import Registry, open_registry
from tasks.stage import read_json, write_json


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


class Project:
    """A working copy with what the stages before `register` leave, and its registry."""

    def __init__(self, root: Path, params: Callable[..., Params]) -> None:
        self.root = root
        self._params = params

    @property
    def registry(self) -> Registry:
        return open_registry("file://registry", self.root)

    def register(self, champion: str | None = None, **sections: Any) -> str:
        """Judge what is there and register it; the version."""
        params = self._params(registry={"name": "toy"}, **sections)
        EVALUATE.execute(params, self.root)
        data = self.root / "data"
        write_json(data / "ingest/card.json", {"dataset": "toy", "rows": 2400, "classes": {"no": 1680, "yes": 720},
                                               "source": {"format": "csv", "files": [{"name": "toy.csv", "sha256": "a" * 64}]}})  # fmt: skip
        write_json(data / "tune/trials.json", {"trials": [{"trial": 0}, {"trial": 1}]})
        write_json(
            data / "tune/choice.json",
            {"trial": 1, "recipe": "none", "learner": "mlp", "values": {"learning_rate": 0.01}},
        )
        write_json(data / "audit/audit.json", {"attributes": {}})
        known = {"version": champion} if champion else None
        write_json(data / "gate/verdict.json", {"verdict": "pass", "champion": known, "rules": [], "summary": "Good."})
        (data / "report").mkdir(exist_ok=True)
        (data / "report/report.html").write_text("<p>report</p>")
        REGISTER.execute(params, self.root)
        version: str = read_json(data / "register/registration.json")["version"]
        return version


@pytest.fixture
def project(trained_copy: Callable[..., Path], toy_params: Callable[..., Params]) -> Project:
    """Nothing is registered yet; one commit."""
    root = trained_copy()
    git(root, "init", "--quiet")
    (root / ".gitignore").write_text("/registry/\n/data/\n")
    (root / "model.py").write_text("x = 1\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    return Project(root, toy_params)


@pytest.fixture
def other_model() -> Callable[[Project], None]:
    """Train another model on the same rows in the project's place."""

    def train(project: Project) -> None:
        from tests.tasks.conftest import toy_predictor, toy_schema

        root = project.root
        rows = pd.read_parquet(root / "data/ingest/rows.parquet")
        parts = pd.read_parquet(root / "data/split/split.parquet")["part"]
        toy_predictor(rows[parts == "train"], toy_schema(("no", "yes")), seed=7).save(root / "data/train/predictor")

    return train
