"""The command line: ``vizinho VERB``.

One module per verb. Each holds a function ``command``, annotated for Typer, decorated with
:func:`vizinho.cli.console.edge`, and imports what is heavy inside that function: ``--help`` reads
every verb, so a module that imports numpy at its top makes all of them slow.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Annotated

import typer

from vizinho import __version__

VERBS = (
    "index",
    "search",
    "serve",
    "add",
    "remove",
    "label",
    "list",
    "info",
    "export",
    "import",
    "map",
    "dedupe",
    "feedback",
    "doctor",
    "migrate",
    "fetch",
    "train",
    "sweep",
    "eval",
    "calibrate",
    "deploy",
    "status",
    "destroy",
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"vizinho {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A reverse image search that you can train.

    Start with [bold]vizinho index FOLDER[/bold], then [bold]vizinho search PICTURE[/bold] or
    [bold]vizinho serve[/bold].
    """


def build_app() -> typer.Typer:
    """The Typer application with every verb."""
    app = typer.Typer(
        name="vizinho",
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for verb in VERBS:
        app.command(verb)(import_module(f"vizinho.cli.{verb}").command)
    return app


def main() -> None:
    """Entry point of the ``vizinho`` script."""
    for stream in (sys.stdout, sys.stderr):
        # A picture may be named in any language; a terminal that can't spell it gets a "?".
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    build_app()()
