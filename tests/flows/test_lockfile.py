"""dvc.lock as we write it against DVC's own writer and reader."""

from collections import OrderedDict
from pathlib import Path

import pytest
from dvc.utils.serialize import dumps_yaml, loads_yaml

from flows.lockfile import note, record
from models.errors import InputError

ENTRY = OrderedDict(
    cmd="python -m tasks.split",
    deps=[OrderedDict(path="data/rows.parquet", hash="md5", md5="0123e4", size=12)],
    params={
        "params.yaml": OrderedDict(
            a="yes", b=1e-05, c="0777", d="1e-5", e=True, f="on", g=None, h="2024-01-01", i="=", j="long " * 60, k="",
            l="1:30", m=[], n={}, o=0.1, p=float("inf"), q="~", r="a: b ", s="é", t="null", u=[["a", 1], {"b": 2}],
        )
    },
)  # fmt: skip


def test_the_file_is_what_dvc_would_write(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    record(path, "split", ENTRY)
    record(path, "ingest", {"cmd": "python -m tasks.ingest", "outs": ENTRY["params"]["params.yaml"]["u"]})
    record(path, "split", ENTRY)
    text = path.read_text(encoding="utf-8")
    content = loads_yaml(text)
    assert list(content["stages"]) == ["split", "ingest"]
    assert content["stages"]["split"] == ENTRY
    assert text == dumps_yaml(content)


def test_a_note_is_what_dvc_would_write_and_nothing_else_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "ab" / "abcd" / "0123"
    note(path, ENTRY)
    assert path.read_text(encoding="utf-8") == dumps_yaml(ENTRY)
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]


def test_a_file_that_cannot_be_read_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "dvc.lock"
    path.write_text("stages: [", encoding="utf-8")
    with pytest.raises(InputError, match=r"dvc\.lock cannot be read"):
        record(path, "split", ENTRY)
    assert path.read_text(encoding="utf-8") == "stages: ["
