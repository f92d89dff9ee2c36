"""Aliases as an append-only log: each record is one move and holds the state after it; the highest number is the present.

One log per model holds all of its aliases, so that champion and previous move in one step. A record is created under the
next number or not at all: of two writers that saw the same state one gets the number, and the other looks again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from models.errors import RefusedError
from tasks.registry.manifest import FORMAT, CorruptError, seal, unseal
from tasks.registry.names import CHAMPION, PREVIOUS

Action = Literal["promote", "rollback"]


class AliasMovedError(RefusedError):
    """Someone else has moved the alias in the meantime. This move has not been made."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pointer(_Record):
    """What an alias points at; the digest pins the content, so that no other tree can take the version's place."""

    version: str
    digest: str


class Move(_Record):
    """One record of the log: `alias` went from one version to another; `aliases` is every alias after that."""

    format: int = FORMAT
    number: int
    action: Action
    alias: str
    from_version: str | None
    to_version: str
    aliases: dict[str, Pointer]
    who: str
    when: str
    why: str

    def content(self) -> bytes:
        """The record as it is stored."""
        return seal(self.model_dump(mode="json"))


def parse_move(content: bytes, where: str) -> Move:
    """A record that is intact."""
    record: dict[str, Any] = unseal(content, where)
    try:
        return Move.model_validate(record)
    except ValidationError as error:
        raise CorruptError(
            f"{where} is not a record of an alias ({error.error_count()} problems). Restore it from a backup."
        ) from None


def promoted(before: Move | None, alias: str, target: Pointer, who: str, when: str, why: str) -> Move:
    """The move that points `alias` at `target`. A champion that has to go stays as `previous`."""
    aliases = dict(before.aliases) if before else {}
    old = aliases.get(alias)
    if alias == CHAMPION and old is not None:
        aliases[PREVIOUS] = old
    aliases[alias] = target
    return Move(
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


def rolled_back(history: list[Move], who: str, when: str, why: str) -> Move | None:
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
