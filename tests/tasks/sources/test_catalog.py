"""data/catalog.yaml: every entry is whole, agrees with the mirror, and a wrong one is named by its key."""

import json
from pathlib import Path

import pytest

from models.errors import InputError
from tasks.sources.catalog import find_entry, load_catalogue
from tasks.sources.files import Locations, catalogue

KNOWN = [
    "lending", "adult", "acsincome", "compas", "german", "mammography", "abalone", "abalone-rare", "mnist-lt",
    "cifar10-lt", "digits", "breast_cancer", "diabetes", "conditions",
]  # fmt: skip


def test_the_known_data_sets_are_described() -> None:
    entries = load_catalogue()
    assert list(entries) == KNOWN
    for entry in entries.values():
        assert entry.about.endswith(".")
        assert entry.licence
        assert entry.bundled or all(str(f.url).startswith("https://") for f in entry.public.files)  # type: ignore[union-attr]


def test_an_entry_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        find_entry("adult").about = "something else"  # type: ignore[misc]


def test_columns_named_anywhere_in_an_entry_exist() -> None:
    for name, entry in load_catalogue().items():
        if not entry.columns or name == "lending":
            continue
        used = {
            entry.target.column,
            *entry.drop,
            *(a.column for a in entry.attributes),
            *(f.column for f in entry.filters),
        }
        used |= {d.source for d in entry.derive} | {a.of for a in entry.attributes if a.of}
        assert used <= set(entry.columns), name


def test_sums_of_the_mirror_are_those_of_the_catalogue(mirror: Path) -> None:
    sums = json.loads((mirror / "SHA256SUMS.json").read_text())
    files = {f.name: f.sha256 for e in load_catalogue().values() if e.mirror for f in e.mirror.files}
    assert files == sums


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(InputError, match=r"no data set 'mamography'.*Did you mean 'mammography'\?"):
        find_entry("mamography")


def test_a_wrong_entry_is_named_by_its_key(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text("toy:\n  about: A toy.\n  licence: none\n  bundled: {format: lending}\n  target: {colum: y}\n")
    with pytest.raises(InputError, match=r"catalog\.yaml: toy\.target\.colum") as caught:
        load_catalogue(path)
    assert "toy.target.column" in str(caught.value)


def test_an_entry_without_any_source_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text("toy: {about: A toy., licence: none, target: {column: y}}\n")
    with pytest.raises(InputError, match="public source"):
        load_catalogue(path)


def test_the_listing_says_what_is_at_hand(mirror: Path, tmp_path: Path) -> None:
    listed = {e["name"]: e for e in catalogue(Locations(mirror, tmp_path))}
    assert json.loads(json.dumps(listed)) == listed
    assert listed["lending"]["at_hand"] == "bundled"
    assert listed["adult"]["at_hand"] == "mirror"
    assert listed["adult"]["sensitive"] == ["sex", "race", "age_group"]
    assert {e["name"]: e["at_hand"] for e in catalogue(Locations(None, tmp_path))}["adult"] == "download"
    abalone = tmp_path / "abalone" / "abalone.data"
    abalone.parent.mkdir()
    abalone.touch()
    assert {e["name"]: e["at_hand"] for e in catalogue(Locations(None, tmp_path))}["abalone"] == "downloaded"
