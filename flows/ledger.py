"""DVC's record of the stages: which are up to date, and how one that ran in this process gets into it.

After `run`, dvc.lock says what it would say after `dvc repro`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from flows.lockfile import note, record
from flows.shared import Shared
from models.errors import BusyError, EquipoiseError, InputError
from tasks.remote import remote_of_environment

if TYPE_CHECKING:
    from dvc.repo import Repo

Done = Literal["up to date", "restored", "ran"]

FRESH_SECONDS = 2.0
"""So long a look at a stage's dependencies does for the next stage too; between them may be an upload of minutes."""


class Ledger:
    """The record of one working copy. To be used by the holder of `flows.lock.working_copy`, in one thread."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._repo = _open(self._root)
        self._due: set[str] = set()
        self._read: dict[str, Any] = {}
        self._used: set[str] = set()
        self._seen: dict[str, Any] = {}
        self._looked = -math.inf
        """What the stage that was recorded just now depends on, as DVC found it, and when: the next one looks at much of it again."""
        remote = remote_of_environment()
        cache = self._repo.cache
        self._shared: Shared | None = None
        if remote is not None:
            notes = Path(self._repo.stage_cache.cache_dir)
            self._shared = Shared(remote, lambda sum_: Path(cache.local.oid_to_path(sum_)), notes)

    def outdated(self, *names: str) -> dict[str, str]:
        """The stages (all, or those named) that DVC would run, each with the reason."""
        status: dict[str, Any] = {}
        with _clear(self._root), self._repo.lock:
            for stage in [self._stage(name) for name in names] or self._stages():
                status.update(stage.status() if _is_recorded(stage) else {stage.addressing: ["it was never run"]})
        self._due.update(status)
        return {name: _reason(entries) for name, entries in status.items()}

    def is_due(self, name: str) -> bool:
        """Whether a stage has to be brought up to date.

        What was due is not asked about again; should it be so no more, DVC's cache knows what it makes of its inputs.
        """
        return name in self._due or name in self.outdated(name)

    @contextlib.contextmanager
    def held(self, killed: int | None = None) -> Iterator[None]:
        """Nobody else may write any stage's outputs: `dvc repro` and `dvc checkout` are refused meanwhile, by DVC itself.

        What the process `killed` held is given free first: DVC would do so too, unless its number is in use again.
        """
        from dvc.rwlock import rwlock

        command = " ".join(sys.argv)
        with _clear(self._root):
            outputs = [out.fs_path for stage in self._stages() for out in stage.outs]
            self._mend()
            self._forget({killed, os.getpid()})
            held = rwlock(self._repo.tmp_dir, self._repo.fs, command, [], outputs, self._hardlinks)
            held.__enter__()
        try:
            yield
        finally:
            held.__exit__(None, None, None)

    def _mend(self) -> None:
        """Put away DVC's table of who holds what if a process was killed while it wrote it, as DVC would refuse to read it."""
        from dvc.lock import make_lock
        from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK

        table, guard = (os.path.join(self._repo.tmp_dir, name) for name in (RWLOCK_FILE, RWLOCK_LOCK))
        with make_lock(guard, tmp_dir=self._repo.tmp_dir, hardlink_lock=self._hardlinks):
            try:
                json.loads(Path(table).read_text(encoding="utf-8"))
            except FileNotFoundError:
                return
            except ValueError:
                os.unlink(table)

    def _forget(self, processes: set[int | None]) -> None:
        """Remove what these processes hold from DVC's table; only to be used of processes that are gone."""
        from dvc.rwlock import _edit_rwlock

        with _edit_rwlock(self._repo.tmp_dir, self._repo.fs, self._hardlinks) as table:
            for path, holder in list(table["write"].items()):
                if holder["pid"] in processes:
                    del table["write"][path]
            for path, holders in list(table["read"].items()):
                table["read"][path] = [holder for holder in holders if holder["pid"] not in processes]

    def run(self, name: str, execute: Callable[[], None], force: bool = False) -> Done:
        """Bring one stage up to date: leave it, take its outputs from DVC's cache, or execute it; then record it.

        Where there is a remote for other clones, what they did comes from there, and what was done here goes there.

        Raises InputError, and records nothing, when a file or parameter it depends on changed while it ran: nobody could
        say what its outputs were made from.
        """
        if not force and not self.is_due(name):
            return "up to date"
        stage = self._stage(name)
        self._used.add(name)
        seen, self._seen = self._seen if time.monotonic() - self._looked < FRESH_SECONDS else {}, {}
        with _clear(self._root), self._repo.lock:
            if not (recorded := _is_recorded(stage)):
                with _unchanging(stage, seen=seen):
                    stage.save_deps()
            with _unchanging(stage, saved=not recorded, seen=seen):
                # As `dvc repro` does: what an attempt left that was refused is in no cache, and DVC would not overwrite it.
                stage.remove_outs()
                restored = not force and self._restored(stage)
                if not restored:
                    stage.save_deps()
                before = _sums(stage)
        if not restored:
            execute()
        done: Done = "restored" if restored else "ran"
        with _clear(self._root), self._repo.lock:
            known_as = self._record(stage, before)
        if self._shared is not None and known_as is not None:
            self._shared.offer(known_as)
        self._due.discard(name)
        return done

    def _record(self, stage: Any, before: dict[str, Any]) -> str | None:
        """What `dvc commit` does, unless the stage's dependencies are no more what they were `before` it ran.

        Returns what DVC's run cache calls the stage.
        """
        from dvc.stage.serialize import to_single_stage_lockfile

        looked = time.monotonic()
        stage.save(run_cache=False)
        if changed := [dep for dep, sum_ in _sums(stage).items() if before[dep] != sum_]:
            raise InputError(
                f"{stage.name}: {', '.join(changed)} changed while it ran, so its result is not recorded. Run again."
            )
        stage.commit()
        with _unchanging(stage, saved=True):
            known_as = _key(stage)
            if known_as is not None:
                self._note(stage, known_as)
        record(self._root / "dvc.lock", stage.name, to_single_stage_lockfile(stage))
        self._seen, self._looked = {dep.fs_path: dep for dep in stage.deps}, looked
        return known_as

    def _note(self, stage: Any, known_as: str) -> None:
        """Keep in DVC's run cache what the stage made, as DVC does; but written faster where nothing is there yet."""
        from dvc.stage.cache import _get_cache_hash
        from dvc.stage.serialize import to_single_stage_lockfile

        entry = to_single_stage_lockfile(stage)
        path = Path(self._repo.stage_cache.cache_dir, known_as[:2], known_as, _get_cache_hash(entry))
        if path.exists() or not all(out.use_cache for out in stage.outs):
            self._repo.stage_cache.save(stage)
        else:
            note(path, entry)

    @property
    def cache(self) -> Path:
        """Where DVC keeps what the stages wrote."""
        return Path(self._repo.cache.local.path)

    @property
    def remote(self) -> str | None:
        """The name of DVC's default remote, if there is one."""
        name = self._repo.config["core"].get("remote")
        return str(name) if name else None

    def _restored(self, stage: Any) -> bool:
        """Whether DVC's cache knew what the stage makes of its present inputs; as `dvc repro` does before it runs one.

        What it does not know, another clone may.
        """
        if self._known_here(stage):
            return True
        known_as = _key(stage)
        if self._shared is None or known_as is None:
            return False
        return self._shared.take(known_as, {out.def_path for out in stage.outs}) and self._known_here(stage)

    def _known_here(self, stage: Any) -> bool:
        from dvc.stage.cache import RunCacheNotFoundError

        try:
            self._repo.stage_cache.restore(stage)
        except RunCacheNotFoundError:
            return False
        return True

    def _stages(self) -> list[Any]:
        """All stages as dvc.yaml and dvc.lock have them."""
        from dvc.repo.index import Index

        if self._used or not self._read:
            self._read = {stage.addressing: stage for stage in Index.from_repo(self._repo).stages}
            self._used.clear()
        return list(self._read.values())

    def _stage(self, name: str) -> Any:
        """One of them. Read anew if an attempt has used it: what that found is not what dvc.lock says."""
        if name in self._read and name not in self._used:
            return self._read[name]
        with _clear(self._root):
            (stage,) = self._repo.stage.collect(name)
        return stage

    @property
    def _hardlinks(self) -> bool:
        return bool(self._repo.config["core"].get("hardlink_lock", False))


def _open(root: Path) -> Repo:
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    # DVC sets its logger up for its own command line, where a note of every write is wanted.
    logging.getLogger("dvc").setLevel(logging.WARNING)
    try:
        with _clear(root):
            repo = Repo(str(root))
            _look_once_at_the_index(repo.scm)
            return repo
    except NotDvcRepoError:
        raise InputError(
            f"{root} is no working copy of Equipoise: it has no .dvc folder. Run in the clone, or see `equipoise doctor`."
        ) from None


def _look_once_at_the_index(scm: Any) -> None:
    """Have DVC, which reads all of git's index for every output, read it once as long as it stays the same."""
    git = getattr(scm, "dulwich", None)
    if git is None:  # a working copy without git
        return
    index = Path(git.repo.index_path())

    @functools.lru_cache(maxsize=1)
    def tracked(_state: tuple[int, int, int] | None) -> frozenset[str]:
        paths = [os.fsdecode(path) for path in git.repo.open_index()]
        return frozenset(above for path in paths for above in (path, *map(str, PurePosixPath(path).parents)))

    def is_tracked(path: str) -> bool:
        state = index.stat() if index.exists() else None
        known = tracked(None if state is None else (state.st_mtime_ns, state.st_size, state.st_ino))
        return Path(os.path.relpath(path, scm.root_dir)).as_posix() in known

    scm.is_tracked = is_tracked


def _sums(stage: Any) -> dict[str, Any]:
    """What a stage was found to depend on: files by their sums, parameters by their values, in whatever order and spelling."""
    return {str(dep): dep.hash_info for dep in stage.deps}


def _key(stage: Any) -> str | None:
    """What DVC's run cache calls a stage with its present inputs; None where it knows none."""
    from dvc.stage.cache import _can_hash, _get_stage_hash

    return str(_get_stage_hash(stage)) if _can_hash(stage) else None


def _reason(entries: list[Any]) -> str:
    """Of DVC's status of a stage, the first thing that changed."""
    for entry in entries:
        if isinstance(entry, str):
            return {"changed checksum": "its command changed"}.get(entry, entry)
        for what, changed in entry.items():
            path, how = next(iter(changed.items()))
            if isinstance(how, dict):
                path, how = next(iter(how.items()))
            return f"{path} {'is ' if what == 'changed outs' else ''}{how}"
    return "changed"


def _is_recorded(stage: Any) -> bool:
    """Whether dvc.lock says what the stage was made from."""
    return any(dep.hash_info for dep in stage.deps)


@contextlib.contextmanager
def _unchanging(stage: Any, saved: bool = False, seen: Mapping[str, Any] = MappingProxyType({})) -> Iterator[None]:
    """Within the block what a stage depends on stays as it is: DVC, which looks at all of it at every question, looks once.

    If it is `saved`, DVC has just looked; at what it has `seen` for another stage it does not look again.
    """
    from dvc.dependency.base import Dependency

    for dep in stage.deps:
        if saved:
            dep.get_hash, dep.save = functools.partial(getattr, dep, "hash_info"), lambda: None
        elif dep.fs_path in seen and type(dep) is Dependency:
            dep.get_hash = functools.partial(getattr, seen[dep.fs_path], "hash_info")
            dep.save = functools.partial(_take, dep, seen[dep.fs_path])
        else:
            dep.get_hash, dep.save = functools.cache(dep.get_hash), functools.cache(dep.save)
    try:
        yield
    finally:
        for dep in stage.deps:
            del dep.get_hash, dep.save


def _take(dep: Any, seen: Any) -> None:
    """What DVC would find for `dep` once more."""
    dep.hash_name, dep.hash_info, dep.meta, dep.obj, dep.files = (
        seen.hash_name,
        seen.hash_info,
        seen.meta,
        seen.obj,
        None,
    )


@contextlib.contextmanager
def _clear(root: Path) -> Iterator[None]:
    """DVC's errors as ours: a lock says who holds it, and every other says what DVC was asked to look at."""
    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.lock import LockError

    try:
        yield
    except LockError as error:
        raise BusyError(f"DVC is at work in {root}: {error}") from None
    except NotDvcRepoError:
        raise
    except DvcException as error:
        causes: list[str] = []
        cause: BaseException | None = error
        while isinstance(cause, Exception):
            causes.append(str(cause))
            cause = cause.__cause__
        raise EquipoiseError(f"DVC: {': '.join(dict.fromkeys(causes))}. See `equipoise doctor`.") from error
