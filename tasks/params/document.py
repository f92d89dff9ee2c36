"""The whole of params.yaml: its sections together, and how the file is read and told what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from models.errors import InputError
from tasks.params.data import Check, Data, Resample, Sensitive, Split, Target
from tasks.params.judging import Evaluate, Gates, Monitor, Registry
from tasks.params.learning import Model, Resources, Retrain, Search
from tasks.params.section import Section


class Params(Section):
    """All of params.yaml."""

    seed: Annotated[int, Field(ge=0)] = Field(
        0, description="Of everything that is drawn: the same one gives the same model."
    )
    data: Data = Field(default_factory=Data)
    target: Target = Field(default_factory=Target)
    sensitive: Literal["auto"] | tuple[str | Sensitive, ...] = Field(
        "auto",
        description="Sensitive attributes, by which groups are compared. auto: the catalogue's; of data of your own none.",
    )
    checks: tuple[Check, ...] = Field((), description="What is looked at in the rows before anything is trained.")
    split: Split = Field(default_factory=Split)
    resample: Resample = Field(default_factory=Resample)
    model: Model = Field(default_factory=Model)
    search: Search
    retrain: Retrain = Field(default_factory=Retrain)
    evaluate: Evaluate = Field(default_factory=Evaluate)
    gates: Gates
    registry: Registry = Field(default_factory=Registry)
    resources: Resources = Field(default_factory=Resources)
    monitor: Monitor = Field(default_factory=Monitor)

    @model_validator(mode="after")
    def _coherent(self) -> Params:
        from tasks.params.coherence import contradictions

        found = list(contradictions(self))
        if found:
            raise ValueError("\n".join(found))
        return self

    @property
    def model_name(self) -> str:
        """Name under which versions are registered."""
        return (
            self.registry.name or re.sub(r"^[^A-Za-z0-9]+|[^A-Za-z0-9_.-]+", "-", self.data.label).strip("-") or "model"
        )

    def only(self, sections: Iterable[str]) -> Params:
        """A view that has these sections alone; reading another is a defect of the stage and raises."""
        return _view({s: getattr(self, s) for s in sections})

    def sections(self) -> dict[str, Any]:
        """The sections that this view has, as JSON; `of_sections` makes the same view of them elsewhere."""
        return {name: kind.dump_python(self.__dict__[name], mode="json") for name, kind in _kinds(self.__dict__)}

    @staticmethod
    def of_sections(sections: Mapping[str, Any]) -> Params:
        """The view that `sections` was made of."""
        return _view({name: kind.validate_python(sections[name]) for name, kind in _kinds(sections)})


def _view(sections: Mapping[str, Any]) -> Params:
    view = Params.model_construct(_fields_set=set(sections), **sections)
    for missing in set(Params.model_fields) - set(sections):
        view.__dict__.pop(missing, None)
    return view


def _kinds(sections: Mapping[str, Any]) -> list[tuple[str, TypeAdapter[Any]]]:
    kinds: dict[str, Any] = {name: field.annotation for name, field in Params.model_fields.items()}
    return [(name, TypeAdapter(kinds[name])) for name in kinds if name in sections]


SECTIONS = tuple(Params.model_fields)
OF_A_MODEL = tuple(section for section in SECTIONS if section != "monitor")
"""What a model is made of and judged by; the monitor's policy is about what comes later."""


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, without its comments. Duplicate keys and broken syntax are named by line."""
    return parse_yaml(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of a YAML file; a missing one, or one that is not UTF-8, is an InputError."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} does not exist. Run in the working copy, or correct the path.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a YAML file. Name the file in it.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from None


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping that a YAML text holds."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise InputError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(value, dict):
        raise InputError(f"{where} must hold a mapping of sections; found {type(value).__name__}.")
    return value


def load_params(path: Path) -> Params:
    """Parse and check params.yaml. Every problem is listed at once: where, what was wrong, what to do."""
    return parse_params(read_yaml(path), str(path))


def parse_params(raw: Mapping[str, Any], where: str = "params.yaml") -> Params:
    """The typed object for a mapping. Types are taken strictly: a number in quotes is a text, and `true` is no number."""
    from tasks.params.errors import describe

    try:
        return Params.model_validate_json(json.dumps(raw, default=str), strict=True)
    except ValidationError as error:
        raise InputError(describe(error, raw, Params, where)) from None


def check_recipes(params: Params, where: str = "params.yaml") -> None:
    """Raise InputError unless every recipe of the search can be built. Imports torch, so it is not part of parsing."""
    from models.recipe import competitors
    from tasks.search.entrants import named

    competitors(named(params.search), f"{where}: search.recipes")


def schema() -> dict[str, Any]:
    """The JSON Schema of params.yaml, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Params.model_json_schema()}
