"""params.yaml as typed, frozen objects: parsed once, here, and handed down."""

from tasks.params.data import CHECKS, Check, Data, Resample, Sensitive, Split, Target
from tasks.params.document import (
    OF_A_MODEL,
    SECTIONS,
    Params,
    check_recipes,
    load_params,
    parse_params,
    parse_yaml,
    read_text,
    read_yaml,
    schema,
)
from tasks.params.judging import Evaluate, Gates, Monitor, Registry, Rule
from tasks.params.learning import AUTO, Budget, Model, Resources, Retrain, Search

__all__ = [
    "AUTO", "CHECKS", "OF_A_MODEL", "SECTIONS", "Budget", "Check", "Data", "Evaluate", "Gates", "Model", "Monitor",
    "Params", "Registry", "Resample", "Resources", "Retrain", "Rule", "Search", "Sensitive", "Split", "Target", "check_recipes",
    "load_params", "parse_params", "parse_yaml", "read_text", "read_yaml", "schema",
]  # fmt: skip
