"""A working copy whose stages are small: real Stage objects, real git, DVC, registry and Prefect, nothing to train.

The stages write what the real ones write where the drivers look at it. `ran.log` counts their executions; a stage waits
while a file `hold-<stage>` exists, and fails, or refuses, while `fail-<stage>`, or `refuse-<stage>`, does. What a file `said`
holds is in the words of trials, verdict and failures.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

STAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "ingest": (("seed", "data"), (), ("data/ingest",)),
    "validate": (("checks",), ("data/ingest",), ("data/validate",)),
    "split": (("split",), ("data/ingest", "data/validate"), ("data/split",)),
    "start": (("data", "registry", "retrain"), ("data/split",), ("data/start",)),
    "resample": (("resample",), ("data/split", "data/start"), ("data/resample",)),
    "tune": (("seed", "search"), ("data/resample",), ("data/tune/trials.json", "data/tune/choice.json")),
    "train": (("seed", "model"), ("data/tune/choice.json",), ("data/train",)),
    "evaluate": (("evaluate",), ("data/train",), ("data/evaluate/metrics.json",)),
    "audit": (("evaluate",), ("data/evaluate/metrics.json",), ("data/audit",)),
    "gate": (("seed", "data", "gates", "registry"), ("data/evaluate/metrics.json",), ("data/gate/verdict.json",)),
    "report": (("gates",), ("data/gate/verdict.json",), ("data/report/report.html",)),
    "register": (
        ("data", "registry"),
        ("data/train", "data/gate/verdict.json", "data/report/report.html"),
        ("data/register/registration.json",),
    ),
}

MODULE = """
import logging
import time
from pathlib import Path

from models.errors import RefusedError
from tasks.progress import measured
from tasks.registry import open_registry
from tasks.stage import Stage, read_json, replacing, write_json

NAME = "{name}"


def run(params, inputs, outputs):
    root = next(iter(outputs.values())).resolve()
    while not (root / "dvc.yaml").exists():
        root = root.parent
    with (root / "ran.log").open("a") as file:
        file.write(NAME + "\\n")
    with measured("holding", 100, "steps") as meter:
        while (root / f"hold-{{NAME}}").exists():
            meter.advance(1)
            time.sleep(0.02)
    said = (root / "said").read_text() if (root / "said").exists() else ""
    if said:
        logging.getLogger("equipoise").info("%s", said)
    if (root / f"fail-{{NAME}}").exists():
        raise OSError("the disk is on fire" + said)
    if (root / f"refuse-{{NAME}}").exists():
        raise RefusedError("imbalance_ratio: income: expected at most 10, observed 40")
    sections = {{s: str(getattr(params, s)) for s in STAGE.sections}}
    for path in outputs.values():
        content = {{"stage": NAME, "sections": sections, "inputs": sorted(inputs)}}
        if path.name == "trials.json":
            content = {{"objective": {{"maximize": "accuracy", "subject_to": {{"ece": 0.1}}}}, "trials": [
                {{"trial": "t0", "recipe": "none", "learner": "mlp", "values": {{"said": said}}, "status": "finished", "feasible": True,
                  "violation": 0.0, "metrics": {{"accuracy": 0.8, "ece": None}}}}]}}
        if path.name == "choice.json":
            content = {{"recipe": "none", "learner": "mlp", "seed": params.seed}}
        if path.name == "metrics.json":
            content = {{"accuracy": 0.5 + params.evaluate.confidence / 10, "roc_auc": None}}
        if path.name == "verdict.json":
            registry = open_registry(params.registry.url, root)
            champion = registry.aliases(params.model_name).get("champion")
            verdict = "pass" if params.seed < 100 else "fail"
            rule = {{"rule": {{"metric": "accuracy", "at_least": 0.5}}, "attribute": None, "outcome": verdict,
                     "value": 0.6, "low": 0.5, "high": 0.7, "why": "accuracy is 0.6"}}
            content = {{"verdict": verdict, "champion": champion and {{"version": champion}}, "rules": [rule],
                        "summary": "All is said." + said}}
        if path.name == "registration.json":
            content = register(params, inputs, root)
        if path.suffix == ".html":
            with replacing(path) as temporary:
                temporary.write_text("<html></html>")
        elif path.suffix:
            write_json(path, content)
        else:
            with replacing(path) as folder:
                folder.mkdir()
                write_json(folder / "content.json", content)
                if NAME == "ingest":
                    write_json(folder / "card.json", {{"source": {{"files": source(params, root)}}}})


def source(params, root):
    if params.data.path is None:
        return []
    from tasks.sources.files import Locations, locate
    return [{{"name": f.name, "sha256": f.sha256}} for f in locate(params.data, Locations.of_environment()).files]


def register(params, inputs, root):
    verdict = read_json(inputs["verdict"])
    if verdict["verdict"] != "pass":
        return {{"registered": False, "why": "The verdict is fail."}}
    registry = open_registry(params.registry.url, root)
    weights = inputs["train"] / "content.json"
    before = verdict["champion"] and verdict["champion"]["version"]
    summary = {{"recipe": "none", "learner": "mlp", "metrics": {{"balanced_accuracy": 0.7}}, "verdict": "pass"}}
    import hashlib
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    known = registry.version_of_run(params.model_name, digest)
    published = known or registry.publish(params.model_name, {{"predictor/weights.json": weights}}, digest, summary)
    registry.promote(params.model_name, published.version, expected=before)
    return {{"registered": True, "name": params.model_name, "version": published.version, "previous_champion": before}}


STAGE = Stage(name=NAME, run=run, sections={sections!r}, inputs={inputs!r}, outputs={outputs!r})

if __name__ == "__main__":
    STAGE.main()
"""
PATIENCE_SECONDS = 180.0

WITHOUT_PREFECT = """
import logging
import sys
from pathlib import Path
from flows.pipeline import PIPELINE
from flows.run import opened
from models.errors import EquipoiseError
from tasks.overrides import parse_settings

logging.basicConfig(level=logging.INFO, format="%(message)s")
wait, settings = "--wait" in sys.argv, [word for word in sys.argv[1:] if "=" in word]
try:
    with opened(Path.cwd(), parse_settings(settings), wait=wait) as run:
        print("due:", *run.due)
        if "--check" in sys.argv:
            run.check()
        for step in PIPELINE:
            print(step.name, run.bring_up_to_date(step.name))
except EquipoiseError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@dataclass
class SmallCopy:
    """The working copy at `root`, and the commands of a person who works in it."""

    root: Path
    environment: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, *words: str, timeout: float = PATIENCE_SECONDS) -> subprocess.CompletedProcess[str]:
        """`equipoise …` to its end."""
        return self._run([sys.executable, "-c", "from flows.command import main; main()", *words], timeout)

    def stages(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The run without Prefect around it, which takes most of the time."""
        return self._run([sys.executable, "-c", WITHOUT_PREFECT, *words], PATIENCE_SECONDS)

    def begin_stages(self, *words: str) -> subprocess.Popen[str]:
        """The same without waiting for its end."""
        return self._begin([sys.executable, "-c", WITHOUT_PREFECT, *words])

    def python(self, script: str) -> subprocess.CompletedProcess[str]:
        """A script in the working copy, which must succeed."""
        done = self._run([sys.executable, "-c", script], PATIENCE_SECONDS)
        assert done.returncode == 0, done.stderr
        return done

    def dvc(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`dvc …` to its end."""
        return self._run([sys.executable, "-m", "dvc", *words], PATIENCE_SECONDS)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """`equipoise …` without waiting for its end."""
        return self._begin([sys.executable, "-c", "from flows.command import main; main()", *words])

    def prefect(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`prefect …` to its end."""
        return self._run([sys.executable, "-m", "prefect", *words], PATIENCE_SECONDS)

    def begin_prefect(self, *words: str) -> subprocess.Popen[str]:
        """`prefect …` without waiting for its end."""
        return self._begin([sys.executable, "-m", "prefect", *words])

    def begin_dvc(self, *words: str) -> subprocess.Popen[str]:
        """`dvc …` without waiting for its end."""
        return self._begin([sys.executable, "-m", "dvc", *words])

    def executions(self) -> Counter[str]:
        """How often each stage was executed."""
        path = self.root / "ran.log"
        return Counter(path.read_text(encoding="utf-8").split()) if path.exists() else Counter()

    def hold(self, stage: str, what: str = "hold") -> Path:
        """Make a stage wait (or fail, or refuse) until the returned file is removed."""
        path = self.root / f"{what}-{stage}"
        path.touch()
        return path

    def wait_for(self, stage: str, times: int = 1) -> None:
        """Wait until a stage was begun so many times."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self.executions()[stage] < times:
            assert time.monotonic() < end, f"{stage} was not begun"
            time.sleep(0.05)

    def clean(self) -> bool:
        """Whether DVC finds everything up to date."""
        return "up to date" in self.dvc("status").stdout

    def _run(self, words: list[str], timeout: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    def _begin(self, words: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            words,
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefect's database, made once for all tests."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture
def small_copy(tmp_path: Path, repository: Path, prefect_home: Path) -> Iterator[SmallCopy]:
    """A committed working copy in which nothing has run."""
    root = tmp_path / "copy"
    for name in ("flows", "tasks", "models"):
        shutil.copytree(repository / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "data").mkdir()
    (root / "data" / "__init__.py").touch()
    for name in ("params.yaml", ".dvcignore", ".gitignore", "data/catalog.yaml"):
        shutil.copy(repository / name, root / name)
    (root / ".dvc").mkdir()
    shutil.copy(repository / ".dvc" / "config", root / ".dvc" / "config")
    pipeline = ["stages:"]
    for name, (sections, inputs, outputs) in STAGES.items():
        names = {"inputs": {Path(p).parts[1]: p for p in inputs}, "outputs": {Path(p).name: p for p in outputs}}
        text = MODULE.format(name=name, sections=sections, **names)
        if name == "register":
            text = text.replace("{'train': 'data/train', 'gate':", "{'train': 'data/train', 'verdict':")
        (root / "tasks" / f"{name}.py").write_text(text, encoding="utf-8")
        pipeline += [
            f"  {name}:",
            f"    cmd: {sys.executable} -m tasks.{name}",
            "    params:",
            *(f"      - {s}" for s in sections),
        ]
        pipeline += ["    deps:", f"      - tasks/{name}.py", *(f"      - {p}" for p in inputs)]
        pipeline += ["    outs:", *(f"      - {p}" for p in outputs)]
    (root / "dvc.yaml").write_text("\n".join(pipeline) + "\n", encoding="utf-8")
    (root / ".gitignore").write_text(
        (root / ".gitignore").read_text(encoding="utf-8") + "/ran.log\n/said\n/hold-*\n/fail-*\n/refuse-*\n"
    )
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "copy"],
    ):
        subprocess.run(["git", *words], cwd=root, check=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "PYTHONPATH", "EQUIPOISE_"))}
    environment |= {
        "PREFECT_HOME": str(prefect_home),
        "CI": "true",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "240",
    }
    copy = SmallCopy(root, environment)
    yield copy
    for process in copy.started:
        # A killed run leaves its server, which holds the pipe; both are of the session that was begun for the run.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
