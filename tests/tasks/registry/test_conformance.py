"""What every registry must do, whatever it is kept in."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from models.errors import InputError
from tasks.registry import open_registry

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
