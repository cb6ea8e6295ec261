"""What the verbs that look after a gallery share: which pictures are meant, how long to wait."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vizinho.cli.console import err

if TYPE_CHECKING:
    from vizinho.gallery.lock import Patience

STDIN = "-"
SHOWN = 20

KeysArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY...]",
        help="As `vizinho list` shows them; 'cats/*' and '**/*.png' are patterns, - reads keys "
        "from standard input.",
        show_default=False,
    ),
]
WhereOption = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        "-w",
        metavar="NAME=VALUE",
        help="Only pictures with this label or metadata, as label=cat; label=null: without one.",
    ),
]
WaitOption = Annotated[
    float,
    typer.Option(
        "--wait",
        min=0,
        metavar="SECONDS",
        help="How long to wait for another process that is writing to the gallery.",
    ),
]
WAIT_SECONDS = 10.0


def patience(seconds: float) -> Patience:
    """Wait so long for another writer, and say on stderr for whom."""
    from vizinho.gallery.lock import Patience

    def told(sentence: str) -> None:
        err().print(sentence, style="dim", markup=False, highlight=False)

    return Patience(seconds, told)


def named_keys(keys: Sequence[str]) -> Iterator[str]:
    """The keys as they were named; ``-`` stands for those on standard input, one a line."""
    for key in keys:
        if key != STDIN:
            yield key
            continue
        for line in sys.stdin:
            if named := line.rstrip("\r\n"):
                yield named


def print_unknown(unknown: Sequence[str]) -> None:
    """Lists on stderr the keys that are not in the gallery, the first 20."""
    if not unknown:
        return
    console = err()
    console.print(f"{len(unknown):,} not in the gallery:", style="yellow", highlight=False)
    for key in unknown[:SHOWN]:
        console.print(f"  {key}", markup=False, highlight=False)
    if len(unknown) > SHOWN:
        console.print(f"  and {len(unknown) - SHOWN:,} more; --json lists all.")
