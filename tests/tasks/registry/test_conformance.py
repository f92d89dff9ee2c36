"""What every registry must do, whatever it is kept in."""

import contextlib
import hashlib
import itertools
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models.errors import InputError, RefusedError
from tasks.registry import AliasMovedError, CorruptError, Registry, open_registry
from tasks.registry.manifest import FileEntry, digest_of
from tasks.registry.seals import Seals

WEIGHTS = "predictor/weights.safetensors"


def test_a_registry_that_does_not_exist_is_empty_and_reading_it_creates_nothing(place):
    registry = place.registry()
    assert registry.names() == []
    assert registry.versions("adult") == []
    assert registry.aliases("adult") == {}
    assert registry.history("adult") == []
    assert place.everything() == []


def test_a_version_comes_back_as_it_was_published(place, publish, tmp_path):
    source = tmp_path / "weights.safetensors"
    source.write_bytes(b"w" * 3_000_000)
    published = place.registry().publish("adult", {WEIGHTS: source, "a/b.json": b"{}"}, run="r", summary={"auc": 0.9})
    assert (published.version, published.created) == ("v1", True)
    loaded = open_registry(place.url).load("adult", "v1")
    assert (loaded.directory / WEIGHTS).read_bytes() == source.read_bytes()
    assert (loaded.directory / "a/b.json").read_bytes() == b"{}"
    assert loaded.manifest.digest == published.digest
    assert loaded.manifest.summary == {"auc": 0.9}
    assert loaded.manifest.files[WEIGHTS].bytes == 3_000_000


def test_versions_are_numbered_in_order_and_models_are_apart(place, publish):
    registry = place.registry()
    assert [publish(registry, content=c).version for c in "abc"] == ["v1", "v2", "v3"]
    assert publish(registry, "german").version == "v1"
    assert registry.names() == ["adult", "german"]
    assert registry.versions("adult") == ["v1", "v2", "v3"]


def test_versions_are_listed_by_number_not_by_spelling(place, publish):
    registry = place.registry()
    for n in range(11):
        publish(registry, content=str(n))
    assert registry.versions("adult")[-3:] == ["v9", "v10", "v11"]


def test_the_same_run_is_not_registered_twice(place, publish):
    first = publish(place.registry())
    publish(place.registry(), content="b")
    again = publish(place.registry())
    assert (again.version, again.digest, again.created) == (first.version, first.digest, False)
    assert place.registry().versions("adult") == ["v1", "v2"]


def test_the_digest_depends_on_the_files_and_on_nothing_else(place, publish):
    registry = place.registry()
    assert publish(registry, run="1").digest == publish(registry, run="2").digest
    assert publish(registry, content="b").digest != publish(registry).digest


def test_writers_at_once_get_a_number_each(place, publish):
    with ThreadPoolExecutor(8) as threads:
        published = list(threads.map(lambda n: publish(place.registry(), content=f"c{n}"), range(24)))
    registry = place.registry()
    assert sorted(p.version for p in published) == sorted(f"v{n}" for n in range(1, 25))
    for version in registry.versions("adult"):
        registry.load("adult", version)


def test_one_run_published_by_many_at_once_is_one_version(place, publish):
    start = threading.Barrier(8)

    def one(_: int) -> tuple[str, bool]:
        start.wait()
        done = publish(place.registry())
        return done.version, done.created

    for _ in range(5):
        with ThreadPoolExecutor(8) as threads:
            published = list(threads.map(one, range(8)))
        assert {version for version, _ in published} == {"v1"}
    assert place.registry().versions("adult") == ["v1"]


@pytest.mark.parametrize(
    "path", ["../x.json", "/x.json", "a//b.json", "a/../b.json", ".hidden.json", "a\\b.json", "", "manifest.json"]
)
def test_a_version_cannot_hold_a_path_that_leads_elsewhere(place, path):
    with pytest.raises(InputError, match="version cannot hold it"):
        place.registry().publish("adult", {path: b"{}"}, run="r", summary={})
    assert place.registry().names() == []


@pytest.mark.parametrize(
    "path", ["model.pkl", "model.pickle", "model.pt", "model.joblib", "weights.npz", "run.py", "model"]
)
def test_a_version_cannot_hold_a_file_that_can_carry_code(place, path):
    with pytest.raises(InputError, match="cannot run code"):
        place.registry().publish("adult", {path: b"x"}, run="r", summary={})


def test_a_source_that_is_missing_is_named_and_nothing_is_published(place, tmp_path):
    with pytest.raises(InputError, match=r"gone\.json"):
        place.registry().publish("adult", {"a.json": b"{}", "gone.json": tmp_path / "gone.json"}, run="r", summary={})
    assert place.registry().names() == []
    assert place.everything() == []


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "../a", "a b", "a" * 101, "ä", "-a", "a\0"])
def test_names_cannot_leave_the_registry(place, publish, name):
    registry = place.registry()
    for act in (
        lambda: publish(registry, name),
        lambda: registry.versions(name),
        lambda: registry.load(name, "v1"),
        lambda: registry.aliases(name),
        lambda: registry.promote(name, "v1"),
        lambda: registry.rollback(name),
        lambda: registry.history(name),
    ):
        with pytest.raises(InputError, match="model name"):
            act()


@pytest.mark.parametrize("alias", ["", "..", "../x", "a/b", "Champion", "v1", "v22", "1st", "a" * 51])
def test_aliases_cannot_leave_the_registry_or_look_like_versions(place, publish, alias):
    registry = place.registry()
    publish(registry)
    with pytest.raises(InputError, match="alias"):
        registry.promote("adult", "v1", alias)


def test_a_missing_model_version_or_alias_names_what_there_is(place, publish):
    registry = place.registry()
    with pytest.raises(InputError, match="Nothing is registered there yet"):
        registry.load("adult", "champion")
    publish(registry)
    registry.promote("adult", "v1")
    with pytest.raises(InputError, match="Did you mean 'adult'"):
        registry.load("adlut", "champion")
    with pytest.raises(InputError, match="Its versions: v1"):
        registry.load("adult", "v7")
    with pytest.raises(InputError, match="Did you mean 'champion'"):
        registry.load("adult", "chamption")
    with pytest.raises(InputError, match="not a version"):
        registry.manifest("adult", "../v1")


# What is damaged is named and not loaded.


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda c: c[:-1], "cut off"),
        (lambda c: b"", "cut off"),
        (lambda c: c + b"x", "cut off or changed"),
        (lambda c: flipped(c, 0), "SHA-256"),
        (lambda c: flipped(c, len(c) - 1), "SHA-256"),
    ],
)
def test_a_damaged_file_is_named_and_never_loaded(place, publish, damage: Callable[[bytes], bytes], says: str):
    registry = place.registry()
    publish(registry)
    registry.promote("adult", "v1")
    key = place.of_file("adult", 1, WEIGHTS)
    place.overwrite(key, damage(place.read(key)))
    for which in ("v1", "champion"):
        with pytest.raises(CorruptError, match=f"(?s)v1: '{WEIGHTS}'.*{says}"):
            registry.load("adult", which)


def test_every_single_flipped_bit_of_a_manifest_is_found(place, publish):
    registry = place.registry()
    publish(registry)
    key = place.of_manifest("adult", 1)
    whole = place.read(key)
    step = 3 if place.kind == "file" else 50  # what finds them is the same everywhere
    for at in range(0, len(whole) - 1, step):  # the last byte is a line break
        place.overwrite(key, flipped(whole, at))
        with pytest.raises(CorruptError, match=r"adult/versions.*\.json is damaged"):
            registry.load("adult", "v1")
    place.overwrite(key, whole)
    registry.load("adult", "v1")


def test_a_truncated_manifest_or_a_lost_file_is_found(place, publish):
    registry = place.registry()
    publish(registry)
    key = place.of_manifest("adult", 1)
    whole = place.read(key)
    place.overwrite(key, whole[: len(whole) // 2])
    with pytest.raises(CorruptError, match="damaged"):
        registry.load("adult", "v1")
    place.overwrite(key, whole)
    place.remove(place.of_file("adult", 1, "params.json"))
    with pytest.raises(CorruptError, match=r"'params\.json' is missing"):
        registry.load("adult", "v1")


class Planted:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("key", ["model.pkl", "predictor/model.pkl", "predictor/extra.json"])
def test_a_planted_pickle_is_refused_or_left_where_it_is_and_never_run(place, publish, tmp_path, key):
    """A folder holds what its manifest does not list; in a bucket a version is nothing but what its manifest lists."""
    registry = place.registry()
    publish(registry)
    mark = tmp_path / "ran"
    beside = place.of_file("adult", 1, "report.html").removesuffix("report.html").rpartition("/")[0]
    place.overwrite(f"{beside}/{key}", pickle.dumps(Planted(mark)))
    if place.kind == "file":
        with pytest.raises(CorruptError, match=f"'{key}', which its manifest does not list"):
            registry.load("adult", "v1")
        with pytest.raises(CorruptError):
            registry.promote("adult", "v1")
    else:
        directory = registry.load("adult", "v1").directory
        assert sorted(p.name for p in directory.rglob("*") if p.is_file()) == [
            "params.json", "report.html", "weights.safetensors",
        ]  # fmt: skip
    assert not mark.exists()


def test_a_manifest_that_lists_a_pickle_is_refused_although_its_sums_fit(place, publish, tmp_path):
    registry = place.registry()
    publish(registry)
    mark = tmp_path / "ran"
    content = pickle.dumps(Planted(mark))
    record = registry.manifest("adult", "v1").model_dump(mode="json")
    record["files"] = {"model.pkl": {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}}
    record["digest"] = digest_of({path: FileEntry(**entry) for path, entry in record["files"].items()})
    place.overwrite(place.of_manifest("adult", 1), Seals().seal("manifest", record))
    with pytest.raises(CorruptError, match="lists a file that no version may hold"):
        registry.load("adult", "v1")
    assert not mark.exists()


def test_a_pickle_in_the_place_of_the_weights_is_refused(place, publish, tmp_path):
    registry = place.registry()
    publish(registry)
    mark = tmp_path / "ran"
    place.overwrite(place.of_file("adult", 1, WEIGHTS), pickle.dumps(Planted(mark)))
    with pytest.raises(CorruptError, match=WEIGHTS):
        registry.load("adult", "v1")
    assert not mark.exists()


def test_a_version_put_in_the_place_of_another_is_refused(place, publish):
    registry = place.registry()
    for content in "ab":
        publish(registry, content=content)
    place.overwrite(place.of_manifest("adult", 1), place.read(place.of_manifest("adult", 2)))
    with pytest.raises(CorruptError, match="says that it is adult@v2"):
        registry.load("adult", "v1")


def test_an_alias_pins_the_content_it_was_pointed_at(place, publish, tmp_path):
    registry = place.registry()
    publish(registry)
    registry.promote("adult", "v1")
    other = place.another()
    publish(other.registry(), content="other")
    for key in other.everything():
        place.overwrite(key, other.read(key))
    registry.load("adult", "v1")
    with pytest.raises(CorruptError, match="not the version that the alias was pointed at"):
        registry.load("adult", "champion")


def test_a_damaged_record_of_an_alias_is_named(place, publish):
    registry = place.registry()
    publish(registry)
    registry.promote("adult", "v1")
    key = place.of_move("adult", 1)
    place.overwrite(key, place.read(key).replace(b"v1", b"v2"))
    with pytest.raises(CorruptError, match=key):
        registry.load("adult", "champion")


def test_a_damaged_version_does_not_stop_another_from_being_registered(place, publish):
    registry = place.registry()
    publish(registry)
    place.overwrite(place.of_manifest("adult", 1), b"")
    assert publish(registry, content="b").version == "v2"
    registry.load("adult", "v2")


# Aliases and their history.


def test_promotion_keeps_the_previous_champion_and_the_history(place, publish):
    registry = place.registry()
    for content in "abc":
        publish(registry, content=content)
    registry.promote("adult", "v1", why="first")
    assert registry.aliases("adult") == {"champion": "v1"}
    registry.promote("adult", "v2")
    registry.promote("adult", "v3", "challenger")
    registry.promote("adult", "v3", "shadow-2")
    assert registry.aliases("adult") == {"challenger": "v3", "champion": "v2", "previous": "v1", "shadow-2": "v3"}
    moves = registry.history("adult")
    assert [(m.number, m.action, m.alias, m.from_version, m.to_version) for m in moves] == [
        (1, "promote", "champion", None, "v1"),
        (2, "promote", "champion", "v1", "v2"),
        (3, "promote", "challenger", None, "v3"),
        (4, "promote", "shadow-2", None, "v3"),
    ]
    assert moves[0].why == "first"
    assert all("@" in m.who and m.when.endswith("+00:00") for m in moves)


def test_promoting_the_champion_again_changes_nothing(place, publish):
    registry = place.registry()
    for content in "ab":
        publish(registry, content=content)
    registry.promote("adult", "v1")
    registry.promote("adult", "v2")
    assert registry.promote("adult", "v2") is None
    assert registry.aliases("adult") == {"champion": "v2", "previous": "v1"}
    assert len(registry.history("adult")) == 2


def test_rollback_goes_back_one_champion_at_a_time_and_never_to_what_it_removed(place, publish):
    registry = place.registry()
    for content in "abc":
        publish(registry, content=content)
        registry.promote("adult", registry.versions("adult")[-1])
    registry.rollback("adult", why="v3 drifted")
    assert registry.aliases("adult") == {"champion": "v2", "previous": "v1"}
    registry.rollback("adult")
    assert registry.aliases("adult") == {"champion": "v1"}
    with pytest.raises(InputError, match="no previous champion"):
        registry.rollback("adult")
    registry.promote("adult", "v3")
    assert registry.aliases("adult") == {"champion": "v3", "previous": "v1"}
    last = registry.rollback("adult")
    assert (last.action, last.from_version, last.to_version) == ("rollback", "v3", "v1")
    assert len(registry.history("adult")) == 7
    assert registry.versions("adult") == ["v1", "v2", "v3"]


def test_rollback_leaves_other_aliases_alone(place, publish):
    registry = place.registry()
    for content in "ab":
        publish(registry, content=content)
        registry.promote("adult", registry.versions("adult")[-1])
        registry.promote("adult", "v1", "challenger")
    registry.rollback("adult")
    assert registry.aliases("adult") == {"challenger": "v1", "champion": "v1"}


def test_a_promotion_that_expected_another_champion_is_refused(place, publish):
    registry = place.registry()
    for content in "abc":
        publish(registry, content=content)
    registry.promote("adult", "v1", expected=None)
    with pytest.raises(
        AliasMovedError, match="expected to be unset, but someone else has moved it to v1; v2 was not made champion"
    ):
        registry.promote("adult", "v2", expected=None)
    registry.promote("adult", "v2", expected="v1")
    with pytest.raises(RefusedError, match="expected to be v1"):
        registry.promote("adult", "v3", expected="v1")
    assert registry.aliases("adult") == {"champion": "v2", "previous": "v1"}


def test_what_does_not_exist_or_follows_by_itself_cannot_be_promoted(place, publish):
    registry = place.registry()
    publish(registry)
    with pytest.raises(InputError, match="v2 is not in the registry"):
        registry.promote("adult", "v2")
    with pytest.raises(InputError, match="'previous' follows from promotions"):
        registry.promote("adult", "v1", "previous")
    with pytest.raises(InputError, match="no previous champion"):
        registry.rollback("adult")
    assert registry.history("adult") == []


def test_a_damaged_version_cannot_be_promoted_or_rolled_back_to(place, publish):
    registry = place.registry()
    for content in "ab":
        publish(registry, content=content)
    registry.promote("adult", "v1")
    registry.promote("adult", "v2")
    place.overwrite(place.of_file("adult", 1, "params.json"), b"[]")
    with pytest.raises(CorruptError, match=r"params\.json"):
        registry.rollback("adult")
    with pytest.raises(CorruptError, match=r"params\.json"):
        registry.promote("adult", "v1", "challenger")
    assert registry.aliases("adult") == {"champion": "v2", "previous": "v1"}


RACES = {"file": 1000, "s3": 100}


def test_of_two_promotions_at_once_exactly_one_wins(place, publish):
    """1 race is two threads that both saw the same champion; the loser is told, and the history has the winner only."""
    for content in "abcd":
        publish(place.registry(), content=content)
    races = RACES[place.kind]
    seen: list[str | None] = [None]
    won: list[list[str]] = [[] for _ in range(races)]

    def look() -> None:
        seen[0] = place.registry().aliases("adult").get("champion")

    start = threading.Barrier(2, look)

    def run(contender: int) -> None:
        mine = place.registry()
        for race in range(races):
            version = f"v{1 + contender + 2 * (race % 2)}"
            start.wait()
            with contextlib.suppress(AliasMovedError):
                if mine.promote("adult", version, expected=seen[0]) is not None:
                    won[race].append(version)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(run, range(2)))
    single = sum(len(winners) == 1 for winners in won)
    print(f"races of two promotions with exactly one winner: {single} / {races}")
    assert single == races
    moves = place.registry().history("adult")
    assert [move.to_version for move in moves] == [winner for winners in won for winner in winners]
    assert all(after.from_version == before.to_version for before, after in itertools.pairwise(moves))
    assert place.registry().aliases("adult")["champion"] == won[-1][0]


ROUNDS = {"file": 20, "s3": 4}
"""How often each process wins, and how many versions each publishes: a server takes longer for the same."""

RACER = """
import json, sys
from tasks.registry import AliasMovedError, open_registry
registry, me, rounds = open_registry(sys.argv[1]), sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
wins = []
while len(wins) < rounds:
    seen = registry.aliases("adult").get("champion")
    if seen == me:
        continue
    try:
        wins.append((seen, registry.promote("adult", me, expected=seen).number))
    except AliasMovedError:
        pass
print(json.dumps(wins), flush=True)
"""


def test_processes_that_fight_over_the_champion_lose_no_move(place, publish, repository):
    """Every win that a process was told of is in the history, from the version that it saw; nothing else is."""
    for content in "abc":
        publish(place.registry(), content=content)
    command = [sys.executable, "-c", RACER, place.url]
    racers = {
        v: subprocess.Popen(
            [*command, v, str(ROUNDS[place.kind])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=repository,
        )
        for v in ("v1", "v2")
    }
    told: dict[int, tuple[str | None, str]] = {}
    for racer in racers.values():
        assert racer.stdout.readline() == "ready\n"
    for racer in racers.values():
        racer.stdin.write("go\n")
        racer.stdin.flush()
    registry = place.registry()
    while any(racer.poll() is None for racer in racers.values()):
        push_champion_away(registry)
    for version, racer in racers.items():
        out, _ = racer.communicate()
        assert racer.returncode == 0
        for seen, number in json.loads(out):
            told[number] = (seen, version)
    moves = registry.history("adult")
    assert [m.number for m in moves] == list(range(1, len(moves) + 1))
    assert {m.number: (m.from_version, m.to_version) for m in moves if m.to_version != "v3"} == told
    assert all(m.from_version == before.to_version for before, m in itertools.pairwise(moves))


def push_champion_away(registry: Registry) -> None:
    """Make v3 champion, so that no racer waits for ever for another that has finished."""
    with contextlib.suppress(AliasMovedError):
        registry.promote("adult", "v3")


PUBLISHER = """
import sys
from tasks.registry import open_registry
registry, me = open_registry(sys.argv[1]), sys.argv[2]
for n in range(int(sys.argv[3])):
    done = registry.publish("adult", {"a.json": f"{me} {n}".encode()}, run=f"{me} {n}", summary={})
    shared = registry.publish("adult", {"a.json": f"shared {n}".encode()}, run=f"shared {n}", summary={})
    print(done.version, int(shared.created))
"""


def test_processes_that_publish_at_once_never_collide(place, repository):
    rounds = ROUNDS[place.kind] // 2
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, place.url, str(n), str(rounds)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=repository,
        )
        for n in range(3)
    ]
    lines = [line.split() for writer in writers for line in writer.communicate()[0].splitlines()]
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    registry = place.registry()
    assert registry.versions("adult") == [f"v{n}" for n in range(1, 4 * rounds + 1)]
    assert len({version for version, _ in lines}) == 3 * rounds
    assert sum(int(created) for _, created in lines) == rounds
    for version in registry.versions("adult"):
        registry.load("adult", version)
