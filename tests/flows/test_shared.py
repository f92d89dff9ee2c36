"""A remote for other clones: what goes there comes back, and nothing that is broken there is believed.

A run that is killed and goes on in a fresh clone is in tests/end_to_end/test_interruptions.py.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.shared import Shared
from models.errors import InputError
from tasks.remote import VARIABLE, Bucket, Folder, Remote, remote_of_environment
from tasks.search.campaign import Result
from tasks.search.ledger import Ledger
from tests.s3_server import BUCKET, moto_server

KEY = "ab" + "0" * 62
NOTE = "cd" + "1" * 62
OUTPUTS = ("data/rows", "data/card.json")


class Cache:
    """DVC's cache of a working copy, without DVC."""

    def __init__(self, root: Path, remote: Remote) -> None:
        self.root = root
        self.shared = Shared(remote, self.place, root / "runs")

    def place(self, sum_: str) -> Path:
        return self.root / "files/md5" / sum_[:2] / sum_[2:]

    @property
    def note(self) -> Path:
        return self.root / "runs" / KEY[:2] / KEY / NOTE

    def add(self, content: bytes, suffix: str = "") -> str:
        name = hashlib.md5(content).hexdigest() + suffix
        self.place(name).parent.mkdir(parents=True, exist_ok=True)
        self.place(name).write_bytes(content)
        return name

    def files(self) -> dict[str, bytes]:
        return {str(p.relative_to(self.root)): p.read_bytes() for p in self.root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A bucket at moto, with the variables that lead there."""
    with moto_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield f"s3://{BUCKET}"


@pytest.fixture(params=["folder", "bucket"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    """An empty remote."""
    if request.param == "folder":
        return Folder(tmp_path / "remote")
    return Bucket(f"{request.getfixturevalue('address')}/{tmp_path.name}", BUCKET, tmp_path.name)


def made(root: Path, remote: Remote) -> Cache:
    """A cache in which a stage has a folder of 20 files and a file."""
    cache = Cache(root, remote)
    listed = [{"md5": cache.add(f"rows {i}".encode()), "relpath": f"part/{i}.parquet"} for i in range(20)]
    folder = cache.add(json.dumps(listed).encode(), ".dir")
    card = cache.add(b"{}")
    cache.note.parent.mkdir(parents=True)
    cache.note.write_text(
        json.dumps({"outs": [{"path": OUTPUTS[0], "md5": folder}, {"path": OUTPUTS[1], "md5": card}]})
    )
    return cache


def test_what_one_clone_offers_another_takes_in_the_layout_of_dvc(tmp_path: Path, remote: Remote) -> None:
    one, two = made(tmp_path / "one", remote), Cache(tmp_path / "two", remote)
    assert not two.shared.take(KEY, OUTPUTS)
    one.shared.offer(KEY)
    one.shared.offer(KEY)
    assert all(remote.has(name) for name in one.files())
    assert two.shared.take(KEY, OUTPUTS)
    assert two.files() == one.files()
    assert not os.access(two.place(hashlib.md5(b"{}").hexdigest()), os.W_OK) or os.geteuid() == 0


def broken(remote: Path) -> None:
    for path in remote.glob("files/md5/*/*"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")


def half_there(remote: Path) -> None:
    next(path for path in remote.glob("files/md5/*/*") if path.read_bytes() == b"rows 7").unlink()


def with_other_outputs(remote: Path) -> None:
    note = next(remote.glob("runs/*/*/*"))
    note.write_text(note.read_text().replace(OUTPUTS[1], "../elsewhere.json"))


def with_a_path_that_leads_outside(remote: Path) -> None:
    folder = next(remote.glob("files/md5/*/*.dir"))
    content = folder.read_bytes().replace(b"part/7", b"../../7")
    name = hashlib.md5(content).hexdigest()
    moved = remote / "files/md5" / name[:2] / f"{name[2:]}.dir"
    moved.parent.mkdir(exist_ok=True)
    moved.write_bytes(content)
    note = next(remote.glob("runs/*/*/*"))
    note.write_text(note.read_text().replace(folder.parent.name + folder.name, f"{name}.dir"))


def no_note(remote: Path) -> None:
    next(remote.glob("runs/*/*/*")).write_text("outs: [")


def cut_off(remote: Path) -> None:
    note = next(remote.glob("runs/*/*/*"))
    note.write_text("outs:\n- pa")


@pytest.mark.parametrize(
    "damage", [broken, half_there, with_other_outputs, with_a_path_that_leads_outside, no_note, cut_off]
)  # fmt: skip
def test_what_is_broken_or_half_there_counts_as_not_there(damage: Callable[[Path], None], tmp_path: Path) -> None:
    remote = Folder(tmp_path / "remote")
    made(tmp_path / "one", remote).shared.offer(KEY)
    damage(tmp_path / "remote")
    two = Cache(tmp_path / "two", remote)
    assert not two.shared.take(KEY, OUTPUTS)
    assert not two.note.exists()
    assert not list(two.root.glob(".*"))


def test_the_note_goes_last(tmp_path: Path, remote: Remote) -> None:
    one = made(tmp_path / "one", remote)
    one.place(hashlib.md5(b"{}").hexdigest()).unlink()  # as if the upload had been cut off there
    one.shared.offer(KEY)
    assert not remote.names(f"runs/{KEY[:2]}/{KEY}")


def test_a_remote_that_is_away_is_said_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    cache = made(tmp_path / "one", Folder(tmp_path / "file" / "below"))
    cache.shared.offer(KEY)
    assert "not stored for other clones: remote" in caplog.text
    assert not cache.shared.take(KEY, OUTPUTS)


def test_finished_trainings_are_known_to_a_search_in_another_clone(tmp_path: Path, remote: Remote) -> None:
    found = {(0, 0, trial): Result({"accuracy": trial / 10}) for trial in range(3)}
    one = Ledger(tmp_path / "one" / "identity", remote)
    for key, result in found.items():
        one.write(key, result)
    assert one.settled(60)
    assert Ledger(tmp_path / "two" / "identity", remote).load() == found
    assert Ledger(tmp_path / "two" / "another", remote).load() == {}


def test_a_wrong_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "s4://key:secret@bucket/x")
    with pytest.raises(InputError, match=VARIABLE) as raised:
        remote_of_environment()
    assert "secret" not in str(raised.value)
    monkeypatch.setenv(VARIABLE, "")
    assert remote_of_environment() is None
