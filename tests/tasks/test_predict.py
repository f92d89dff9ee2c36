"""Scoring files with a registered model: from the registry alone, with the same answer as the predictor itself, clear about bad input."""

import io
import logging
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from models.errors import InputError
from models.learners import learner
from models.learners.learner import Member, Plan
from models.predictor import Predictor
from models.preprocess import Preprocessor
from models.recipe import parse
from models.schema import Column, Schema, Target
from tasks.predict import load_predictor, predict, score, writing
from tasks.registry import CorruptError, open_registry
from tasks.sources import stream_tables
from tests.tasks.conftest import loan_schema

SCHEMA = loan_schema().model_copy(update={"dataset": "toy"})


def table(rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Rows as ingest writes them."""
    rng = np.random.default_rng(seed)
    amount = rng.normal(size=rows)
    amount[::17] = np.nan
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 300, rows), unit="D")
    return pd.DataFrame(
        {
            "amount": amount,
            "grade": rng.choice(["low", "mid", "high"], rows),
            "code": rng.choice(["1", "2"], rows),
            "opened": days,
            "number": [f"n{i}" for i in range(rows)],
            "sex": rng.choice(["F", "M"], rows),
            "default": np.where(rng.random(rows) < 1 / (1 + np.exp(-2 * np.nan_to_num(amount))), "yes", "no"),
        }
    )


def trained(rows: pd.DataFrame, schema: Schema, name: str) -> Predictor:
    preprocessor = Preprocessor.fit(rows, schema, False)
    encoded = preprocessor.encode(rows)
    recipe = parse("none")
    outcome = learner(name).fit(
        recipe, [Member({}, 0)], encoded, encoded, preprocessor.inputs, Plan(budget=2, hidden=(4,))
    )[0]
    assert outcome.model is not None, outcome.error
    return Predictor(preprocessor, (outcome.model,), (), (), recipe.name)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return trained(table(), SCHEMA, "mlp")


@pytest.fixture(scope="module")
def registered(predictor, tmp_path_factory) -> Path:
    """A folder that holds a registry with toy@v1, the champion, and nothing else."""
    folder = tmp_path_factory.mktemp("registered")
    publish(folder, predictor)
    return folder


def publish(folder: Path, made: Predictor) -> None:
    saved = folder / "saved"
    saved.mkdir()
    made.save(saved)
    registry = open_registry("file://registry", folder)
    version = registry.publish("toy", {f"predictor/{p.name}": p for p in saved.iterdir()}, run="r", summary={}).version
    registry.promote("toy", version)
    shutil.rmtree(saved)


@pytest.fixture
def url(registered) -> str:
    return f"file://{registered}/registry"


def predicted(reference: str, source: Path, output: Path, url: str) -> pd.DataFrame:
    """What `predict` writes, to the last bit."""
    rows = predict(reference, source, output, url)
    written = pd.read_parquet(output) if output.suffix == ".parquet" else pd.read_csv(output)
    assert len(written) == rows
    return written


def expected(predictor: Predictor, rows: pd.DataFrame) -> pd.DataFrame:
    scored = predictor.predict_frame(rows)
    scored.insert(0, "number", rows["number"].to_numpy())
    return scored.reset_index(drop=True)


@pytest.mark.parametrize("reference", ["toy@champion", "toy@v1", "toy"])
def test_a_csv_of_raw_columns_gets_the_predictors_own_answers(predictor, url, tmp_path, reference):
    rows = table(100, 1)
    rows.drop(columns=["default", "sex"]).to_csv(tmp_path / "input.csv", index=False)
    predict(reference, tmp_path / "input.csv", tmp_path / "out.csv", url)
    written = pd.read_csv(tmp_path / "out.csv")
    assert list(written.columns) == ["number", "decision", "p_no", "p_yes"]
    pd.testing.assert_frame_equal(written, expected(predictor, rows), check_dtype=False)


def test_parquet_and_csv_give_the_same_answers_whatever_the_types_of_the_file(url, tmp_path):
    rows = table(100, 2).drop(columns=["default"])
    rows.to_csv(tmp_path / "a.csv", index=False)
    rows.to_parquet(tmp_path / "b.parquet")
    rows.assign(code=rows["code"].astype("float64"), grade=rows["grade"].astype("category")).to_parquet(
        tmp_path / "c.parquet"
    )
    rows.assign(code=rows["code"].astype("int64"), opened=rows["opened"].dt.date)[list(rows.columns)[::-1]].to_parquet(
        tmp_path / "d.pq"
    )
    rows.to_csv(tmp_path / "e.csv", index=False, sep=";")
    rows.to_csv(tmp_path / "f.csv", index=False, sep=";", decimal=",")
    answers = [predicted("toy", path, tmp_path / "out", url) for path in sorted(tmp_path.glob("?.*"))]
    assert len(answers) == 6
    for answer in answers[1:]:
        pd.testing.assert_frame_equal(answer, answers[0], check_exact=True)


def test_rows_keep_their_order_and_missing_values_are_allowed(predictor, url, tmp_path):
    rows = table(50, 3).iloc[::-1].reset_index(drop=True)
    rows.loc[:10, ["grade", "code"]] = None
    rows.loc[5:20, "opened"] = pd.NaT
    rows.to_csv(tmp_path / "input.csv", index=False)
    scored = predicted("toy", tmp_path / "input.csv", tmp_path / "out.csv", url)
    assert scored["number"].tolist() == rows["number"].tolist()
    pd.testing.assert_frame_equal(scored, expected(predictor, rows), check_dtype=False)


def test_a_mark_for_missing_values_that_is_a_known_category_is_one(tmp_path):
    columns = tuple(c.model_copy(update={"categories": ("1", "NA")}) if c.name == "code" else c for c in SCHEMA.columns)
    rows = table().replace({"code": {"2": "NA"}})
    made = trained(rows, SCHEMA.model_copy(update={"columns": columns}), "mlp")
    publish(tmp_path, made)
    rows.to_csv(tmp_path / "input.csv", index=False)
    scored = predicted("toy", tmp_path / "input.csv", tmp_path / "out.csv", f"file://{tmp_path}/registry")
    pd.testing.assert_frame_equal(scored, expected(made, rows), check_dtype=False)


SCRIPT = """
import sys
import tracemalloc
from pathlib import Path
from tasks.predict import predict
predict("toy@champion", Path("input.csv"))
"""


def test_the_registry_alone_is_enough_and_without_an_output_the_answer_is_printed(
    predictor, registered, tmp_path, repository
):
    """In a folder with nothing but the registry and the input: no params.yaml, no data/."""
    shutil.copytree(registered / "registry", tmp_path / "registry")
    rows = table(20, 4)
    rows.to_csv(tmp_path / "input.csv", index=False)
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(repository)!r})\n{SCRIPT}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(done.stdout)), expected(predictor, rows), check_dtype=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["input.csv", "registry"]


def test_missing_columns_are_named_with_the_nearest_that_are_there(url, tmp_path):
    table(5).rename(columns={"amount": "ammount", "grade": "x"}).to_csv(tmp_path / "input.csv", index=False)
    with pytest.raises(
        InputError, match=r"input\.csv: the model needs .*missing: amount, grade\. For 'amount': Did you mean 'ammount'"
    ):
        predict("toy", tmp_path / "input.csv", tmp_path / "out.csv", url)
    assert not (tmp_path / "out.csv").exists()


def test_columns_that_the_model_does_not_know_are_left_out_and_named(url, tmp_path, caplog):
    rows = table(5)
    rows.to_csv(tmp_path / "a.csv", index=False)
    rows.assign(weight="heavy", row_id="x", extra=1).to_csv(tmp_path / "b.csv", index=False)
    with caplog.at_level(logging.WARNING, "equipoise"):
        first = predicted("toy", tmp_path / "a.csv", tmp_path / "out.csv", url)
        assert caplog.messages == []
        second = predicted("toy", tmp_path / "b.csv", tmp_path / "out.csv", url)
    assert "left out: weight, row_id, extra" in caplog.text
    pd.testing.assert_frame_equal(first, second)


def test_categories_that_the_model_does_not_know_count_as_missing_and_are_named(url, tmp_path, caplog):
    rows = table(10)
    rows.assign(code=["9"] * 3 + ["1"] * 7).to_csv(tmp_path / "a.csv", index=False)
    rows.assign(code=[None] * 3 + ["1"] * 7).to_csv(tmp_path / "b.csv", index=False)
    with caplog.at_level(logging.WARNING, "equipoise"):
        strange = predicted("toy", tmp_path / "a.csv", tmp_path / "out.csv", url)
    assert "column 'code': 3 rows hold values unknown to the model ('9' …)" in caplog.text
    pd.testing.assert_frame_equal(strange, predicted("toy", tmp_path / "b.csv", tmp_path / "out.csv", url))


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("amount", ["1", "two", "x"], r"column 'amount', row 2: 'two' is not a number \(and 1 more like it\)"),
        ("amount", ["1", "2", "inf"], "column 'amount', row 3: 'inf' is not a finite number"),
        ("opened", ["2024-01-01", "", "yesterday"], "column 'opened', row 3: 'yesterday' is not a date"),
    ],
)
def test_values_of_another_kind_are_named_by_column_and_row(url, tmp_path, column, values, says):
    table(3).assign(**{column: values}).to_csv(tmp_path / "input.csv", index=False)
    with pytest.raises(InputError, match=says):
        predict("toy", tmp_path / "input.csv", tmp_path / "out.csv", url)


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        ("opened", [1.0, 2.0, 3.0], "column 'opened' must hold dates"),
        ("amount", list(pd.date_range("2024-01-01", periods=3)), "column 'amount' must hold numbers"),
    ],
)
def test_a_parquet_column_of_another_type_is_named(url, tmp_path, column, values, says):
    table(3).assign(**{column: values}).to_parquet(tmp_path / "input.parquet")
    with pytest.raises(InputError, match=says):
        predict("toy", tmp_path / "input.parquet", tmp_path / "out.csv", url)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", "is empty"),
        ("latin.csv", "amount,grade\n1,h\xf6her\n".encode("latin-1"), "not UTF-8"),
        ("cut.parquet", b"PAR1 half", "not a whole Parquet file"),
    ],
)
def test_a_broken_file_is_named(url, tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=says):
        predict("toy", tmp_path / name, None, url)


def test_what_does_not_exist_or_fit_is_named(url, tmp_path):
    table(3).to_csv(tmp_path / "input.csv", index=False)
    with pytest.raises(InputError, match=r"nothing\.csv does not exist"):
        predict("toy", tmp_path / "nothing.csv", None, url)
    with pytest.raises(InputError, match="is a folder, and this model reads a table"):
        predict("toy", tmp_path, None, url)
    with pytest.raises(InputError, match="Did you mean 'toy'"):
        predict("toys@champion", tmp_path / "input.csv", None, url)
    with pytest.raises(InputError, match="model name"):
        predict("../toy@champion", tmp_path / "input.csv", None, url)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        predict("toy", tmp_path / "input.csv", tmp_path / "file" / "out.csv", url)


def test_a_damaged_model_is_not_loaded(registered, tmp_path):
    shutil.copytree(registered / "registry", tmp_path / "registry")
    weights = tmp_path / "registry/toy/versions/v1/predictor/weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    with pytest.raises(CorruptError, match=r"weights\.safetensors"):
        load_predictor(open_registry("file://registry", tmp_path), "toy")


def image(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 8), dtype=np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


def test_a_folder_of_images_is_scored_by_file_name(tmp_path):
    schema = Schema(
        dataset="toy",
        columns=(
            Column(name="image", kind="image", role="feature"),
            Column(name="label", kind="categorical", role="target", feature=False),
        ),
        target=Target(column="label", kind="binary", classes=("0", "1")),
    )
    rows = pd.DataFrame({"image": [image(i) for i in range(40)], "label": ["0", "1"] * 20})
    made = trained(rows, schema, "resnet32")
    publish(tmp_path, made)
    (tmp_path / "images/more").mkdir(parents=True)
    (tmp_path / "images/b.png").write_bytes(image(1))
    (tmp_path / "images/more/a.png").write_bytes(image(2))
    (tmp_path / "images/notes.txt").write_text("x")
    scored = predicted("toy", tmp_path / "images", tmp_path / "out.csv", f"file://{tmp_path}/registry")
    assert scored["file"].tolist() == ["b.png", "more/a.png"]
    own = made.predict_frame(pd.DataFrame({"image": [image(1), image(2)]}))
    pd.testing.assert_frame_equal(scored.drop(columns="file").astype({"decision": "str"}), own, check_exact=True)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no images"):
        predict("toy", tmp_path / "none", None, f"file://{tmp_path}/registry")


def small_pieces(monkeypatch, rows: int = 40) -> None:
    monkeypatch.setattr(stream_tables, "ROWS", rows)
    monkeypatch.setattr(stream_tables, "BLOCK", rows * 40)
    monkeypatch.setattr(stream_tables, "HEAD", 64)


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_a_file_read_in_pieces_gets_the_answers_of_the_whole(predictor, url, tmp_path, monkeypatch, name):
    rows = table(300, 8).assign(number=[f'n{i}, "quoted"\nÖst {i}' for i in range(300)])
    path = tmp_path / name
    rows.to_csv(path, index=False) if name.endswith("csv") else rows.to_parquet(path, row_group_size=70)
    small_pieces(monkeypatch)
    taken = list(score(predictor, path))
    assert len(taken) > 5
    whole = pd.concat(taken, ignore_index=True)
    pd.testing.assert_frame_equal(whole, expected(predictor, rows), check_dtype=False, check_exact=True)
    pd.testing.assert_frame_equal(predicted("toy", path, tmp_path / "out.parquet", url), whole, check_exact=True)
    again = predicted("toy", path, tmp_path / "out.csv", url)
    pd.testing.assert_frame_equal(again, whole, check_dtype=False, rtol=1e-12)


def test_in_pieces_too_a_wrong_value_is_named_by_its_row_and_nothing_is_written(url, tmp_path, monkeypatch):
    small_pieces(monkeypatch)
    rows = table(300, 8)
    rows["amount"] = rows["amount"].astype(object)
    rows.loc[251, "amount"] = "much"
    rows.to_csv(tmp_path / "input.csv", index=False)
    (tmp_path / "out.csv").write_text("older")
    with pytest.raises(InputError, match="column 'amount', row 252: 'much' is not a number"):
        predict("toy", tmp_path / "input.csv", tmp_path / "out.csv", url)
    assert (tmp_path / "out.csv").read_text() == "older"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["input.csv", "out.csv"]
    content = (tmp_path / "input.csv").read_bytes().replace(b"much", "größer".encode("latin-1"))
    (tmp_path / "input.csv").write_bytes(content)
    with pytest.raises(InputError, match=rf"is not UTF-8: byte {content.index(0xF6)} is 0xf6"):
        predict("toy", tmp_path / "input.csv", tmp_path / "out.csv", url)
    (tmp_path / "input.csv").write_bytes(content.replace(b"gr\xf6\xdfer", b"1,2,3"))
    with pytest.raises(InputError, match="not a well-formed CSV with 7 columns"):
        predict("toy", tmp_path / "input.csv", tmp_path / "out.csv", url)


def test_in_pieces_too_what_is_odd_is_said_once_and_counted_over_the_file(url, tmp_path, monkeypatch, caplog):
    small_pieces(monkeypatch)
    table(300, 8).assign(extra=1, code=["9", "1", "2"] * 100).to_csv(tmp_path / "input.csv", index=False)
    with caplog.at_level(logging.WARNING, "equipoise"):
        predict("toy", tmp_path / "input.csv", tmp_path / "out.csv", url)
    assert [r.message.partition(": ")[2] for r in caplog.records] == [
        "columns that the model does not know are left out: extra",
        "column 'code': 100 rows hold values unknown to the model ('9' …); they count as missing",
    ]


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_memory_does_not_grow_with_the_file(predictor, url, tmp_path, monkeypatch, name):
    """What Python and Arrow hold at the most, for a file and for one of six times as many rows."""
    small_pieces(monkeypatch, rows=400)
    peaks = []
    for count in (2000, 12_000):
        rows = table(count, 9)
        path = tmp_path / name
        rows.to_csv(path, index=False) if name.endswith("csv") else rows.to_parquet(path, row_group_size=400)
        del rows
        held = []
        tracemalloc.start()
        with writing(tmp_path / "out.parquet") as write:
            for scored in score(predictor, path):
                write(scored)
                held.append(pa.total_allocated_bytes())
        peaks.append(max(held) + tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(pd.read_parquet(tmp_path / "out.parquet")) == count
    assert peaks[1] < 1.5 * peaks[0] + 500_000, peaks
