"""Reports made by the stage from files like those of a run, with metrics by the project's own functions; and a reader of their HTML."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.metrics.figures import Terms
from models.schema import Attribute, Column, Schema, Target
from tasks.audit import audit
from tasks.evaluate import evaluate
from tasks.gate import outcome_json
from tasks.judge import judge
from tasks.judging import Scores, scores_of
from tasks.params import Gates, Params, Rule, parse_params
from tasks.report import STAGE
from tasks.sources.card import make_card
from tasks.stage import read_json, write_json

LIMITS = {"ece": 0.03, "equalized_odds_difference": 0.1}
TERMS = Terms(draws=60)


GROUPS = {"sex": ("Female", "Male"), "region": ("East", "Islands", "North", "Nowhere")}
SHARES = {"sex": [0.4, 0.6], "region": [0.5, 0.01, 0.49, 0.0]}


@dataclasses.dataclass(frozen=True)
class Case:
    """What varies between the reports."""

    classes: tuple[str, ...] = ("no", "yes")
    groups: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=lambda: GROUPS)
    shares: dict[str, list[float]] = dataclasses.field(default_factory=lambda: SHARES)
    outcome: str = "pass"
    champion: bool = True
    feasible: bool = True
    image: bool = False
    rows: int = 3000


def make_params(sections: dict[str, Any] | None = None, **search: Any) -> Params:
    """Parameters of a small run, with three rules."""
    rules = [
        {"metric": "balanced_accuracy", "at_least": 0.65, "judge_by": "interval"},
        {"metric": "equalized_odds_difference", "at_most": 0.1},
        {"metric": "roc_auc", "worse_by_at_most": 0.01},
    ]
    return parse_params(
        {
            "search": {"recipes": ["ldam_drw"], "subject_to": LIMITS, **search},
            "gates": {"rules": rules},
            **(sections or {}),
        }
    )


def make_schema(classes: tuple[str, ...], attributes: dict[str, tuple[str, ...]], image: bool = False) -> Schema:
    """A table with two features and a dropped column, or images."""
    features = (
        (Column(name="image", kind="image", role="feature"),)
        if image
        else (
            Column(name="income", kind="numeric", role="feature"),
            Column(name="purpose", kind="categorical", role="feature"),
            Column(name="application_id", kind="identifier", role="dropped", note="identifies a row"),
        )
    )
    return Schema(
        dataset="lending",
        columns=(
            *features,
            Column(name="defaulted", kind="categorical", role="target", feature=False),
            *(Column(name=a, kind="categorical", role="sensitive", feature=False) for a in attributes),
        ),
        target=Target(column="defaulted", kind="binary" if len(classes) == 2 else "multiclass", classes=classes),
        sensitive=tuple(Attribute(name=a, groups=g) for a, g in attributes.items()),
    )


def make_predictions(schema: Schema, rows: int, shares: dict[str, list[float]], noise: float = 1.0) -> pd.DataFrame:
    """Scores of a model that is fairly good, and a little worse for the first group of each attribute."""
    rng = np.random.default_rng(3)
    classes = len(schema.target.classes)
    prior = np.array([0.9, 0.1]) if classes == 2 else np.exp(-0.35 * np.arange(classes))
    labels = rng.choice(classes, rows, p=prior / prior.sum())
    groups = {a.name: rng.choice(len(a.groups), rows, p=shares[a.name]) for a in schema.sensitive}
    logits = rng.normal(0, noise, (rows, classes)) + np.log(prior / prior.sum())
    logits[np.arange(rows), labels] += 1.9 - 0.5 * sum((g == 0).astype(float) for g in groups.values())
    scores = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    decisions = (scores[:, 1] > 0.15).astype(int) if classes == 2 else scores.argmax(1)
    columns: dict[str, Any] = {"row_id": np.arange(rows), "label": labels, "decision": decisions}
    columns |= {f"p_{c}": scores[:, c] for c in range(classes)}
    columns |= {a.name: np.array(a.groups)[groups[a.name]] for a in schema.sensitive}
    return pd.DataFrame(columns)


def make_evaluation(scores: Scores) -> dict[str, Any]:
    """evaluation.json with three refits."""
    seeds = [{"seed": s, "metrics": {"balanced_accuracy": 0.7 + 0.01 * s, "ece": 0.02}} for s in (11, 12, 13)]
    return evaluate(scores.scored, scores.classes, TERMS) | {"seeds": seeds}


def make_trials(feasible: bool = True) -> dict[str, Any]:
    """Twenty trials of five recipes, some halved, one failed."""
    rng = np.random.default_rng(5)
    trials = []
    for i in range(20):
        recipe = ("none", "prior_threshold", "ldam_drw", "group_dro", "balanced_softmax")[i % 5]
        value = 0.62 + 0.02 * (i % 5) + float(rng.uniform(0, 0.12))
        metrics = {
            "balanced_accuracy": value,
            "objective_low": value - 0.02,
            "objective_high": value + 0.02,
            "ece": float(rng.uniform(0.005, 0.06)) + (0 if feasible else 0.05),
            "equalized_odds_difference": float(rng.uniform(0.02, 0.16)),
        }
        over = {k: max(0.0, metrics[k] - v) / v for k, v in LIMITS.items()}
        status = "failed" if i == 17 else "halved" if i in (8, 9, 12, 14, 18) else "finished"
        trials.append(
            {
                "trial": i,
                "recipe": recipe,
                "learner": "mlp" if i % 3 else "trees",
                "values": {"loss.gamma": 1.25, "lr": 0.00123456},
                "seed": 1000 + i,
                "round": i // 10,
                "rungs": [],
                "status": status,
                "error": "ran out of memory" if status == "failed" else None,
                "metrics": None if status == "failed" else metrics,
                "violation": None if status == "failed" else sum(over.values()),
                "feasible": status != "failed" and not any(over.values()),
            }
        )
    return {
        "objective": {"maximize": "balanced_accuracy", "subject_to": LIMITS},
        "wall_clock_limited": False,
        "trials": trials,
    }


def make_choice(record: dict[str, Any]) -> dict[str, Any]:
    """The choice of the search from its record."""
    finished = [t for t in record["trials"] if t["status"] == "finished"]
    best = min(
        finished,
        key=lambda t: (not t["feasible"], 0 if t["feasible"] else t["violation"], -t["metrics"]["balanced_accuracy"]),
    )
    return {k: best[k] for k in ("trial", "recipe", "learner", "values", "feasible", "violation", "metrics")} | {
        "why": "Best of those that keep every limit."
    }


def make_verdict(case: Case, scores: Scores, champion: Scores | None) -> dict[str, Any]:
    """verdict.json by the gate's own judgement, of a policy that leads to the outcome of the case."""
    rules = [
        Rule(metric="balanced_accuracy", at_least=0.1, judge_by="interval"),
        Rule(metric="roc_auc", worse_by_at_most=0.2),
    ]
    if case.outcome == "fail":
        rules.append(Rule(metric="log_loss", at_most=0.0001))
    if case.outcome == "insufficient evidence":
        rules.append(Rule(metric="equalized_odds_difference", at_most=1, attribute="region"))
    verdict = judge(scores, champion, Gates(rules=tuple(rules), insufficient_evidence="fail"), TERMS)
    return {
        "verdict": verdict.verdict,
        "first": champion is None,
        "champion": {"version": "v3", "fits": True, "why": "", "note": ""} if champion else None,
        "rules": [outcome_json(outcome) for outcome in verdict.outcomes],
        "notes": [],
        "summary": verdict.summary,
    }


def make_rows(schema: Schema, predictions: pd.DataFrame) -> pd.DataFrame:
    """The ingested rows behind the predictions, with missing values in one feature."""
    rng = np.random.default_rng(9)
    names = np.array(schema.target.classes)
    rows = pd.DataFrame({"row_id": predictions["row_id"], "defaulted": names[predictions["label"]]})
    if schema.columns[0].kind != "image":
        rows["income"] = np.where(rng.random(len(rows)) < 0.1, np.nan, rng.normal(size=len(rows)))
        rows["purpose"] = "car"
    return rows.assign(**{a.name: predictions[a.name] for a in schema.sensitive})


def make_facts(schema: Schema, rows: int) -> dict[str, Any]:
    """What only ingest knows."""
    return {
        "dataset": schema.dataset,
        "about": "Loans & <script>alert(1)</script>",
        "licence": "free",
        "home": None,
        "source": {"format": "csv", "files": [{"name": "loans.csv", "sha256": "ab" * 32}]},
        "rows_read": rows,
        "rows_left_out": [{"rows": 3, "why": "the target is missing"}],
        "declared": {
            "biased_labels": {
                "share_of_rows": 0.008,
                "against": {"sex": "Female"},
                "what": "good loans recorded as defaulted",
            }
        },
    }


def make_split(case: Case) -> dict[str, Any]:
    """summary.json of the split."""
    sizes = {"train": 12000, "valid": 3000, "calib": 2000, "test": case.rows}
    parts = {p: {"rows": n, "classes": dict.fromkeys(case.classes, n // len(case.classes))} for p, n in sizes.items()}
    copies = {"groups": 2, "rows": 5, "largest": 3}
    return {
        "by": "stratified",
        "rows": sum(sizes.values()),
        "parts": parts,
        "copies": copies,
        "notes": [],
        "left_out": 0,
    }


def write_inputs(root: Path, case: Case) -> dict[str, Path]:
    """All inputs of the stage as files."""
    schema = make_schema(case.classes, case.groups, case.image)
    predictions = make_predictions(schema, case.rows, case.shares)
    rows = make_rows(schema, predictions)
    trials = make_trials(case.feasible)
    scores = scores_of(predictions, schema)
    champion = scores_of(make_predictions(schema, case.rows, case.shares, noise=1.2), schema) if case.champion else None
    evaluation = make_evaluation(scores)
    paths = {name: root / path for name, path in STAGE.inputs.items()}
    for path in paths.values():
        path.parent.mkdir(parents=True, exist_ok=True)
    predictions.to_parquet(paths["predictions"])
    rows.to_parquet(paths["rows"])
    rows[["row_id"]].assign(part="test").to_parquet(paths["parts"])
    imbalance = {"expected": "the largest class has at most 5 times the rows of the smallest", "observed": "9.2"}
    results = [
        {"check": "imbalance_ratio", "severity": "warning", "outcome": "fail", "column": "defaulted", "position": 0, **imbalance},
        {"check": "missing_rate_gap", "severity": "error", "outcome": "pass", "column": "income", "attribute": "sex", "position": 1},
        {"check": "group_coverage", "severity": "error", "outcome": "not applicable", "why": "no groups", "position": 2},
        {"check": "column_type", "severity": "error", "outcome": "pass", "column": "income", "position": None},
    ]  # fmt: skip
    written = {
        "schema": schema.model_dump(mode="json"),
        "card": make_card(rows, schema, make_facts(schema, case.rows), ["A note."]),
        "checks": {"checks": results},
        "split": make_split(case),
        "trials": trials,
        "choice": make_choice(trials),
        "evaluation": evaluation,
        "audit": audit(scores, TERMS, with_intersections=True),
        "verdict": make_verdict(case, scores, champion),
    }
    for name, value in written.items():
        write_json(paths[name], value)
    return paths


@dataclasses.dataclass
class Node:
    """One element of a parsed page."""

    tag: str
    attributes: dict[str, str]
    children: list[Node | str] = dataclasses.field(default_factory=list)

    @property
    def text(self) -> str:
        """All text within, spaces collapsed."""
        return " ".join(" ".join(c if isinstance(c, str) else c.text for c in self.children).split())

    def all(self, tag: str | None = None, class_: str = "", **attributes: str) -> list[Node]:
        """Every element within of this tag, class and attributes."""
        found = []
        for child in self.children:
            if isinstance(child, str):
                continue
            fits = tag in (None, child.tag) and (not class_ or class_ in child.attributes.get("class", "").split())
            if fits and all(child.attributes.get(k.rstrip("_").replace("_", "-")) == v for k, v in attributes.items()):
                found.append(child)
            found += child.all(tag, class_, **attributes)
        return found

    def one(self, tag: str | None = None, class_: str = "", **attributes: str) -> Node:
        """The only such element."""
        found = self.all(tag, class_, **attributes)
        assert len(found) == 1, f"{len(found)} of {tag} {class_} {attributes}"
        return found[0]


class Reader(HTMLParser):
    """Builds the tree of a page and fails on tags that do not match."""

    VOID = ("meta", "link", "br", "img", "input", "hr")

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("document", {})
        self.open = [self.root]
        self.feed(html)
        self.close()
        assert self.open == [self.root], f"not closed: {[n.tag for n in self.open[1:]]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "wbr":  # where a word may break is not a place where it ends
            return
        node = Node(tag, {k: v or "" for k, v in attrs})
        assert len(node.attributes) == len(attrs), f"an attribute twice: {attrs}"
        self.open[-1].children.append(node)
        if tag not in self.VOID:
            self.open.append(node)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        within = self.open[-1].children
        if within and isinstance(within[-1], str):
            within[-1] += data
        else:
            within.append(data)


@dataclasses.dataclass(frozen=True)
class Report:
    """A rendered report with the folder that holds its inputs."""

    root: Path
    html: str

    @property
    def page(self) -> Node:
        """The parsed page."""
        return Reader(self.html).root

    def read(self, name: str) -> Any:
        """One of the inputs."""
        return read_json(self.root / STAGE.inputs[name])

    def changed(self, name: str, value: Any, sections: dict[str, Any] | None = None) -> Report:
        """The report after one of the inputs was replaced, with these sections in the parameters."""
        write_json(self.root / STAGE.inputs[name], value)
        return render_report(self.root, sections)


def render_report(root: Path, sections: dict[str, Any] | None = None) -> Report:
    """Run the stage as the pipeline does."""
    STAGE.execute(make_params(sections), root)
    return Report(root, (root / STAGE.outputs["report"]).read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Path]:
    """The inputs of a case, made once."""
    made: dict[str, Path] = {}

    def folder(case: Case) -> Path:
        if repr(case) not in made:
            made[repr(case)] = tmp_path_factory.mktemp("case")
            write_inputs(made[repr(case)], case)
        return made[repr(case)]

    return folder


@pytest.fixture
def make_report(tmp_path: Path, written: Callable[[Case], Path]) -> Callable[[Case], Report]:
    """Render a case in a folder of the test's own."""

    def make(case: Case) -> Report:
        shutil.copytree(written(case), tmp_path, dirs_exist_ok=True)
        return render_report(tmp_path)

    return make


@pytest.fixture
def case() -> type[Case]:
    """What varies between the reports."""
    return Case
