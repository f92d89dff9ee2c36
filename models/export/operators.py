"""The table of core ATen operations and the ONNX nodes that do the same.

Every rule is a few nodes of the standard operator set; an operation without a rule is refused by name.
"""

from __future__ import annotations

from models.export import arithmetic as number
from models.export import layout
from models.export.translate import Rule

UNARY = {
    "neg": "Neg", "abs": "Abs", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "reciprocal": "Reciprocal", "sign": "Sign",
    "round": "Round", "floor": "Floor", "sin": "Sin", "cos": "Cos", "erf": "Erf", "relu": "Relu", "sigmoid": "Sigmoid",
    "tanh": "Tanh", "logical_not": "Not",
}  # fmt: skip
BINARY = {
    "add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "pow": "Pow", "maximum": "Max", "minimum": "Min",
    "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "mm": "MatMul", "bmm": "MatMul",
}  # fmt: skip
COMPARED = {"eq": "Equal", "lt": "Less", "le": "LessOrEqual", "gt": "Greater", "ge": "GreaterOrEqual"}
REDUCED = {"sum": "ReduceSum", "mean": "ReduceMean", "amax": "ReduceMax", "amin": "ReduceMin", "prod": "ReduceProd"}
BITS = {
    "bitwise_and": ("And", "BitwiseAnd"),
    "bitwise_or": ("Or", "BitwiseOr"),
    "bitwise_xor": ("Xor", "BitwiseXor"),
}
SHIFTED = {"rshift": "RIGHT", "lshift": "LEFT"}

RULES: dict[str, Rule] = {
    **{name: number.unary(kind) for name, kind in UNARY.items()},
    **{name: number.binary(kind) for name, kind in BINARY.items()},
    **{name: number.compared(kind) for name, kind in COMPARED.items()},
    **{name: number.reduced(kind) for name, kind in REDUCED.items()},
    **{name: number.bitwise(*kinds) for name, kinds in BITS.items()},
    **{f"__{name}__": number.shifted(direction) for name, direction in SHIFTED.items()},
    "ne": number.compared("Equal", negated=True),
    "_softmax": number.normalized("Softmax"),
    "_log_softmax": number.normalized("LogSoftmax"),
    "bitwise_not": number.inverted, "isnan": number.isnan, "log1p": number.log1p, "rsqrt": number.rsqrt,
    "gelu": number.gelu, "clamp": number.clamp, "clamp_min": number.clamp, "where": number.chosen,
    "var": number.var, "linalg_vector_norm": number.norm, "argmax": number.argmax, "cumsum": number.cumsum,
    "searchsorted": number.searchsorted, "addmm": number.addmm, "convolution": number.convolution,
    "_native_batch_norm_legit_no_training": number.batch_norm, "native_layer_norm": number.layer_norm,
    "view": layout.view, "reshape": layout.view, "_unsafe_view": layout.view, "expand": layout.expand,
    "permute": layout.permute, "unsqueeze": layout.unsqueeze, "squeeze": layout.squeeze, "slice": layout.sliced,
    "select": layout.select, "cat": layout.cat, "flip": layout.flip, "constant_pad_nd": layout.pad,
    "index": layout.index, "index_select": layout.index_select, "gather": layout.gather, "embedding": layout.embedding,
    "_to_copy": layout.same, "clone": layout.same, "alias": layout.same, "detach": layout.same,
    "lift_fresh_copy": layout.same, "scalar_tensor": layout.same, "arange": layout.arange, "full": layout.full,
    "full_like": layout.filled(None), "zeros_like": layout.filled(0.0), "ones_like": layout.filled(1.0),
}  # fmt: skip
"""By the operation's name."""
