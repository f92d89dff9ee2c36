"""A registry in a folder when things break: writers killed at every step, full and read-only disks, what is left behind."""

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from models.errors import EquipoiseError, InputError
from tasks.registry import open_registry
from tasks.registry.files import FileStore

KILLED_AT_EVERY_STEP = """
import os, shutil, signal, sys
from pathlib import Path
from tasks.registry import open_registry

root = Path(sys.argv[1])
url = f"file://{root}"

def work():
    registry = open_registry(url)
    files = {"a.json": b"1" * 100_000, "b/c.json": b"{}"}
    version = registry.publish("adult", files, run="second", summary={}).version
    registry.promote("adult", version)

def attempt(kill_at):
    '''Run `work` in a child that dies by SIGKILL just before its n-th operation on the file system; the child's status.'''
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    left = [kill_at]
    def watch(event, arguments):
        if event.startswith(("open", "os.", "shutil.", "fcntl.")) and any(str(root) in str(a) for a in arguments):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
    work()
    os._exit(0)

def check(registry):
    '''All that is visible is whole.'''
    for version in registry.versions("adult"):
        registry.load("adult", version)
    moves = registry.history("adult")
    assert [m.number for m in moves] == list(range(1, len(moves) + 1))
    assert registry.load("adult", "champion").version in ("v1", "v2")

tried = survived = 0
while True:
    shutil.rmtree(root, ignore_errors=True)
    registry = open_registry(url)
    registry.publish("adult", {"a.json": b"0"}, run="first", summary={})
    registry.promote("adult", "v1")
    status = attempt(tried + 1)
    check(registry)
    if status == 0:
        break
    assert os.WTERMSIG(status) == signal.SIGKILL
    tried += 1
    assert attempt(0) == 0
    check(registry)
    assert registry.versions("adult") == ["v1", "v2"]
    assert registry.aliases("adult") == {"champion": "v2", "previous": "v1"}
    assert len(registry.history("adult")) == 2
    registry.collect()
    assert os.listdir(root / ".staging") == [], os.listdir(root / ".staging")
    survived += 1
print(tried, survived)
"""


def test_a_writer_killed_at_any_step_leaves_a_whole_registry_and_a_rerun_finishes_the_job(memory, repository):
    """SIGKILL before each single operation on the file system, from the first folder to the last link."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT_EVERY_STEP, str(memory / "registry")],
        capture_output=True,
        text=True,
        cwd=repository,
    )
    assert done.returncode == 0, done.stderr
    tried, survived = map(int, done.stdout.split())
    print(f"killed before each of {tried} operations: survived {survived} / {tried}")
    assert tried > 40
    assert survived == tried


def test_a_living_writer_is_not_cleaned_up(place, publish):
    registry = place.registry()
    with registry.store.writer("adult", "other") as writer:
        entry = writer.add("half.json", b"{")
        held = place.everything()
        assert place.registry().collect().removed == 0
        publish(place.registry())
        assert set(held) <= set(place.everything())
        assert entry.bytes == 1
    assert registry.names() == ["adult"]


def test_what_a_killed_writer_left_is_invisible_and_goes_with_the_next_registration(tmp_path, publish, repository):
    root = tmp_path / "registry"
    script = """
import os, signal, sys
from tasks.registry import open_registry
with open_registry(sys.argv[1]).store.writer("adult", "run") as writer:
    writer.add("half.json", b"{")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script, f"file://{root}"], cwd=repository)
    assert done.returncode == -signal.SIGKILL
    assert len(os.listdir(root / ".staging")) == 2
    registry = open_registry(f"file://{root}")
    assert registry.names() == []
    publish(registry)
    assert os.listdir(root / ".staging") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    made = mount and os.geteuid() == 0
    if (
        not made
        or subprocess.run(
            [str(mount), "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)], capture_output=True
        ).returncode
    ):
        pytest.skip("mounting a small tmpfs needs root; the limit on file sizes below is tested everywhere")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_is_named_and_nothing_is_registered(small_disk, publish):
    registry = open_registry(f"file://{small_disk}/registry")
    publish(registry)
    registry.promote("adult", "v1")
    with pytest.raises(
        EquipoiseError, match=rf"(?s)registry file://{small_disk}.*no space left.*Nothing was registered.*Free some"
    ):
        registry.publish("adult", {"a.json": b"1", "big.safetensors": b"x" * 1_000_000}, run="big", summary={})
    assert registry.versions("adult") == ["v1"]
    assert os.listdir(small_disk / "registry/.staging") == []
    registry.load("adult", "champion")
    assert publish(registry, content="b").version == "v2"
    print("disk full while a large file is written: survived 1 / 1")


def test_a_disk_that_fills_up_before_the_manifest_or_the_alias_leaves_the_registry_as_it_was(small_disk, publish):
    registry = open_registry(f"file://{small_disk}/registry")
    publish(registry)
    publish(registry, content="b")
    registry.promote("adult", "v1")
    before = sorted(p for p in (small_disk / "registry").rglob("*"))
    with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4096):
            pass
    assert shutil.disk_usage(small_disk).free == 0
    acts = (
        lambda: registry.promote("adult", "v2"),
        lambda: publish(registry, content="c"),
        lambda: publish(registry, "german"),
    )
    survived = 0
    for act in acts:
        with pytest.raises(EquipoiseError, match="no space left"):
            act()
        assert sorted(p for p in (small_disk / "registry").rglob("*")) == before
        survived += 1
    print(f"disk full before a promotion or a registration: survived {survived} / {len(acts)}")
    (small_disk / "filler").unlink()
    registry.promote("adult", "v2")
    assert registry.aliases("adult") == {"champion": "v2", "previous": "v1"}


def test_a_limit_on_file_sizes_is_named_and_nothing_is_registered(tmp_path, publish):
    registry = open_registry(f"file://{tmp_path}/registry")
    publish(registry)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        with pytest.raises(EquipoiseError, match="no space left"):
            registry.publish("adult", {"big.safetensors": b"x" * 1_000_000}, run="big", summary={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert registry.versions("adult") == ["v1"]
    assert os.listdir(tmp_path / "registry/.staging") == []


def test_a_read_only_disk_is_named_can_be_read_and_not_written(small_disk, publish):
    registry = open_registry(f"file://{small_disk}/registry")
    publish(registry)
    registry.promote("adult", "v1")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    registry.load("adult", "champion")
    for act in (
        lambda: publish(registry, content="b"),
        lambda: registry.promote("adult", "v1", "challenger"),
        registry.probe,
    ):
        with pytest.raises(InputError, match=r"(?s)cannot write to .*Read-only.*set registry\.url"):
            act()


@pytest.fixture
def without_rights() -> Iterator[Path]:
    """A folder that this process may enter and not write, also where the tests run as root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o555)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(user)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_folder_without_the_right_to_write_is_named(without_rights, publish):
    registry = open_registry(f"file://{without_rights}/registry")
    assert registry.names() == []
    for act in (lambda: publish(registry), registry.probe):
        with pytest.raises(
            InputError, match=rf"(?s)registry file://{without_rights}.*Permission denied.*Give yourself the right"
        ):
            act()
    assert os.listdir(without_rights) == []


def test_a_file_where_the_registry_should_be_is_named(tmp_path, publish):
    (tmp_path / "registry").write_text("x")
    registry = open_registry(f"file://{tmp_path}/registry")
    for act in (lambda: publish(registry), registry.probe, registry.names):
        with pytest.raises(InputError, match="not a folder that can be used"):
            act()


def test_a_file_system_without_hard_links_is_said_so(tmp_path, publish, monkeypatch):
    registry = open_registry(f"file://{tmp_path}/registry")
    publish(registry)

    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(InputError, match="no hard links"):
        registry.promote("adult", "v1")


def test_a_link_planted_in_a_version_is_refused(folder, publish, tmp_path):
    registry = folder.registry()
    publish(registry)
    version = folder.root / "adult/versions/v1"
    (tmp_path / "outside").mkdir()
    (version / "more").symlink_to(tmp_path / "outside")
    with pytest.raises(EquipoiseError, match="'more', which its manifest does not list"):
        registry.load("adult", "v1")
    (version / "more").unlink()
    content = (version / "params.json").read_bytes()
    (tmp_path / "outside/params.json").write_bytes(content)
    (version / "params.json").unlink()
    (version / "params.json").symlink_to(tmp_path / "outside/params.json")
    with pytest.raises(EquipoiseError, match="not a plain file"):
        registry.load("adult", "v1")


def test_files_of_a_version_cannot_be_edited_by_accident(folder, publish):
    publish(folder.registry())
    modes = {p.stat().st_mode & 0o777 for p in (folder.root / "adult/versions/v1").rglob("*") if p.is_file()}
    assert modes == {0o444}


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("registry", "Write file://registry"),
        ("", "has no scheme"),
        ("s4://bucket", "no registry of kind 's4://'"),
        ("File://x", "Did you mean 'file'"),
        ("file://", "names no place"),
    ],
)
def test_a_wrong_url_says_what_to_write(url, says):
    with pytest.raises(InputError, match=says):
        open_registry(url)


def test_a_relative_url_is_relative_to_the_working_copy(tmp_path, monkeypatch, publish):
    publish(open_registry("file://registry", tmp_path))
    assert (tmp_path / "registry/adult/versions/v1/manifest.json").is_file()
    monkeypatch.chdir(tmp_path)
    assert open_registry("file://registry").names() == ["adult"]
    assert open_registry(f"file://{tmp_path}/registry", Path("/elsewhere")).names() == ["adult"]


def test_a_changed_working_directory_does_not_move_an_open_registry(tmp_path, monkeypatch, publish):
    monkeypatch.chdir(tmp_path)
    registry = open_registry("file://registry")
    publish(registry)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert registry.names() == ["adult"]


def test_a_lock_that_a_cleaner_removed_in_between_is_claimed_again(tmp_path, monkeypatch):
    """The cleaner's chance lies between a writer's opening of its lock file and its locking."""
    import fcntl

    store = FileStore(tmp_path / "registry", "file://registry")
    locked: Callable[[int, int], None] = fcntl.flock
    removed = []

    def late(descriptor: int, how: int) -> None:
        if not removed:
            (lock,) = (tmp_path / "registry/.staging").glob("*.lock")
            lock.unlink()
            removed.append(lock)
        locked(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with store.writer("adult", "run"):
        assert removed[0].exists()
        assert store.tidy() == 0
