"""A whole predictor as an ONNX model: preprocessing, every refit, their mean, the adjustments and the decision."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, cast

import onnx
import torch
from torch import Tensor

from models.adjustment import apply_adjusters, together
from models.balancing.component import Scores
from models.errors import InputError
from models.export import columns, trees
from models.export.columns import Encoded
from models.export.graph import Graph
from models.export.operators import RULES
from models.export.trace import example, trace
from models.export.translate import Translation
from models.learners.label_trees import LabelTrees
from models.learners.learner import Model
from models.learners.net_model import NetModel
from models.learners.trees_model import TreesModel
from models.predictor import Predictor
from models.schema import Target, Task

DECISION, PROBABILITIES, PREDICTION = "decision", "probabilities", "prediction"


class Member(NamedTuple):
    """One refit on its way into the graph: a value that it begins with, and what of it is traced."""

    value: str
    example: Tensor
    logits: Callable[[Tensor, Tensor, Tensor], Tensor]
    """The member's own value, numeric columns and category ids -> logits [rows, C]."""


def to_onnx(predictor: Predictor, name: str, properties: Mapping[str, str] | None = None) -> onnx.ModelProto:
    """The model. Inputs are the raw columns by name; outputs what the kind of target asks for, as `OUTPUTS` has them.

    The classes or labels, in the order of the probabilities, are in the metadata, with the recipe and `properties`. Raises
    InputError, with what stands in the way, for a predictor with operations that the export does not know.
    """
    graph, schema = Graph(), predictor.schema
    kind = schema.target.kind
    said = OUTPUTS.get(kind, Said(_of_classes, _class_outputs))
    encoded = columns.encoded(graph, predictor.preprocessor)
    members = [_member(graph, model, encoded) for model in predictor.models]

    def score(numeric: Tensor, categorical: Tensor, groups: Tensor, *own: Tensor) -> tuple[Tensor, ...]:
        logits = [m.logits(value, numeric, categorical) for m, value in zip(members, own, strict=True)]
        scores = apply_adjusters(predictor.adjusters, predictor.states, together(logits, kind), groups)
        return said.tensors(scores, predictor)

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
    said.declare(graph, Translation(graph, traced).run(values, RULES, what), schema.target)
    about = {
        "target": schema.target.column,
        "kind": kind,
        "classes": json.dumps(schema.target.classes, ensure_ascii=False),
        "recipe": predictor.recipe,
        **(properties or {}),
    }
    return graph.model(name, f"{name}: predicts {schema.target.column} on {schema.dataset}", about)


class Said(NamedTuple):
    """What the graph says for a kind of target: tensors of the scores, and how they are declared as outputs."""

    tensors: Callable[[Scores, Predictor], tuple[Tensor, ...]]
    declare: Callable[[Graph, Sequence[str], Target], None]


def _of_classes(scores: Scores, _: Predictor) -> tuple[Tensor, ...]:
    return scores.log_probabilities.exp(), scores.decision.argmax(-1)


def _class_outputs(graph: Graph, values: Sequence[str], target: Target) -> None:
    """`decision` (text) and `probabilities` [rows, C] float64."""
    probabilities, decision = values
    names = graph.add("Gather", graph.constant(list(target.classes), object), decision, axis=0)
    graph.output(DECISION, names, onnx.TensorProto.STRING, (), f"the class decided for, of '{target.column}'")
    _probability_output(graph, probabilities, target, "classes")


def _of_labels(scores: Scores, _: Predictor) -> tuple[Tensor, ...]:
    return scores.log_probabilities.exp(), (scores.decision > 0).long()


def _label_outputs(graph: Graph, values: Sequence[str], target: Target) -> None:
    """`decision` [rows, L] int64, 1 for a label that is decided for, and `probabilities` [rows, L] float64."""
    probabilities, decision = values
    labels = ", ".join(target.classes)
    note = f"1 for each label decided for, else 0: {labels}, in this order"
    graph.output(DECISION, decision, onnx.TensorProto.INT64, (len(target.classes),), note)
    _probability_output(graph, probabilities, target, "labels")


def _of_a_number(scores: Scores, predictor: Predictor) -> tuple[Tensor, ...]:
    number, scale = scores.decision[:, 0], predictor.preprocessor.target_scale
    return (number * scale.deviation + scale.mean if scale is not None else number,)


def _number_output(graph: Graph, values: Sequence[str], target: Target) -> None:
    """`prediction` [rows] float64, in the target's own unit."""
    note = f"'{target.column}', in its own unit"
    graph.output(PREDICTION, values[0], onnx.TensorProto.DOUBLE, (), note)


def _probability_output(graph: Graph, probabilities: str, target: Target, what: str) -> None:
    note = f"of the {what} {', '.join(target.classes)}, in this order"
    graph.output(PROBABILITIES, probabilities, onnx.TensorProto.DOUBLE, (len(target.classes),), note)


OUTPUTS: dict[Task, Said] = {
    "multilabel": Said(_of_labels, _label_outputs),
    "regression": Said(_of_a_number, _number_output),
}
"""By kind of target, where it is not classes."""


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


def _label_trees(graph: Graph, model: Model, encoded: Encoded) -> Member:
    """A node of trees for each label, side by side."""
    labels = cast("LabelTrees", model)
    widths = [len(ensemble.tensors()["base"]) for ensemble in labels.ensembles]
    each = [trees.raw_predictions(graph, ensemble, encoded) for ensemble in labels.ensembles]
    ends = list(itertools.accumulate(widths))
    parts = [slice(end - width, end) for width, end in zip(widths, ends, strict=True)]

    def logits(raw: Tensor, *_: Tensor) -> Tensor:
        return labels.logits_of([raw[:, part] for part in parts])

    return Member(graph.add("Concat", *each, axis=1), example((ends[-1],), torch.float64), logits)


MEMBERS: dict[str, Callable[[Graph, Model, Encoded], Member]] = {
    "net": _net,
    "trees": _trees,
    "label_trees": _label_trees,
}
"""By the kind of model."""
