"""The registry on a store: versions, and aliases on them that move one step at a time and remember every step."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from models.errors import InputError, nearest
from tasks.identity import redacted
from tasks.registry.aliases import AliasMovedError, Move, Pointer, parse_move, promoted, rolled_back
from tasks.registry.interface import Expected, Loaded
from tasks.registry.names import CHAMPION, PREVIOUS, check_alias, check_name, version_number
from tasks.registry.record import now, who
from tasks.registry.seals import CorruptError
from tasks.registry.store import ALIASES, Series
from tasks.registry.versions import READERS, Versions


class StoredRegistry(Versions):
    """See interface.Registry: versions and aliases of models in one store."""

    def load(self, name: str, which: str = CHAMPION) -> Loaded:
        """A version, by its id or by an alias, with every file verified; what differs from the manifest is never loaded."""
        if version_number(which) is not None:
            return self.verified(name, which)
        pointer = self.resolve(name, which)
        return self.verified(name, pointer.version, pointer.digest)

    def aliases(self, name: str) -> dict[str, str]:
        """Where each alias of a model points: alias -> version."""
        latest = self._latest(check_name(name))
        return {alias: p.version for alias, p in latest.aliases.items()} if latest else {}

    def resolve(self, name: str, which: str) -> Pointer:
        """The version, with its digest, that a version id or an alias stands for."""
        check_name(name)
        if version_number(which) is not None:
            return Pointer(version=which, digest=self.manifest(name, which).digest)
        check_alias(which)
        latest = self._latest(name)
        if latest is not None and which in latest.aliases:
            return latest.aliases[which]
        newest = self.latest(name)
        if newest is None:
            raise InputError(f"{name} is not in the registry {self.url}. {self._known_names(name)}")
        known = [*(latest.aliases if latest else ()), newest]
        raise InputError(f"{name}@{which}: no such alias in {self.url}. {nearest(which, known)}")

    def promote(
        self,
        name: str,
        version: str,
        alias: str = CHAMPION,
        expected: str | Expected | None = Expected.PRESENT,
        why: str = "",
    ) -> Move | None:
        """Point an alias at a version, if it still points at `expected` (None: at nothing yet); None when it did already.

        By default `expected` is what the alias points at when the call begins. So of promotions that overlap one is made,
        and the others raise AliasMovedError. A champion that is replaced becomes `previous`. The version is verified.
        """
        check_alias(alias)
        if alias == PREVIOUS:
            raise InputError(
                f"'{PREVIOUS}' follows from promotions and cannot be set. Promote a version to '{CHAMPION}', or roll back."
            )
        before = self._latest(check_name(name))
        wanted = _version(before, alias) if isinstance(expected, Expected) else expected
        loaded = self.verified(name, version)
        target = Pointer(version=loaded.version, digest=loaded.manifest.digest)
        while _version(before, alias) != target.version:
            _check_unmoved(name, alias, wanted, _version(before, alias), f"{target.version} was not made {alias}")
            move = promoted(name, before, alias, target, who(), now(), redacted(why))
            if self._append(name, move):
                return move
            before = self._latest(name)
        return None

    def rollback(self, name: str, why: str = "", expected: str | Expected = Expected.PRESENT) -> Move:
        """Bring back the champion before the present one; a second rollback goes one further back.

        If the champion is not the `expected` version any more, AliasMovedError: two that ask for the end of the same
        champion do not take away the one before it as well.
        """
        history = self.history(name)
        wanted = _champion(history) if isinstance(expected, Expected) else expected
        while True:
            _check_unmoved(name, CHAMPION, wanted, _champion(history), "nothing was rolled back")
            move = rolled_back(name, history, who(), now(), redacted(why))
            if move is None:
                raise InputError(
                    f"{name} has no previous champion to go back to. See `equipoise registry show {name}`, and promote a version."
                )
            self.verified(name, move.to_version, move.aliases[CHAMPION].digest)
            if self._append(name, move):
                return move
            history = self.history(name)

    def history(self, name: str) -> list[Move]:
        """Every move of every alias of a model, oldest first."""
        last = self.store.last(Series(check_name(name), ALIASES))
        with ThreadPoolExecutor(READERS) as threads:
            return list(threads.map(lambda number: self._move(name, number), range(1, last + 1)))

    def _latest(self, name: str) -> Move | None:
        last = self.store.last(Series(name, ALIASES))
        return self._move(name, last) if last else None

    def _move(self, name: str, number: int) -> Move:
        series = Series(name, ALIASES)
        content = self.store.read(series, number)
        where = self.store.where(series, number)
        if content is None:
            raise CorruptError(f"{where} is missing from the history of {name}. Restore it from a backup.")
        return parse_move(content, where, self.seals, name, number)

    def _append(self, name: str, move: Move) -> bool:
        return self.store.create(Series(name, ALIASES), move.number, move.content(self.seals))


def _version(move: Move | None, alias: str) -> str | None:
    return move.aliases[alias].version if move and alias in move.aliases else None


def _champion(history: list[Move]) -> str | None:
    return _version(history[-1], CHAMPION) if history else None


def _check_unmoved(name: str, alias: str, wanted: str | None, present: str | None, outcome: str) -> None:
    if present != wanted:
        raise AliasMovedError(
            f"{name}: '{alias}' was expected to be {wanted or 'unset'}, but someone else has moved it to {present or 'nothing'}; "
            f"{outcome}. Look at `equipoise registry show {name}` and decide again."
        )
