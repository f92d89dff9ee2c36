"""`equipoise registry …`, and what leads from a version back to what it was made of: `equipoise lineage`, `equipoise reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.arguments import AsJson, Reference, Url, Why, print_json, the_registry

registry_app = typer.Typer(help="Registered versions and who is champion.", no_args_is_help=True)


@registry_app.command("list")
def registry_list(
    name: Annotated[str | None, typer.Argument(help="A model, to list its versions.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the models, or the versions of one."""
    from flows.listing import show_models, show_versions
    from tasks.registry.summary import list_models, list_versions

    registry = the_registry(url)
    if name is None:
        rows = list_models(registry)
        print_json(rows) if as_json else show_models(rows, registry.url)
        return
    if registry.latest(name) is None:
        registry.resolve(name, "champion")  # says which models there are
    versions = list_versions(registry, name)
    print_json(versions) if as_json else show_versions(name, versions)


@registry_app.command("show")
def registry_show(
    reference: Annotated[str, typer.Argument(help="NAME, NAME@v3 or NAME@champion")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show a model and its history, or one version of it with every file verified."""
    from flows.listing import show_reference
    from tasks.registry.summary import show

    found = show(the_registry(url), reference)
    print_json(found) if as_json else show_reference(found)


@registry_app.command("promote")
def registry_promote(
    reference: Annotated[str, typer.Argument(help="NAME@v3")],
    alias: Annotated[str, typer.Option("--alias", help="The alias to move.")] = "champion",
    why: Why = "",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Point an alias at a version; the champion before it stays known as `previous`."""
    from flows.listing import show_move
    from tasks.registry.summary import promote

    moved = promote(the_registry(url), reference, alias, why)
    print_json(moved) if as_json else show_move(moved)


@registry_app.command("rollback")
def registry_rollback(
    name: Annotated[str, typer.Argument(help="The model")], why: Why = "", url: Url = None, as_json: AsJson = False
) -> None:
    """Make the previous champion champion again."""
    from flows.listing import show_move
    from tasks.registry.summary import rollback

    moved = rollback(the_registry(url), name, why)
    print_json(moved) if as_json else show_move(moved)


@registry_app.command("gc")
def registry_gc(
    grace: Annotated[
        float, typer.Option("--grace", metavar="HOURS", help="How long after nobody can publish it any more.")
    ] = 24.0,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Remove what uploads left that never became a version; what a version uses is never touched."""
    done = the_registry(url).collect(grace * 3600, dry)
    if as_json:
        print_json({**vars(done), "dry_run": dry})
        return
    word = "would be removed" if dry else "removed"
    print(f"{done.removed} {word} ({done.bytes:,} bytes); {done.kept} looked at and in use.")


@registry_app.command("key")
def registry_key(
    path: Annotated[Path, typer.Argument(help="Where the private key goes; FILE.pub is the public one")],
) -> None:
    """Make a key that signs what is registered. Nothing that is not signed is loaded then."""
    from tasks.registry.seals import SIGNING_KEY, TRUSTED_KEYS, make_keys

    public, name = make_keys(path)
    print(f"Key {name}. Keep {path} to those who register, and give {public} to everybody who loads:")
    print(f"  export {SIGNING_KEY}={path.absolute()}    # signs, and loads only what is signed")
    print(f"  export {TRUSTED_KEYS}={public.absolute()}    # loads only what is signed by a key in that file")


@registry_app.command("diff")
def registry_diff(
    first: Annotated[str, typer.Argument(metavar="A", help="NAME@v1")],
    second: Annotated[str, typer.Argument(metavar="B", help="NAME@v2")],
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show what differs between two versions: parameters, recipe, metrics with paired differences, data and code."""
    from flows.versions_shown import show_difference
    from tasks.rebuild.difference import difference
    from tasks.rebuild.record import read_record

    registry = the_registry(url)
    found = difference(read_record(registry, first), read_record(registry, second), Path.cwd())
    print_json(found) if as_json else show_difference(found)


def lineage(
    reference: Reference,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with the picture.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE", help="Write the picture alone.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Draw where a version comes from: data, splits, recipe, version."""
    from flows.versions_shown import write_text
    from tasks.rebuild.lineage import as_html, as_svg, as_tree, stations
    from tasks.rebuild.lineage import as_json as lineage_json
    from tasks.rebuild.record import read_record

    record = read_record(the_registry(url), reference)
    found, title = stations(record), f"Lineage of {record.reference}"
    for target, content in ((html, lambda: as_html(found, title)), (svg, lambda: str(as_svg(found, title)))):
        if target is not None:
            write_text(target, content())
    print_json(lineage_json(record)) if as_json else print(as_tree(found))


def reproduce(
    reference: Reference,
    repository: Annotated[
        str | None, typer.Option("--repository", metavar="PATH|URL", help="Where the commit is; by default here.")
    ] = None,
    refit: Annotated[
        bool, typer.Option("--refit", help="Take the search's recorded choice instead of searching again.")
    ] = False,
    with_changes: Annotated[
        bool, typer.Option("--with-changes", help="Run with the uncommitted changes that the version keeps.")
    ] = False,
    tolerance: Annotated[
        float,
        typer.Option(
            "--tolerance", min=0, help="How far metrics may be apart on another platform or with other libraries."
        ),
    ] = 0.01,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep the rebuilt working copy there.")
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make a version again from its record, in a temporary directory, and compare. Exit codes: 0 the same, 3 different."""
    import logging
    import sys

    from flows.versions_shown import show_rebuilt
    from tasks.rebuild.record import read_record
    from tasks.rebuild.rerun import Wanted, rebuild

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    registry = the_registry(url)
    record = read_record(registry, reference)
    rebuilt = rebuild(record, Wanted(Path.cwd(), repository, with_changes, refit, tolerance, keep, registry))
    if as_json:
        print_json(
            {"version": record.reference, "data": rebuilt.data, "refit": rebuilt.refit, **rebuilt.comparison.json()}
        )
    else:
        show_rebuilt(record.reference, rebuilt)
    raise typer.Exit(0 if rebuilt.comparison.same else 3)
