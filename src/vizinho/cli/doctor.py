"""``vizinho doctor``: is a gallery in order, and what to do if not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vizinho.cli.choosing import WAIT_SECONDS, WaitOption, patience
from vizinho.cli.console import AsJson, edge, err, out, print_json, progress

if TYPE_CHECKING:
    from vizinho.gallery.doctor import Examination

ITEMS_SHOWN = 5
MARKS = {"ok": ("ok", "green"), "note": ("note", "yellow"), "wrong": ("WRONG", "bold red")}


@edge
def command(
    gallery: Annotated[
        str | None,
        typer.Argument(metavar="GALLERY", help="Default: the gallery that other verbs take."),
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what is wrong and can be mended.")
    ] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Read and ask for every picture, not only for a sample.")
    ] = False,
    sample: Annotated[int, typer.Option(metavar="N", min=1, help="Pictures of the sample.")] = 200,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="With --fix: where to take a damaged model from."),
    ] = None,
    wait: WaitOption = WAIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Look at every part of a gallery: files, vectors, index, pictures. A look changes nothing.

    Exit code 1 when something is wrong.
    """
    from vizinho.gallery.doctor import examine
    from vizinho.settings import find_gallery

    path = find_gallery(Path(gallery) if gallery else None)
    with progress("Looking", quiet=as_json) as report:
        found = examine(
            path,
            full=full,
            sample=sample,
            fix=fix,
            model=model,
            patience=patience(wait),
            progress=report,
        )
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found, fix=fix)
    if not found.healthy:
        raise typer.Exit(1)


def _print(found: Examination, *, fix: bool) -> None:
    from rich.text import Text

    console = out()
    wide = max(len(each.check) for each in found.findings)
    for each in found.findings:
        mark, style = MARKS[each.status]
        line = Text(f"{mark:<6}", style=style)
        console.print(
            line.append(f"{each.check:<{wide}}  {each.what}", style="default"), soft_wrap=True
        )
        for item in each.items[:ITEMS_SHOWN]:
            console.print(Text(f"{'':<{wide + 8}}{item}", style="dim"), soft_wrap=True)
        if len(each.items) > ITEMS_SHOWN:
            more = "and more; --json lists them."
            console.print(Text(f"{'':<{wide + 8}}{more}", style="dim"), soft_wrap=True)
        if each.do:
            console.print(Text(f"{'':<{wide + 8}}{each.do}"), soft_wrap=True)
    for done in found.mended:
        console.print(f"Mended: {done}.", markup=False, highlight=False, soft_wrap=True)
    wrong = sum(each.status == "wrong" for each in found.findings)
    if not wrong:
        console.print("The gallery is in order.", style="green", highlight=False)
        return
    can = any(each.mend is not None and each.status == "wrong" for each in found.findings)
    said = f"{wrong} things are wrong." if wrong > 1 else "One thing is wrong."
    if can and not fix:
        said += " `vizinho doctor --fix` mends what it can."
    err().print(said, style="bold red", highlight=False)
