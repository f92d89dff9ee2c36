"""A whole predictor as an ONNX model: preprocessing, every refit, their mean, the adjustments and the decision."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

import onnx
import torch
from torch import Tensor

from models.adjustment import apply_adjusters, together
from models.errors import InputError
from models.export import columns, trees
from models.export.columns import Encoded
from models.export.graph import Graph
from models.export.operators import RULES
from models.export.trace import example, trace
from models.export.translate import Translation
from models.learners.learner import Model
from models.learners.net_model import NetModel
from models.learners.trees_model import TreesModel
from models.predictor import Predictor
from models.schema import CLASSES

DECISION, PROBABILITIES = "decision", "probabilities"


class Member(NamedTuple):
    """One refit on its way into the graph: a value that it begins with, and what of it is traced."""

    value: str
    example: Tensor
    logits: Callable[[Tensor, Tensor, Tensor], Tensor]
    """The member's own value, numeric columns and category ids -> logits [rows, C]."""


def to_onnx(predictor: Predictor, name: str, properties: Mapping[str, str] | None = None) -> onnx.ModelProto:
    """The model. Inputs are the raw columns by name; outputs `decision` (text) and `probabilities` [rows, C] float64.

    The classes, in the order of the probabilities, are in the metadata, with the recipe and `properties`. Raises
    InputError, with what stands in the way, for a predictor with operations that the export does not know.
    """
    graph, schema = Graph(), predictor.schema
    if schema.target.kind not in CLASSES:
        raise InputError(
            f"a model of a {schema.target.kind} target cannot be exported to ONNX; those of classes can. Score "
            "files with `equipoise predict` instead."
        )
    encoded = columns.encoded(graph, predictor.preprocessor)
    members = [_member(graph, model, encoded) for model in predictor.models]

    def score(numeric: Tensor, categorical: Tensor, groups: Tensor, *own: Tensor) -> tuple[Tensor, ...]:
        logits = [m.logits(value, numeric, categorical) for m, value in zip(members, own, strict=True)]
        scores = apply_adjusters(predictor.adjusters, predictor.states, together(logits), groups)
        return scores.log_probabilities.exp(), scores.decision.argmax(-1)

    inputs = predictor.preprocessor.inputs
    pixels = inputs.image is not None
    examples = [
        example(inputs.image or (inputs.numeric,), torch.uint8 if pixels else torch.float32),
        example((len(inputs.cardinalities),), torch.int64),
        example((), torch.int64),
        *(m.example for m in members),
    ]
    what = f"recipe '{predictor.recipe}'"
    traced = trace(score, examples, what)
    grouped = bool([n for n in traced.graph.nodes if n.op == "placeholder"][2].users)
    by_group = columns.groups(graph, predictor.preprocessor) if grouped else ""
    values = [encoded.numeric, encoded.categorical, by_group, *(m.value for m in members)]
    probabilities, decision = Translation(graph, traced).run(values, RULES, what)

    classes = schema.target.classes
    names = graph.add("Gather", graph.constant(list(classes), object), decision, axis=0)
    text, double = onnx.TensorProto.STRING, onnx.TensorProto.DOUBLE
    graph.output(DECISION, names, text, (), f"the class decided for, of '{schema.target.column}'")
    order = ", ".join(classes)
    graph.output(PROBABILITIES, probabilities, double, (len(classes),), f"of the classes {order}, in this order")
    about = {
        "target": schema.target.column,
        "classes": json.dumps(classes, ensure_ascii=False),
        "recipe": predictor.recipe,
        **(properties or {}),
    }
    return graph.model(name, f"{name}: predicts {schema.target.column} on {schema.dataset}", about)


def _member(graph: Graph, model: Model, encoded: Encoded) -> Member:
    """How one refit becomes part of the graph, by the kind of model it is."""
    found = MEMBERS.get(model.kind)
    if found is None:
        raise InputError(
            f"a model of the kind '{model.kind}' cannot be exported to ONNX; {', '.join(MEMBERS)} can. "
            "Choose another learner, or serve it with `equipoise serve`."
        )
    return found(graph, model, encoded)


def _net(graph: Graph, model: Model, encoded: Encoded) -> Member:
    """A net is traced whole; it begins with nothing of its own."""
    net = cast("NetModel", model).net("cpu")
    return Member(encoded.categorical, example((), torch.int64), lambda _, inputs, ids: net(inputs, ids).float())


def _trees(graph: Graph, model: Model, encoded: Encoded) -> Member:
    """The trees are a node of their own; what follows them is traced."""
    ensemble = cast("TreesModel", model)
    outputs = len(ensemble.tensors()["base"])
    value = trees.raw_predictions(graph, ensemble, encoded)
    return Member(value, example((outputs,), torch.float64), lambda raw, *_: ensemble.logits_of(raw))


MEMBERS: dict[str, Callable[[Graph, Model, Encoded], Member]] = {"net": _net, "trees": _trees}
"""By the kind of model."""
