"""Aliases as an append-only log: each record is one move and holds the state after it; the highest number is the present.

One log per model holds all of its aliases, so that champion and previous move in one step. A record is created under the
next number or not at all: of two writers that saw the same state one gets the number, and the other looks again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import RefusedError
from tasks.registry.names import CHAMPION, PREVIOUS
from tasks.registry.seals import FORMAT, CorruptError, Seals

Action = Literal["promote", "rollback"]
KIND = "move of an alias"


class AliasMovedError(RefusedError):
    """Someone else has moved the alias in the meantime. This move has not been made."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pointer(_Record):
    """What an alias points at; the digest pins the content, so that no other tree can take the version's place."""

    version: str
    digest: str


class Move(_Record):
    """One record of the log: `alias` went from one version to another; `aliases` is every alias after that.

    `token` tells this move from any other: a writer that never got an answer knows by it whether it was made.
    """

    format: int = FORMAT
    name: str
    number: int
    action: Action
    alias: str
    from_version: str | None
    to_version: str
    aliases: dict[str, Pointer]
    who: str
    when: str
    why: str
    token: str = Field(default_factory=lambda: uuid4().hex)

    def content(self, seals: Seals) -> bytes:
        """The record as it is stored."""
        return seals.seal(KIND, self.model_dump(mode="json"))


def parse_move(content: bytes, where: str, seals: Seals, name: str, number: int) -> Move:
    """A record that is intact, signed if keys are trusted, and the one that was asked for."""
    record: dict[str, Any] = seals.unseal(KIND, content, where)
    try:
        # Records of before they named their model, or had a token, are read as they are.
        move = Move.model_validate({"name": name, "token": "", **record})
    except ValidationError as error:
        raise CorruptError(
            f"{where} is not a record of an alias ({error.error_count()} problems). Restore it from a backup."
        ) from None
    if (move.name, move.number) != (name, number):
        raise CorruptError(f"{where} says that it is move {move.number} of {move.name}. Nothing was loaded.")
    return move


def promoted(name: str, before: Move | None, alias: str, target: Pointer, who: str, when: str, why: str) -> Move:
    """The move that points `alias` at `target`. A champion that has to go stays as `previous`."""
    aliases = dict(before.aliases) if before else {}
    old = aliases.get(alias)
    if alias == CHAMPION and old is not None:
        aliases[PREVIOUS] = old
    aliases[alias] = target
    return Move(
        name=name,
        number=(before.number if before else 0) + 1,
        action="promote",
        alias=alias,
        from_version=old.version if old else None,
        to_version=target.version,
        aliases=dict(sorted(aliases.items())),
        who=who,
        when=when,
        why=why,
    )


def rolled_back(name: str, history: list[Move], who: str, when: str, why: str) -> Move | None:
    """The move that brings back the champion before this one; None when there is none.

    Champions form a stack: a promotion puts one on top, a rollback takes it off. So a second rollback goes one further
    back, and never returns to the version that the first one removed.
    """
    stack = champions(history)
    if len(stack) < 2:
        return None
    before = history[-1]
    aliases = dict(before.aliases)
    aliases[CHAMPION] = stack[-2]
    aliases.pop(PREVIOUS, None)
    if len(stack) > 2:
        aliases[PREVIOUS] = stack[-3]
    return Move(
        name=name,
        number=before.number + 1,
        action="rollback",
        alias=CHAMPION,
        from_version=stack[-1].version,
        to_version=stack[-2].version,
        aliases=dict(sorted(aliases.items())),
        who=who,
        when=when,
        why=why,
    )


def champions(history: Iterable[Move]) -> list[Pointer]:
    """The stack of champions that the moves leave, the present one last."""
    stack: list[Pointer] = []
    for move in history:
        if move.alias != CHAMPION:
            continue
        if move.action == "rollback":
            stack.pop()
        else:
            stack.append(move.aliases[CHAMPION])
    return stack
