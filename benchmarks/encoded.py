"""A data set on its way through the product's own ingest, split and preprocessing, as tensors for a benchmark."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from models.data import Split
from models.learners.learner import Input
from models.preprocess import Preprocessor
from models.schema import Schema
from tasks import ingest, split
from tasks.overrides import effective, parse_settings
from tasks.parts import read_rows, read_schema, rows_of
from tasks.sources.catalog import find_entry


@dataclass(frozen=True)
class Encoded:
    """The four parts of a data set, encoded."""

    name: str
    schema: Schema
    inputs: Input
    preprocessor: Preprocessor
    train: Split
    valid: Split
    calib: Split
    test: Split


def mirror_has(name: str) -> bool:
    """Whether the mirror of the real data sets is there and holds this one; says so when it is not."""
    folder = Path(os.environ.setdefault("EQUIPOISE_MIRROR", str(Path(__file__).parents[2] / "shared" / "data")))
    entry = find_entry(name)
    found = entry.mirror is not None and all((folder / file.name).is_file() for file in entry.mirror.files)
    if not found:
        print(f"{name} is not in the mirror (EQUIPOISE_MIRROR={folder}); measuring on the embedded data instead")
    return found


def encoded_data(name: str, *settings: str) -> Encoded:
    """The data set of the catalogue, or the embedded one where its files are absent; `settings` as with --set."""
    chosen = name if mirror_has(name) else "lending"
    params = effective(Path(__file__).parents[1], parse_settings([f"data.name={chosen}", *settings])).params
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        ingest.STAGE.execute(params, root)
        (root / "data/validate").mkdir(parents=True)
        (root / "data/validate/results.json").write_text("{}")
        split.STAGE.execute(params, root)
        schema, rows = read_schema(root / "data/ingest"), read_rows(root / "data/ingest")
        frames = {part: rows_of(rows, root / "data/split", part) for part in ("train", "valid", "calib", "test")}
    preprocessor = Preprocessor.fit(frames["train"], schema, params.model.sensitive_features)
    parts = {part: preprocessor.encode(frame) for part, frame in frames.items()}
    return Encoded(chosen, schema, preprocessor.inputs, preprocessor, **parts)
