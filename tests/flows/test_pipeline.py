"""dvc.yaml, the stages and the drivers say the same: nothing is written in two places that can drift apart."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows import pipeline
from flows.pipeline import PIPELINE
from tasks import identity
from tasks.params import SECTIONS, read_yaml
from tasks.stage import Stage

FRAME = frozenset(
    {"tasks/params/__init__.py", "tasks/stage.py", "tasks/progress.py", "tasks/__init__.py", "models/errors.py"}
)
"""How a stage is called, told its parameters and heard: it imports far, and decides nothing of what comes out."""

NOT_IMPORTED: dict[str, tuple[str, ...]] = {
    "ingest": ("data/catalog.yaml",),
    "resample": ("models/balancing",),
    "report": ("tasks/reporting/style.css", "tasks/reporting/templates"),
    **dict.fromkeys(("tune", "train", "evaluate"), ("models/balancing", "models/learners", "models/nets")),
}
"""What a stage reads or imports by a name that it makes up: data files, templates, and the methods that are discovered."""


@pytest.fixture(scope="module")
def entries(repository: Path) -> dict[str, dict[str, Any]]:
    """The stages of dvc.yaml."""
    stages: dict[str, dict[str, Any]] = read_yaml(repository / "dvc.yaml")["stages"]
    return stages


@pytest.fixture(scope="module")
def stages() -> dict[str, Stage]:
    """The stages themselves."""
    return {step.name: step.stage() for step in PIPELINE}


def paths(items: list[Any]) -> set[str]:
    """The paths of a list of dvc.yaml, in which an item may carry options."""
    return {item if isinstance(item, str) else next(iter(item)) for item in items}


def test_the_order_and_the_names_agree(entries: dict[str, Any], stages: dict[str, Stage]) -> None:
    names = [step.name for step in PIPELINE]
    assert list(entries) == names
    assert [stage.name for stage in stages.values()] == names
    assert tuple(names) == identity.STAGES
    for name in names:
        assert entries[name]["cmd"].endswith(f" tasks.{name}")


def test_each_stage_lists_exactly_its_parameters(entries: dict[str, Any], stages: dict[str, Stage]) -> None:
    for name, stage in stages.items():
        assert set(entries[name]["params"]) == set(stage.sections), name
        assert set(stage.sections) <= set(SECTIONS), name


def test_each_stage_lists_exactly_its_inputs(entries: dict[str, Any], stages: dict[str, Stage]) -> None:
    for name, stage in stages.items():
        code = {
            path
            for path in entries[name].get("deps", [])
            if not path.startswith("data/") or Path(path).suffix in {".py", ".yaml"}
        }
        assert set(entries[name].get("deps", [])) - code == set(stage.inputs.values()), name


def test_each_stage_lists_exactly_its_outputs(entries: dict[str, Any], stages: dict[str, Stage]) -> None:
    for name, stage in stages.items():
        listed = [item for kind in ("outs", "metrics", "plots") for item in entries[name].get(kind, [])]
        assert paths(listed) == set(stage.outputs.values()), name


def test_an_input_is_an_earlier_stages_output(stages: dict[str, Stage]) -> None:
    made: set[str] = set()
    for name, stage in stages.items():
        for path in stage.inputs.values():
            assert any(path == out or path.startswith(f"{out}/") for out in made), f"{name}: {path}"
        made |= set(stage.outputs.values())


def test_what_a_run_is_summed_up_from_is_written_by_the_stages(stages: dict[str, Stage]) -> None:
    outputs = {path for stage in stages.values() for path in stage.outputs.values()}
    named = [value.as_posix() for value in vars(pipeline).values() if isinstance(value, Path)]
    assert len(named) >= 6
    for path in named:
        assert any(path == out or path.startswith(f"{out}/") for out in outputs), path


@pytest.mark.parametrize("name", [step.name for step in PIPELINE])
def test_a_change_of_its_code_makes_a_stage_due(repository: Path, entries: dict[str, Any], name: str) -> None:
    listed = entries[name]["deps"]
    needed = {
        path.relative_to(repository).as_posix() for path in closure(repository, repository / "tasks" / f"{name}.py")
    }
    needed = {
        path for path in needed if Path(path).name != "__init__.py" or len((repository / path).read_text().split()) > 30
    }
    needed |= {f"tasks/{name}.py", "tasks/params/__init__.py", *NOT_IMPORTED.get(name, ())}
    needed -= FRAME - {"tasks/params/__init__.py"}
    uncovered = sorted(p for p in needed if not any(p == dep or p.startswith(f"{dep}/") for dep in listed))
    assert not uncovered, f"dvc.yaml: {name}: add to deps: {uncovered}"


@pytest.mark.parametrize("name", [step.name for step in PIPELINE])
def test_no_stage_depends_on_code_that_is_not_there(repository: Path, entries: dict[str, Any], name: str) -> None:
    for path in entries[name]["deps"]:
        if path.startswith(("tasks", "models")):
            assert (repository / path).exists(), path


def test_git_ignores_what_the_stages_write(repository: Path, stages: dict[str, Stage]) -> None:
    outputs = [path for stage in stages.values() for path in stage.outputs.values()]
    ignored = subprocess.run(
        ["git", "check-ignore", *outputs], cwd=repository, capture_output=True, text=True, check=False
    )
    assert set(ignored.stdout.split()) == set(outputs)


def test_dvc_reads_the_pipeline(repository: Path, tmp_path: Path) -> None:
    """DVC itself finds the same graph; in a copy, so that nobody's working copy is locked."""
    for name in ("dvc.yaml", "params.yaml", ".dvcignore"):
        (tmp_path / name).write_bytes((repository / name).read_bytes())
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    command = [sys.executable, "-m", "dvc", "stage", "list", "--name-only"]
    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert listed.returncode == 0, listed.stderr
    assert set(listed.stdout.split()) == {step.name for step in PIPELINE}


def closure(root: Path, module: Path) -> set[Path]:
    """The project's own modules that importing `module` can bring in, functions included, and not through the frame."""
    todo, found = [module], set()
    while todo:
        path = todo.pop()
        if path in found or path.relative_to(root).as_posix() in FRAME:
            continue
        found.add(path)
        for name in _imports(ast.parse(path.read_text(encoding="utf-8"))):
            parts = name.split(".")
            if parts[0] in ("tasks", "models", "data"):
                todo += [p for n in range(1, len(parts) + 1) if (p := _module(root, parts[:n])) is not None]
    return found


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from _imports(node)


def _module(root: Path, parts: list[str]) -> Path | None:
    path = root.joinpath(*parts)
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((c for c in candidates if c.exists()), None)
