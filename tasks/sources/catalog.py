"""data/catalog.yaml as typed, frozen objects: where each known data set comes from and what its columns mean."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.errors import InputError, nearest
from models.schema import Kind, Task
from tasks.params import Sensitive, read_yaml

CATALOGUE = Path(__file__).resolve().parents[2] / "data" / "catalog.yaml"
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Format = Literal["csv", "parquet", "mnist_idx", "cifar_binary"]
Bundle = Literal["lending", "conditions", "digits", "breast_cancer", "diabetes"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class File(_Frozen):
    """One file of a source. `name` is its path below the mirror or the download folder, `part` its published part."""

    name: str
    sha256: Sha256
    url: str | None = None
    part: Literal["train", "test"] | None = None


class Files(_Frozen):
    """Where a data set's files are and how they are written.

    Without a `header`, the columns have the names of the entry's `columns`, in their order. `comment` starts lines that
    are not rows.
    """

    format: Format
    files: tuple[File, ...] = Field(min_length=1)
    header: bool = True
    separator: str = ","
    comment: str | None = None


class Bundled(_Frozen):
    """A data set that is always there: generated, or part of scikit-learn, whose values must have this sum."""

    format: Bundle
    values_sha256: Sha256 | None = None


class Column(_Frozen):
    """What a column holds; `order` lists the values of an ordinal one from low to high."""

    kind: Kind
    order: tuple[str, ...] | None = None


class CatalogueTarget(_Frozen):
    """What is predicted, as in `params.Target`. `strip` are characters to remove around a label, `names` give labels a readable name."""

    column: str
    kind: Literal["auto"] | Task = "auto"
    columns: tuple[str, ...] | None = None
    positive: str | None = None
    strip: str = ""
    names: dict[str, str] = Field(default_factory=dict)
    bins: tuple[float, ...] | None = None
    order: tuple[str, ...] | None = None
    separator: str | None = None
    balance_bins: int | tuple[float, ...] | None = None


class CatalogueSensitive(Sensitive):
    """A sensitive attribute; `of` names the raw column that it is a coarser copy of, which is as sensitive."""

    of: str | None = None


class Derived(_Frozen):
    """A new column that translates the values of another, or of itself; a value that is not listed becomes missing."""

    column: str
    source: str
    values: dict[str, str]


class Filter(_Frozen):
    """Rows that stay: a number `between` two others, both included, or a value that is not one to `exclude`."""

    column: str
    why: str
    between: tuple[float, float] | None = None
    exclude: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _one_rule(self) -> Filter:
        if (self.between is None) == (self.exclude is None):
            raise ValueError("give either between or exclude")
        return self


class LongTail(_Frozen):
    """Class c of C keeps its first floor(largest * ratio^(-c/(C-1))) training rows (Cao et al. 2019, exponential tail).

    `at_least` is the smallest ratio that the files can serve, `default` the one taken when params name none.
    """

    largest: int
    at_least: float
    default: float | None = None


class Entry(_Frozen):
    """One data set: it comes `bundled`, or from a `mirror` of files, or from its `public` source."""

    about: str
    licence: str
    home: str | None = None
    bundled: Bundled | None = None
    mirror: Files | None = None
    public: Files | None = None
    keep: tuple[str, ...] | None = Field(None, description="The columns to read, where a source has more.")
    missing: tuple[str, ...] | None = Field(None, description="Texts that mean 'no value', besides the empty one.")
    derive: tuple[Derived, ...] = ()
    filters: tuple[Filter, ...] = ()
    target: CatalogueTarget
    sensitive: tuple[str | CatalogueSensitive, ...] = ()
    time: str | None = None
    long_tail: LongTail | None = None
    drop: dict[str, str] = Field(default_factory=dict, description="Columns that are no features, and why.")
    columns: dict[str, Column] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _some_source(self) -> Entry:
        if self.bundled is None and self.public is None:
            raise ValueError("name a public source, or a bundled one")
        if self.public is not None and any(f.url is None for f in self.public.files):
            raise ValueError("every file of the public source needs a url")
        return self

    @property
    def attributes(self) -> tuple[CatalogueSensitive, ...]:
        """The sensitive attributes, those given by name alone too."""
        return tuple(CatalogueSensitive(column=s) if isinstance(s, str) else s for s in self.sensitive)


@functools.cache
def load_catalogue(path: Path = CATALOGUE) -> dict[str, Entry]:
    """All entries by name. A wrong entry is an InputError that names its key."""
    entries: dict[str, Entry] = {}
    for name, raw in read_yaml(path).items():
        try:
            entries[name] = Entry.model_validate(raw)
        except ValidationError as error:
            problems = [f"{path.name}: {'.'.join(map(str, (name, *e['loc'])))}: {e['msg']}." for e in error.errors()]
            raise InputError("\n".join(problems)) from None
    return entries


def find_entry(name: str, path: Path = CATALOGUE) -> Entry:
    """The entry of a data set; an unknown name is an InputError that gives the nearest one."""
    entries = load_catalogue(path)
    if name not in entries:
        raise InputError(
            f"data.name: there is no data set '{name}' in data/catalog.yaml. {nearest(name, entries)} "
            "For data of your own, set data.name to null and give data.path."
        )
    return entries[name]
