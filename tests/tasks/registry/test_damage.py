"""What is damaged, or planted, in a registry is named and not loaded."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks.registry import CorruptError
from tasks.registry.manifest import FileEntry, digest_of
from tasks.registry.seals import Seals

WEIGHTS = "predictor/weights.safetensors"


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES: tuple[tuple[Callable[[bytes], bytes], str], ...] = (
    (lambda c: c[:-1], "cut off"),
    (lambda c: b"", "cut off"),
    (lambda c: c + b"x", "cut off or changed"),
    (lambda c: flipped(c, 0), "SHA-256"),
    (lambda c: flipped(c, len(c) - 1), "SHA-256"),
)


def test_a_damaged_file_is_named_and_never_loaded(place, publish):
    registry, survived = place.registry(), 0
    publish(registry)
    registry.promote("adult", "v1")
    key = place.of_file("adult", 1, WEIGHTS)
    whole = place.read(key)
    for damage, says in DAMAGES:
        place.overwrite(key, damage(whole))
        for which in ("v1", "champion"):
            with pytest.raises(CorruptError, match=f"(?s)v1: '{WEIGHTS}'.*{says}"):
                registry.load("adult", which)
        survived += 1
    print(f"files of a version cut off or with a flipped bit: survived {survived} / {len(DAMAGES)}")
    place.overwrite(key, whole)
    registry.load("adult", "champion")


def test_every_single_flipped_bit_of_a_manifest_is_found(place, publish):
    registry = place.registry()
    publish(registry)
    key = place.of_manifest("adult", 1)
    whole = place.read(key)
    step = 3 if place.kind == "file" else 50  # what finds them is the same everywhere
    flips, found = range(0, len(whole) - 1, step), 0  # the last byte is a line break
    for at in flips:
        place.overwrite(key, flipped(whole, at))
        with pytest.raises(CorruptError, match=r"adult/versions.*\.json is damaged"):
            registry.load("adult", "v1")
        found += 1
    print(f"bits flipped in a manifest: survived {found} / {len(flips)}")
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
