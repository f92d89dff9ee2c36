"""Handing a registered model over as one ONNX file, for runtimes that know nothing of this project."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import EquipoiseError, InputError
from models.predictor import Predictor
from tasks.registry import Registry, open_registry, parse_reference
from tasks.stage import replacing

if TYPE_CHECKING:
    import onnx

log = logging.getLogger("equipoise")

TOLERANCE = 1e-5
"""By how much a probability of the exported graph may differ from the predictor's; a number, in deviations of the target."""
CHECKED_ROWS = 64


def export(reference: str, output: Path, url: str = "file://registry") -> None:
    """Write NAME@ALIAS or NAME@VERSION to `output` as ONNX, whole or not at all.

    Where onnxruntime is installed the file is held against the predictor first, on made-up rows. Raises InputError for a
    model that cannot be exported, with what stands in the way.
    """
    model, version = exported(open_registry(url), reference)
    try:
        with replacing(output) as temporary:
            temporary.write_bytes(model.SerializeToString())
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error.strerror}). Name another file with --onnx.") from None
    log.info("export: %s written to %s", version, output)


def exported(registry: Registry, reference: str) -> tuple[onnx.ModelProto, str]:
    """The ONNX model of a registered version, and the version's name; it has been held against the predictor."""
    from models.export.predictor import to_onnx

    name, which = parse_reference(reference)
    loaded = registry.load(name, which)
    version = f"{name}@{loaded.version}"
    predictor = Predictor.load(loaded.directory / "predictor")
    model = to_onnx(predictor, name, {"version": version, "digest": loaded.manifest.digest})
    check(model, predictor, version)
    return model, version


def check(model: onnx.ModelProto, predictor: Predictor, version: str) -> None:
    """Raise EquipoiseError unless the graph answers like the predictor on made-up rows; without onnxruntime, say so."""
    if find_spec("onnxruntime") is None:
        log.warning("export: onnxruntime is not installed, so the file was not held against the predictor")
        return
    difference = farthest(model, predictor)
    if not difference <= TOLERANCE:
        raise EquipoiseError(
            f"export: {version}: the exported graph differs from the predictor by {difference:.2g}, and "
            f"{TOLERANCE:g} is allowed; nothing was written. This is a defect: please report it with the recipe."
        )


def farthest(model: onnx.ModelProto, predictor: Predictor) -> float:
    """The largest difference of a probability between graph and predictor, on made-up rows; it needs onnxruntime.

    Of a number it is the largest difference in deviations of the target, as a unit is anybody's choice.
    """
    from models.export.sample import sample

    rows = sample(predictor.preprocessor, CHECKED_ROWS, seed=0)
    decisions, probabilities = predictor.predict(rows)
    found = answers(model, predictor, rows)
    if predictor.schema.target.kind == "regression":
        scale = predictor.preprocessor.target_scale
        return float(np.abs(found[0] - decisions).max()) / (scale.deviation if scale is not None else 1.0)
    return float(np.abs(found[1] - probabilities).max())


def answers(model: onnx.ModelProto, predictor: Predictor, rows: Any) -> list[Any]:
    """What onnxruntime answers for a table of typed rows: the outputs in order."""
    import onnxruntime

    from models.export.feed import feed

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    found: list[Any] = session.run(None, feed(predictor.preprocessor, rows, names))
    return found
