"""What `equipoise registry` shows, with and without --json."""

import json

import pytest

from models.errors import InputError
from tasks.registry.summary import list_models, list_versions, promote, rollback, show


def test_every_summary_is_plain_json(place, publish):
    registry = place.registry()
    for content in "ab":
        publish(registry, content=content)
        promote(registry, f"adult@{registry.versions('adult')[-1]}", why="better")
    for value in (
        list_models(registry),
        list_versions(registry, "adult"),
        show(registry, "adult"),
        show(registry, "adult@v1"),
    ):
        assert json.loads(json.dumps(value)) == value


def test_models_are_listed_with_their_champions(place, publish):
    registry = place.registry()
    assert list_models(registry) == []
    for content in "ab":
        publish(registry, content=content)
    publish(registry, "german")
    promote(registry, "adult@v1")
    promote(registry, "adult@v2", "challenger")
    assert list_models(registry) == [
        {
            "name": "adult", "versions": 2, "latest": "v2", "champion": "v1", "previous": None,
            "aliases": {"challenger": "v2", "champion": "v1"},
        },
        {"name": "german", "versions": 1, "latest": "v1", "champion": None, "previous": None, "aliases": {}},
    ]  # fmt: skip


def test_versions_are_listed_newest_first_with_their_figures_and_a_damaged_one_is_not_hidden(place, publish):
    registry = place.registry()
    for content in "ab":
        publish(registry, content=content)
    promote(registry, "adult@v1")
    place.overwrite(place.of_manifest("adult", 2), b"{}")
    newest, oldest = list_versions(registry, "adult")
    assert f"{place.of_manifest('adult', 2)} is damaged" in newest["damaged"]
    assert (oldest["version"], oldest["aliases"], oldest["summary"]) == ("v1", ["champion"], {"balanced_accuracy": 0.8})


def test_a_version_is_shown_with_its_files_and_a_model_with_its_history(place, publish):
    registry = place.registry()
    for content in "ab":
        publish(registry, content=content)
        promote(registry, f"adult@{registry.versions('adult')[-1]}")
    shown = show(registry, "adult@previous")
    assert (shown["version"], shown["aliases"], shown["verified"]) == ("v1", ["previous"], True)
    assert shown["files"]["report.html"]["bytes"] == 13
    assert [(m["number"], m["from"], m["to"]) for m in show(registry, "adult")["history"]] == [
        (2, "v1", "v2"),
        (1, None, "v1"),
    ]
    with pytest.raises(InputError, match="Did you mean 'adult'"):
        show(registry, "adlt")


def test_promoting_and_rolling_back_say_what_was_moved(place, publish):
    registry = place.registry()
    for content in "ab":
        publish(registry, content=content)
    first = promote(registry, "adult@v1", why="first")
    assert (first["moved"], first["from"], first["to"], first["why"]) == (True, None, "v1", "first")
    assert promote(registry, "adult@v1")["moved"] is False
    promote(registry, "adult@v2", "challenger")
    assert promote(registry, "adult@challenger")["to"] == "v2"
    back = rollback(registry, "adult", why="drift")
    assert (back["action"], back["from"], back["to"], back["aliases"]["champion"]) == ("rollback", "v2", "v1", "v1")
    with pytest.raises(InputError, match="which version of adult"):
        promote(registry, "adult")
