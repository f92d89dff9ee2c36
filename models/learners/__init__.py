"""Learners by name."""

import functools
import importlib
from typing import cast

from models.errors import InputError, nearest
from models.learners.learner import Learner, Model

_LEARNERS = {
    "mlp": "models.learners.torch:MLP",
    "resnet32": "models.learners.torch:ResNet32",
    "tabm": "models.learners.torch:TabM",
    "trees": "models.learners.trees:Trees",
}
SPARED = ("tabm",)
"""Learners of `auto` that train only what trains plainly, with what is adjusted afterwards; the fast ones do the rest."""

_MODELS = {
    "net": "models.learners.torch:NetModel",
    "trees": "models.learners.trees_model:TreesModel",
    "label_trees": "models.learners.label_trees:LabelTrees",
    "forest": "models.learners.forest_model:ForestModel",
    "mixture": "models.learners.mixture_model:MixtureModel",
    "simulated_forest": "models.learners.simulated_forest:SimulatedForest",
    "repaired": "models.learners.repaired_model:RepairedModel",
}


def _resolve(table: dict[str, str], name: str) -> type:
    if name not in table:
        raise InputError(f"no learner '{name}'. {nearest(name, table)}")
    module, _, attribute = table[name].partition(":")
    return cast("type", getattr(importlib.import_module(module), attribute))


@functools.cache
def learner(name: str) -> Learner:
    """The learner of this name."""
    return cast("Learner", _resolve(_LEARNERS, name)())


def model_class(kind: str) -> type[Model]:
    """The class that rebuilds a saved model of this kind."""
    return cast("type[Model]", _resolve(_MODELS, kind))


def resolve_learners(names: tuple[str, ...], image: bool) -> tuple[str, ...]:
    """`auto` spelled out: trees, mlp and tabm for tables, resnet32 for images; the others as they are, without repeats."""
    auto = ("resnet32",) if image else ("trees", "mlp", *SPARED)
    return tuple(dict.fromkeys(n for name in names for n in (auto if name == "auto" else (name,))))


def spared_learners(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those that only `auto` brought and that are too slow to try with everything."""
    return tuple(name for name in SPARED if name not in names)
