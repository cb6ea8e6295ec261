"""What every verb shares: errors with a way out, progress, tables, the common options.

Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 an error of ours, 2 a
command line that can't be understood (Typer's own), 130 Ctrl-C.
"""

from __future__ import annotations

import errno
import functools
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from vizinho.errors import DeployError, VizinhoError

if TYPE_CHECKING:
    from rich.console import Console

    from vizinho.progress import Progress

P = ParamSpec("P")
R = TypeVar("R")

AsJson = Annotated[bool, typer.Option("--json", help="Answer (and report errors) as JSON.")]
GalleryOption = Annotated[
    Path | None,
    typer.Option(
        "--gallery",
        "-g",
        help="The gallery's folder or address. Default: VIZINHO_GALLERY, else the only *.vizinho "
        "here.",
    ),
]
# Wide enough that no table folds a key when the output goes to a file or another program.
PIPE_WIDTH = 4096


def edge(command: Callable[P, R]) -> Callable[P, R]:
    """Turns Vizinho's errors, and the system's about files, into a message and exit code 1.

    The error is JSON when the verb has an ``as_json`` parameter and it is set.
    """

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except VizinhoError as error:
            report_error(error, as_json=bool(kwargs.get("as_json")))
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            about = f"{error.filename}: " if error.filename else ""
            told = VizinhoError(f"{about}{error.strerror or error}.")
            report_error(told, as_json=bool(kwargs.get("as_json")))
        raise typer.Exit(1)

    return wrapper


def at_terminal() -> bool:
    """Whether somebody may be typing: standard input is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()


def require_answers(*, as_json: bool) -> None:
    """Raises DeployError where nobody can be asked: no terminal to type into, or JSON wanted."""
    if as_json or not at_terminal():
        raise DeployError(
            "This needs a yes, and there is nobody here to give it.",
            "Say --yes, or run it in a terminal.",
        )


def report_error(error: VizinhoError, *, as_json: bool = False) -> None:
    """Writes an error to stderr: red for a person, one JSON object for a program.

    The object has the shape of the HTTP API's errors; ``code`` is the class's name in snake case.
    """
    if as_json:
        code = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
        body = {"code": code, "message": error.message, "hint": error.hint}
        sys.stderr.write(json.dumps({"error": body}, ensure_ascii=False) + "\n")
        return
    console = err()
    console.print(f"Error: {error.message}", style="bold red", markup=False, highlight=False)
    if error.hint:
        console.print(error.hint, markup=False, highlight=False)


def out() -> Console:
    """A console on stdout; when that is no terminal, nothing is coloured or cut."""
    from rich.console import Console

    return Console(soft_wrap=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def err() -> Console:
    """A console on stderr."""
    from rich.console import Console

    return Console(stderr=True, soft_wrap=not sys.stderr.isatty())


def print_json(value: object) -> None:
    """Writes one JSON value to stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[str] = (),
    faint: bool = False,
) -> None:
    """Writes a table to stdout; the columns named in ``right`` are aligned right, ``faint`` dims.

    On a terminal the last column folds rather than losing its end, so that a key can be copied.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
        header_style="bold",
        style="dim" if faint else "",
    )
    for column in columns:
        last = column == columns[-1]
        table.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold" if last else "ellipsis",
            no_wrap=not last,
        )
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = out()
    with console.capture() as drawn:
        console.print(table)
    # rich fills every line up to the table's width; programs that read the table would see that.
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in drawn.get().splitlines())


def print_fields(fields: Mapping[str, object]) -> None:
    """Writes names and values, one pair a line; pairs whose value is None are left out."""
    shown = {name: value for name, value in fields.items() if value is not None}
    wide = max(map(len, shown), default=0)
    console = out()
    for name, value in shown.items():
        console.print(f"{name:<{wide}}  {value}", markup=False, highlight=False)


@contextmanager
def progress(description: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """A progress bar on stderr with rate and time left; yields the callback that drives it.

    Yields None, and draws nothing, when ``quiet`` or when stderr is no terminal.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich import progress as bars

    bar = bars.Progress(
        bars.TextColumn("{task.description}"),
        bars.BarColumn(bar_width=None),
        bars.TextColumn("{task.fields[count]}"),
        bars.TextColumn("{task.fields[rate]}"),
        bars.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=err(),
        transient=True,
    )
    task = bar.add_task(description, total=None, count="", rate="")

    def report(done: int, total: int | None) -> None:
        speed = bar.tasks[task].speed
        count = f"{done:,} of {total:,}" if total is not None else f"{done:,}"
        rate = f"{speed:,.0f}/s" if speed else ""
        bar.update(task, completed=done, total=total, count=count, rate=rate)

    with bar:
        yield report


def parse_pairs(pairs: Sequence[str], option: str, *, texts: Sequence[str] = ()) -> dict[str, Any]:
    """``["colour=red", "year=2024"]`` as a dict; a value that reads as JSON is taken as JSON.

    Of the names in ``texts`` only ``null`` is, so that ``label=7`` is the text "7".
    Raises typer.BadParameter (exit code 2) for a text without ``=``.
    """
    parsed: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{pair!r} should look like NAME=VALUE.", param_hint=option)
        try:
            parsed[name] = text if name in texts and text != "null" else json.loads(text)
        except ValueError:
            parsed[name] = text
    return parsed
