"""What a table holds: the kind and the role of every column, the target and its classes, the sensitive attributes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Task = Literal["binary", "multiclass", "ordinal", "multilabel", "regression"]
"""Kinds of target: one of two classes, of several, of several in order; any number of labels; a number."""
CLASSES: frozenset[Task] = frozenset({"binary", "multiclass", "ordinal"})
"""The kinds of target in which every row has one class."""
Kind = Literal["numeric", "categorical", "ordinal", "date", "identifier", "image"]
Role = Literal["feature", "target", "sensitive", "weight", "dropped"]
LABEL_SEPARATOR = ";"
"""Between the labels of a row in the typed table."""
NO_LABEL = "(no label)"
"""What a row without any label is balanced by."""
RESERVED = ("row_id", "official_split", "synthetic", "weight", "rehearsed")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(_Frozen):
    """One column of the typed table.

    `role` says what it is for; a column of role 'sensitive' is a group attribute, and `feature` says whether the same
    column also carries a feature (a raw categorical attribute does, the binned copy of a numeric one does not).
    `categories` lists the values of categorical and ordinal columns, in order. `note` says why a column was dropped.
    """

    name: str
    kind: Kind
    role: Role
    feature: bool = True
    categories: tuple[str, ...] | None = None
    note: str = ""


class Target(_Frozen):
    """What is predicted, and what it can be.

    `classes` are in the order of the class ids 0 … C-1: of two, the second is the positive one; classes with an order go
    from low to high. Of labels they are the labels, the most frequent first; a number has none.

    Where the target is no class, `balance_column` is the column that says what each row is balanced by, and
    `balance_classes` its values in the order of their ids: the bins of the number, whose cut points are `cuts`, or the
    rarest labels. The target column then holds numbers, or the row's labels joined by LABEL_SEPARATOR.
    """

    column: str
    kind: Task
    classes: tuple[str, ...] = ()
    cuts: tuple[float, ...] = ()
    balance_column: str | None = None
    balance_classes: tuple[str, ...] = ()

    @property
    def positive(self) -> str | None:
        """Name of the positive class of a binary target."""
        return self.classes[1] if self.kind == "binary" else None

    @property
    def counted(self) -> tuple[str, ...]:
        """What rows are counted by in every table of a report: the classes, the labels, or the bins of the number."""
        return self.classes or self.balance_classes

    @property
    def balanced_by(self) -> str:
        """The column of what rows are balanced by: the target itself, its bin, or its rarest label."""
        return self.balance_column or self.column

    @property
    def strata(self) -> tuple[str, ...]:
        """What rows are balanced by, in the order of the ids: the classes, the bins, or the rarest labels."""
        return self.balance_classes if self.balance_column else self.classes


class Attribute(_Frozen):
    """One sensitive attribute; `groups` in the order of the group ids 0 … G-1."""

    name: str
    groups: tuple[str, ...]


class Unlabelled(_Frozen):
    """Rows without a value of the target that are kept apart from all others: how many, and the hash of their table."""

    rows: int
    sha256: str


class Schema(_Frozen):
    """The description of a data set that travels with its rows and with every registered model."""

    dataset: str
    columns: tuple[Column, ...]
    target: Target
    sensitive: tuple[Attribute, ...] = ()
    time: str | None = None
    identifier: str | None = None
    weight: str | None = None
    unlabelled: Unlabelled | None = None

    def features(self, sensitive: bool) -> tuple[Column, ...]:
        """The columns a model may read, without the sensitive attributes unless they are asked for."""
        return tuple(
            c for c in self.columns if c.feature and (c.role == "feature" or (c.role == "sensitive" and sensitive))
        )
