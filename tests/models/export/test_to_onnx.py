"""The exported graph answers like the predictor: for every learner, head and adjustment, on values that training never had."""

import json

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

from models.adjustment import average, fit_adjusters
from models.balancing.component import ModelAdjuster, WeightAdjuster
from models.balancing.discovery import catalogue
from models.data import Statistics
from models.errors import InputError
from models.export.predictor import to_onnx
from models.export.sample import UNSEEN, sample
from models.learners import learner
from models.learners.learner import Member, Model, Plan
from models.learners.net_model import NetModel, build_net
from models.predictor import Predictor
from models.preprocess import Preprocessor
from models.recipe import parse
from models.schema import Attribute, Column, Schema, Target
from tasks.export import answers

COLUMNS = (
    Column(name="amount", kind="numeric", role="feature"),
    Column(name="constant", kind="numeric", role="feature"),
    Column(name="grade", kind="ordinal", role="feature", categories=("low", "mid", "high")),
    Column(name="code", kind="categorical", role="feature", categories=("1", "2")),
    Column(name="town", kind="categorical", role="feature"),
    Column(name="opened", kind="date", role="feature"),
    Column(name="sex", kind="categorical", role="sensitive", categories=("F", "M")),
    Column(name="age_group", kind="categorical", role="sensitive", feature=False),
    Column(name="decision", kind="categorical", role="target", feature=False),
)
SENSITIVE = (Attribute(name="sex", groups=("F", "M")), Attribute(name="age_group", groups=("young", "old", "nobody")))
BINARY = Schema(
    dataset="toy",
    columns=COLUMNS,
    target=Target(column="decision", kind="binary", classes=("no", "yes")),
    sensitive=SENSITIVE,
)
THREE = BINARY.model_copy(update={"target": Target(column="decision", kind="multiclass", classes=("a", "b", "none"))})


def table(schema: Schema, rows: int = 600) -> pd.DataFrame:
    """Rows as ingest writes them: more values than knots in one column, one value in another, many categories in a third."""
    rng = np.random.default_rng(0)
    amount = rng.lognormal(3, 1, rows).round(2)
    amount[::17] = np.nan
    labels = np.digitize(np.nan_to_num(amount), [25] if len(schema.target.classes) == 2 else [15, 1e9])
    return pd.DataFrame(
        {
            "amount": amount,
            "constant": 1.0,
            "grade": rng.choice(["low", "mid", "high"], rows),
            "code": rng.choice(["1", "2"], rows),
            "town": rng.choice([f"Town {i} – Öst" for i in range(70)], rows),
            "opened": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, rows), unit="D"),
            "sex": rng.choice(["F", "M"], rows),
            "age_group": rng.choice(["young", "old"], rows),
            "decision": np.array(schema.target.classes)[np.where(rng.random(rows) < 0.1, 0, labels)],
        }
    )


@pytest.fixture(scope="module")
def trained() -> dict[str, tuple[Schema, Preprocessor, tuple[Model, ...]]]:
    """Two seeds of each learner for tables, and of the trees for a target with a class that no row has."""
    found = {}
    for name, schema in (("mlp", BINARY), ("trees", BINARY), ("tabm", THREE), ("three trees", THREE)):
        preprocessor = Preprocessor.fit(table(schema), schema, sensitive_features=False)
        split = preprocessor.encode(table(schema))
        plan = Plan(budget=8 if "trees" in name else 1, hidden=(8,), batch_size=128)
        members = [Member({}, seed) for seed in (0, 1)]
        outcomes = learner(name.split()[-1]).fit(parse("none"), members, split, split, preprocessor.inputs, plan)
        found[name] = (schema, preprocessor, tuple(o.model for o in outcomes if o.model is not None))
        assert len(found[name][2]) == 2
    return found


def adjusted(preprocessor: Preprocessor, models: tuple[Model, ...], schema: Schema, recipe: str) -> Predictor:
    split, chosen = preprocessor.encode(table(schema)), parse(recipe)
    states, _ = fit_adjusters(chosen.adjust, average(models, split), split, Statistics.of(split))
    return Predictor(preprocessor, models, chosen.adjust, tuple(states), chosen.name)


def assert_agrees(predictor: Predictor, rows: pd.DataFrame | None = None) -> onnx.ModelProto:
    """Probabilities to 1e-5 and the same decisions, on made-up rows; also of one row, and of none."""
    model = to_onnx(predictor, "toy")
    rows = sample(predictor.preprocessor, 300, seed=1) if rows is None else rows
    for count in (0, 1, len(rows)):
        decisions, probabilities = predictor.predict(rows.iloc[:count])
        names, own = answers(model, predictor, rows.iloc[:count])
        np.testing.assert_allclose(own, probabilities, rtol=0, atol=1e-5)
        assert names.tolist() == [predictor.schema.target.classes[i] for i in decisions]
    return model


@pytest.mark.parametrize("name", ["mlp", "trees", "tabm", "three trees"])
def test_every_learner_with_its_refits(trained, name):
    schema, preprocessor, models = trained[name]
    model = assert_agrees(adjusted(preprocessor, models, schema, "none"))
    kinds = {i.name: i.type.tensor_type.elem_type for i in model.graph.input}
    text, number = onnx.TensorProto.STRING, onnx.TensorProto.DOUBLE
    assert kinds == dict.fromkeys(["grade", "code", "town"], text) | dict.fromkeys(
        ["amount", "constant", "opened"], number
    )


@pytest.mark.parametrize(
    "name",
    sorted(
        n for n, k in catalogue().items() if k.slot == "adjust" and not issubclass(k, (WeightAdjuster, ModelAdjuster))
    ),
)
def test_every_adjustment(trained, name):
    """A new one may need an operation that has no rule yet; then the refusal is the answer, and never a wrong graph."""
    schema, preprocessor, models = trained["trees"]
    predictor = adjusted(preprocessor, models, schema, name)
    try:
        to_onnx(predictor, "toy")
    except InputError as refused:
        pytest.skip(str(refused))
    model = assert_agrees(predictor)
    needs = catalogue()[name].needs
    assert ({"sex", "age_group"} <= {i.name for i in model.graph.input}) == ("groups" in needs)


@pytest.mark.parametrize("head", sorted(n for n, k in catalogue().items() if k.slot == "head"))
@pytest.mark.parametrize("net", ["mlp", "tabm"])
def test_every_head(trained, net, head):
    _, preprocessor, models = trained[net]
    description = {**models[0].architecture(), "head": head}
    drawn = NetModel(description, build_net(description, seed=3).state_dict())
    assert_agrees(Predictor(preprocessor, (drawn,), (), (), head))


def test_images_come_as_pixels():
    schema = Schema(
        dataset="pictures",
        columns=(
            Column(name="image", kind="image", role="feature"),
            Column(name="label", kind="categorical", role="target", feature=False),
        ),
        target=Target(column="label", kind="multiclass", classes=("0", "1", "2")),
    )
    made = Preprocessor.model_validate(
        {
            "schema_": schema.model_dump(),
            "image": {
                "column": "image", "channels": 3, "height": 8, "width": 10,
                "mean": (0.4, 0.5, 0.6), "deviation": (0.2, 0.2, 0.3),
            },
        }
    )  # fmt: skip
    description = {
        "net": "resnet32", "channels": 3, "mean": [0.4, 0.5, 0.6], "deviation": [0.2, 0.2, 0.3], "classes": 3, "head": None,
    }  # fmt: skip
    net = build_net(description, seed=0)
    model = assert_agrees(
        Predictor(made, (NetModel(description, net.state_dict()),), (), (), "none"), sample(made, 5, seed=0)
    )
    (pixels,) = model.graph.input
    assert [d.dim_value or d.dim_param for d in pixels.type.tensor_type.shape.dim] == ["rows", 3, 8, 10]


def test_an_output_gives_way_to_a_column_of_its_name(trained):
    schema, preprocessor, models = trained["mlp"]
    columns = tuple(c.model_copy(update={"name": "decision"}) if c.name == "amount" else c for c in schema.columns)
    renamed = Preprocessor.model_validate(
        {
            **preprocessor.model_dump(),
            "schema_": schema.model_copy(
                update={"columns": columns, "target": schema.target.model_copy(update={"column": "y"})}
            ),
            "numeric": [
                c.model_copy(update={"name": "decision"}) if c.name == "amount" else c for c in preprocessor.numeric
            ],
        }
    )
    model = assert_agrees(Predictor(renamed, models, (), (), "none"))
    assert [o.name for o in model.graph.output] == ["decision_", "probabilities"]


def test_the_file_says_what_it_is(trained):
    schema, preprocessor, models = trained["three trees"]
    model = to_onnx(adjusted(preprocessor, models, schema, "temperature"), "toy", {"version": "toy@v3"})
    about = {p.key: p.value for p in model.metadata_props}
    assert json.loads(about["classes"]) == ["a", "b", "none"]
    assert about["version"] == "toy@v3"
    assert about["recipe"] == "temperature"
    notes = {i.name: i.doc_string for i in model.graph.input}
    assert "NaN" in notes["amount"]
    assert "days since 1970-01-01" in notes["opened"]
    assert "empty text" in notes["town"]


def test_a_model_with_an_operation_without_counterpart_is_refused_by_name(trained):
    _, preprocessor, models = trained["mlp"]

    class Sorted(NetModel):
        def net(self, device):
            inner = super().net(device)
            return lambda inputs, ids: inner(inputs, ids).sort(-1).values

    odd = Sorted(models[0].architecture(), models[0].tensors())
    with pytest.raises(InputError, match="recipe 'none' cannot be exported: it uses the operation 'sort'"):
        to_onnx(Predictor(preprocessor, (odd,), (), (), "none"), "toy")


def test_a_model_that_looks_at_values_is_refused(trained):
    _, preprocessor, models = trained["mlp"]

    class Branching(NetModel):
        def net(self, device):
            inner = super().net(device)
            return lambda inputs, ids: inner(inputs, ids) * (2 if bool(inputs.sum() > 0) else 1)

    odd = Branching(models[0].architecture(), models[0].tensors())
    with pytest.raises(InputError, match="recipe 'none' cannot be exported: it is not one fixed sequence"):
        to_onnx(Predictor(preprocessor, (odd,), (), (), "none"), "toy")


def test_made_up_rows_hold_what_a_model_may_meet(trained):
    _, preprocessor, _ = trained["mlp"]
    rows = sample(preprocessor, 300, seed=0)
    assert rows.isna().any().all()
    assert (rows["town"] == UNSEEN).any()
    amount = preprocessor.numeric[0].values
    assert rows["amount"].isin(amount).any()
    assert (rows["amount"] < amount[0]).any()
    assert torch.isfinite(preprocessor.encode(rows).numeric).all()
