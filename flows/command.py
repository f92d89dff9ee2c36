"""The `equipoise` command. What is heavy is imported by the command that needs it, so that help comes at once."""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.arguments import AsJson, ParamsFile, Setting, Url, present_params, print_json, registry_url
from flows.methods_command import recipes_app, strategies_app
from flows.registry_command import lineage, registry_app, reproduce
from models.errors import EquipoiseError, InputError
from tasks.interrupts import insist_on_interrupts

CONTEXT = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    name="equipoise",
    help="Retrain classifiers and regressors on skewed and biased data; register a model only when it is good, balanced, calibrated and fair.",
    no_args_is_help=True,
    add_completion=False,
    context_settings=CONTEXT,
    pretty_exceptions_enable=False,
)
params_app = typer.Typer(help="params.yaml: its schema, and whether it is valid.", no_args_is_help=True)
data_app = typer.Typer(help="The data sets that are known by name.", no_args_is_help=True)
app.add_typer(strategies_app, name="strategies")
app.add_typer(recipes_app, name="recipes")
app.add_typer(params_app, name="params")
app.add_typer(data_app, name="data")
app.add_typer(registry_app, name="registry")


class AtOnce:
    """Ends the process as soon as all that is due at its end is done: taking torch and Ray apart would take 2 s more.

    Nothing happens unless `code`, the exit code, is known. To be made before anything else asks to be called at the end,
    as what is registered first is called last.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self.code is None:
            return
        logging.shutdown()
        with contextlib.suppress(OSError, ValueError):  # a reader that is gone
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(self.code)


def main() -> None:
    """Entry point: errors meant for the user end with their message and exit code, without a traceback."""
    end = AtOnce()
    insist_on_interrupts()
    try:
        app()
    except EquipoiseError as error:
        from tasks.identity import redacted

        print(f"equipoise: {redacted(str(error))}", file=sys.stderr)
        end.code = error.exit_code
        raise SystemExit(end.code) from None
    except SystemExit as exit_:
        end.code = exit_.code if isinstance(exit_.code, int) else None
        raise


@app.command()
def run(
    settings: Setting = None,
    params: ParamsFile = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for a run that is at work here, instead of being refused.")
    ] = False,
) -> None:
    """Run the whole pipeline here: what is up to date is skipped, a passing model is registered.

    Exit codes: 0 registered, 3 refused by a check or a gate, 2 wrong usage or input, 1 a fault.
    """
    from flows.drive import drive

    raise typer.Exit(drive(Path.cwd(), settings or [], params, wait))


@params_app.command("schema")
def params_schema() -> None:
    """Print the JSON Schema of params.yaml, for editors: equipoise params schema > docs/params.schema.json."""
    from tasks.params import schema

    print(json.dumps(schema(), indent=1, ensure_ascii=False))


@params_app.command("check")
def params_check(settings: Setting = None, params: ParamsFile = None) -> None:
    """Say whether params.yaml is valid, recipes included, and what the overrides would change. Nothing is written."""
    from tasks.overrides import effective, parse_settings
    from tasks.params import check_recipes

    chosen = effective(Path.cwd(), parse_settings(settings or []), params)
    check_recipes(chosen.params)
    print("params.yaml is valid.")
    for change in chosen.changes:
        print(f"  {change}")


@data_app.command("list")
def data_list(as_json: AsJson = False) -> None:
    """List the known data sets, and whether each is at hand."""
    from flows.listing import show_data
    from tasks.sources.files import catalogue

    rows = catalogue()
    print_json(rows) if as_json else show_data(rows)


@app.command()
def predict(
    reference: Annotated[str, typer.Argument(help="NAME@champion, NAME@v3; a bare NAME means its champion")],
    source: Annotated[
        Path, typer.Argument(help="CSV or Parquet of raw columns, or a folder of images", metavar="INPUT")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; standard output without it.")
    ] = None,
    url: Url = None,
) -> None:
    """Score rows with a registered model, loaded from the registry alone."""
    from tasks.predict import predict as score

    score(reference, source, output, registry_url(url))


@app.command()
def export(
    reference: Annotated[str, typer.Argument(help="NAME@champion, NAME@v3; a bare NAME means its champion")],
    onnx: Annotated[Path, typer.Option("--onnx", metavar="FILE", help="Where to write the ONNX model.")],
    url: Url = None,
) -> None:
    """Hand a version over as one ONNX file: raw columns in, probabilities and decisions out."""
    from tasks.export import export as write

    write(reference, onnx, registry_url(url))
    print(f"{reference} written to {onnx}.")


@app.command()
def serve(
    reference: Annotated[str, typer.Argument(help="NAME@champion, NAME@v3; a bare NAME means its champion")],
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0: any that is free.", min=0, max=65535)] = 8000,
    shadow: Annotated[
        str | None, typer.Option("--shadow", metavar="ALIAS", help="A version that scores as well, for the log alone.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option("--log", metavar="FOLDER", help="Where predictions are logged; nowhere without it.")
    ] = None,
    log_sensitive: Annotated[
        bool, typer.Option(help="Whether the log holds the sensitive columns, which performance by group needs.")
    ] = True,
    url: Url = None,
) -> None:
    """Answer requests over HTTP with a registered model: an example to build a service from."""
    from tasks.serve import Address
    from tasks.serve import serve as answer

    answer(reference, Address(host, port), registry_url(url), shadow, log, log_sensitive)


@app.command()
def shadow(
    folder: Annotated[Path, typer.Argument(help="A prediction log", metavar="LOG")],
    reference: Annotated[str, typer.Argument(help="The model that was served, NAME@champion or NAME@v3")],
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="CSV or Parquet: prediction_id, and the target's column."),
    ] = None,
    url: Url = None,
) -> None:
    """Compare challenger and champion on the requests that both have scored, as JSON."""
    from tasks.serve import shadow_report

    print_json(shadow_report(folder, reference, labels, registry_url(url)))


@app.command()
def monitor(
    reference: Annotated[str, typer.Argument(help="NAME@champion, NAME@v3; a bare NAME means its champion")],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, patterns, s3:// addresses, prediction logs; none: the data set's months", metavar="ROWS"
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="Labels that came later, by identifier or prediction_id."),
    ] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="YYYY-MM", help="The first month.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="YYYY-MM", help="The last month.")] = None,
    settings: Setting = None,
    params: ParamsFile = None,
    act: Annotated[bool, typer.Option("--act", help="Do what is asked for; without it that is only said.")] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Hold later rows against those that a version was judged on: drift, performance, and what to do.

    --params says what the model was made with, where that is not params.yaml; --set changes parameters of a retraining that
    --act starts. Exit codes: 0 nothing to do, 4 retrain, 5 roll back, 2 wrong usage or input, 1 a fault.
    """
    from flows.respond import respond
    from tasks.monitoring.seen import EXIT_CODES
    from tasks.monitoring.watch import PAGE, Look, watch
    from tasks.overrides import effective, parse_settings

    root = Path.cwd()
    known = present_params() if params is None else effective(root, params_file=params).params
    if act and url not in (None, known.registry.url):
        raise InputError(
            f"--act retrains and rolls back in {known.registry.url}, the registry of the parameters, and --url names another. "
            "Leave --url out, or set registry.url in the file of --params."
        )
    seen = watch(reference, Look(tuple(sources or ()), labels, since, until), known, root, url)
    if as_json:
        print_json({"version": seen.version, "action": seen.action, "partitions": seen.partitions})
    else:
        for one in seen.partitions:
            print(f"{one['partition']}: {one['note'] or '; '.join(one['reasons']) or 'nothing to do'}")
        asked = "nothing to do" if seen.action == "none" else seen.action
        print(f"{seen.version}: {asked}. Page: {seen.folder / PAGE}")
    if act:
        changes = dict(parse_settings(settings or []))
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            print(respond(seen, seen.version.partition("@")[0], changes, act, params))
    raise typer.Exit(EXIT_CODES[seen.action])


@app.command()
def report(
    browse: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False, as_json: AsJson = False
) -> None:
    """Say what the last run came to, and where its report is."""
    from flows.outcome import read_outcome
    from flows.summary import show_outcome

    outcome = read_outcome(Path.cwd(), present_params())
    if as_json:
        print_json({**vars(outcome), "report": str(outcome.report.resolve())})
    else:
        show_outcome(outcome)
    if browse:
        import webbrowser

        if not webbrowser.open(outcome.report.resolve().as_uri()):
            raise InputError(f"no browser could be opened. Open {outcome.report.resolve()} yourself.")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check the installation, the device, git, DVC, the registry and Prefect, and say what to mend."""
    from flows.doctor import examine, show_findings

    findings = examine(Path.cwd())
    print_json([vars(f) for f in findings]) if as_json else show_findings(findings)
    raise typer.Exit(int(any(f.state == "broken" for f in findings)))


app.command()(lineage)
app.command()(reproduce)
