"""Handing a version over: the file agrees with the predictor on every data set in the catalogue, and is written whole or not at all."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from models.adjustment import average, fit_adjusters
from models.data import Statistics
from models.errors import EquipoiseError, InputError
from models.export.feed import feed
from models.export.predictor import to_onnx
from models.learners import learner, resolve_learners
from models.learners.learner import Member, Plan
from models.predictor import Predictor
from models.preprocess import Preprocessor
from models.recipe import parse
from models.schema import CLASSES
from tasks import export as exporting
from tasks.export import answers, export
from tasks.ingest import ingest
from tasks.params import Data, Params, Target
from tasks.registry import open_registry
from tasks.sources.catalog import load_catalogue
from tasks.sources.files import Locations

BUNDLED = [name for name, entry in load_catalogue().items() if entry.bundled is not None]
MIRRORED = [name for name in load_catalogue() if name not in BUNDLED]


def agrees(name: str, locations: Locations) -> None:
    """Train each learner that fits a little, with adjustments of probability and decision, and compare on rows held out."""
    wanted = Params.model_construct(seed=0, data=Data(name=name, rows=1200), target=Target(), sensitive="auto")
    made = ingest(wanted, locations)
    image = made.schema.columns[0].kind == "image" or any(c.kind == "image" for c in made.schema.columns)
    order = np.random.default_rng(0).permutation(len(made.rows))
    train, held = (made.rows.iloc[order[part]] for part in (slice(0, 300 if image else 800), slice(-100, None)))
    preprocessor = Preprocessor.fit(train, made.schema, sensitive_features=False)
    of_classes = made.schema.target.kind in CLASSES
    split = preprocessor.encode(train)
    recipe = parse("bias_corrected_temperature_prior_threshold" if of_classes else "none")
    for kind in resolve_learners(("auto",), image):
        plan = Plan(budget=10 if kind == "trees" else 1, hidden=(16,), batch_size=64)
        members = [Member({}, seed) for seed in range(1 if image else 2)]
        outcomes = learner(kind).fit(recipe, members, split, split, preprocessor.inputs, plan)
        models = tuple(o.model for o in outcomes if o.model is not None)
        assert len(models) == len(members), outcomes[0].error
        states, _ = fit_adjusters(recipe.adjust, average(models, split), split, Statistics.of(split))
        predictor = Predictor(preprocessor, models, recipe.adjust, tuple(states), recipe.name)
        decisions, probabilities = predictor.predict(held)
        own = answers(to_onnx(predictor, name), predictor, held)
        target = made.schema.target
        if target.kind == "regression":
            assert preprocessor.target_scale is not None
            np.testing.assert_allclose(own[0], decisions, rtol=0, atol=1e-5 * preprocessor.target_scale.deviation)
            continue
        np.testing.assert_allclose(own[1], probabilities, rtol=0, atol=1e-5)
        decided = decisions.tolist() if target.kind == "multilabel" else [target.classes[i] for i in decisions]
        assert own[0].tolist() == decided


@pytest.mark.parametrize("name", BUNDLED)
def test_the_graph_agrees_on_the_data_that_are_always_there(name: str, tmp_path: Path) -> None:
    agrees(name, Locations(None, tmp_path))


@pytest.mark.parametrize("name", MIRRORED)
def test_the_graph_agrees_on_real_data(name: str, tmp_path: Path, mirror: Path) -> None:
    agrees(name, Locations(mirror, tmp_path))


def test_a_registered_version_becomes_a_file_that_another_runtime_reads(registered, tmp_path: Path) -> None:
    url, predictor, rows = registered
    output = tmp_path / "model.onnx"
    export("toy@champion", output, url)
    session = onnxruntime.InferenceSession(output, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    decision, probabilities = session.run(None, feed(predictor.preprocessor, rows, names))
    scored = predictor.predict_frame(rows)
    assert decision.tolist() == scored["decision"].tolist()
    np.testing.assert_allclose(probabilities[:, 1], scored["p_yes"], rtol=0, atol=1e-5)
    about = {p.key: p.value for p in onnx.load(output).metadata_props}
    assert about["version"] == "toy@v1"
    assert json.loads(about["classes"]) == ["no", "yes"]
    assert about["digest"] == open_registry(url).resolve("toy", "v1").digest
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_a_file_that_cannot_be_written_is_named(registered, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"model\.onnx cannot be written"):
        export("toy", tmp_path / "file" / "model.onnx", registered[0])


def test_a_graph_that_answers_otherwise_is_never_written(registered, tmp_path: Path, monkeypatch) -> None:
    url, predictor, _ = registered
    wrong = to_onnx(predictor, "toy")
    for tensor in wrong.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.raw_data = np.zeros(tensor.dims, np.float32).tobytes()
    monkeypatch.setattr("models.export.predictor.to_onnx", lambda *_: wrong)
    with pytest.raises(EquipoiseError, match="differs from the predictor by"):
        export("toy", tmp_path / "model.onnx", url)
    assert list(tmp_path.iterdir()) == []


def test_without_the_runtime_the_file_is_written_and_says_that_it_was_not_checked(
    registered, tmp_path: Path, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(exporting, "find_spec", lambda name: None)
    export("toy", tmp_path / "model.onnx", registered[0])
    assert "was not held against the predictor" in caplog.text
    assert (tmp_path / "model.onnx").stat().st_size > 0
