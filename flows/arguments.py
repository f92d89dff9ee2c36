"""Arguments that several commands take, and what they mean: the registry, the parameters, output for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.errors import InputError

if TYPE_CHECKING:
    from tasks.params import Params
    from tasks.registry import Registry

Setting = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override one key for this run, as search.budget.trials=8. Again for more."
    ),
]
ParamsFile = Annotated[
    Path | None,
    typer.Option("--params", metavar="FILE", help="A YAML file whose keys override params.yaml for this run."),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
Url = Annotated[str | None, typer.Option("--url", help="Another registry than that of params.yaml.")]
Why = Annotated[str, typer.Option("--why", help="Kept in the history.")]
Reference = Annotated[str, typer.Argument(help="NAME@v3 or NAME@champion; a bare NAME means its champion")]


def the_registry(url: str | None) -> Registry:
    """The registry that was asked for, open."""
    from tasks.registry import open_registry

    return open_registry(registry_url(url), Path.cwd())


def registry_url(url: str | None) -> str:
    """The registry that was asked for, or else that of params.yaml."""
    from tasks.overrides import FILE

    if url is not None:
        return url
    if not (Path.cwd() / FILE).exists():
        raise InputError(
            f"there is no {FILE} in {Path.cwd()} that could name the registry. Run in the working copy, or name it: --url"
        )
    return present_params().registry.url


def present_params() -> Params:
    """params.yaml as it is."""
    from tasks.overrides import FILE
    from tasks.params import load_params

    return load_params(Path.cwd() / FILE)


def print_json(value: Any) -> None:
    """For programs."""
    print(json.dumps(value, indent=1, ensure_ascii=False, default=str))
