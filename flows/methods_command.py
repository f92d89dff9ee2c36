"""`equipoise strategies` and `equipoise recipes`: what a search can choose among, and all there is to know of one of them."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.arguments import AsJson, print_json

strategies_app = typer.Typer(help="The methods that a recipe can be made of, by the slot they act in.")
recipes_app = typer.Typer(help="The recipes from the literature that search.recipes can name.")


@strategies_app.callback(invoke_without_command=True)
def strategies(context: typer.Context, as_json: AsJson = False) -> None:
    """List the methods that a recipe can be made of, by the slot they act in; `show NAME` says all of one."""
    if context.invoked_subcommand is not None:
        return
    from flows.listing import show_strategies, strategy_rows

    rows = strategy_rows()
    print_json(rows) if as_json else show_strategies(rows)


@strategies_app.command("show")
def strategies_show(name: Annotated[str, typer.Argument(help="A method, as ldam")], as_json: AsJson = False) -> None:
    """Say what a method does: formula, hyperparameters with their ranges, what it serves and needs, its source."""
    from flows.listing import show_strategy, strategy_row
    from models.balancing.discovery import component

    kind = component(name)
    print_json(strategy_row(kind)) if as_json else show_strategy(kind)


@recipes_app.callback(invoke_without_command=True)
def recipes(context: typer.Context, as_json: AsJson = False) -> None:
    """List the recipes from the literature that search.recipes can name; `show NAME` says all of one."""
    if context.invoked_subcommand is not None:
        return
    from flows.listing import show_recipes
    from models.published_page import listed

    rows = listed()
    print_json(rows) if as_json else show_recipes(rows)


@recipes_app.command("show")
def recipes_show(name: Annotated[str, typer.Argument(help="A recipe, as mislas")], as_json: AsJson = False) -> None:
    """Say what a recipe is made of, what it is for and which papers it comes from."""
    from flows.listing import show_recipe
    from models.errors import InputError, nearest
    from models.published_page import listed

    rows = {row["name"]: row for row in listed()}
    if name not in rows:
        raise InputError(f"no published recipe '{name}'. {nearest(name, rows)}")
    print_json(rows[name]) if as_json else show_recipe(rows[name])
