"""Aliases, promotions and rollbacks and their history, one after the other and at once."""

import contextlib
import itertools
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from models.errors import InputError, RefusedError
from tasks.registry import AliasMovedError, CorruptError, Registry

WEIGHTS = "predictor/weights.safetensors"


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
