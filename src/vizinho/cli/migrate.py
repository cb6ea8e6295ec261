"""``vizinho migrate``: another model for a gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vizinho.cli.choosing import WAIT_SECONDS, WaitOption, patience
from vizinho.cli.console import AsJson, edge, out, print_json, progress
from vizinho.cli.reports import print_skipped
from vizinho.place import as_place


@edge
def command(
    gallery: Annotated[
        Path, typer.Argument(metavar="GALLERY", help="The gallery's folder, or its address.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="The new model bundle: a name or a folder.")
    ],
    precision: Annotated[
        str | None,
        typer.Option(metavar="PRECISION", help="fp32 or int8. Default: as before, if it has it."),
    ] = None,
    skip_missing: Annotated[
        bool,
        typer.Option("--skip-missing", help="Leave out pictures whose bytes can't be found."),
    ] = False,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep the old model and vectors as a backup; not in Milvus."),
    ] = False,
    wait: WaitOption = WAIT_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Embed a gallery's pictures anew under another model, which then takes the old one's place.

    Searches and changes go on meanwhile, and a running server changes over by itself. Run again
    after an interruption: it goes on where it stopped. In Milvus the old vectors are removed half a
    minute after the change, when whoever reads has changed over.
    """
    from vizinho.gallery.migrate import migrate

    gallery = as_place(gallery)
    with progress("Embedding", quiet=as_json) as report:
        done = migrate(
            gallery,
            model,
            precision=precision,
            skip_missing=skip_missing,
            keep=keep,
            patience=patience(wait),
            progress=report,
        )
    if as_json:
        print_json(
            {
                "gallery": str(gallery),
                "model": done.model,
                "fingerprint": done.fingerprint,
                "before": done.before,
                "changed": done.changed,
                "pictures": done.pictures,
                "embedded": done.embedded,
                "resumed": done.resumed,
                "skipped": [{"name": s.name, "reason": s.reason} for s in done.skipped],
                "backup": str(done.backup) if done.backup else None,
                "seconds": round(done.seconds, 3),
            }
        )
        return
    console = out()
    if not done.changed:
        said = f"{gallery} has the model {done.model} already."
    else:
        resumed = f", {done.resumed:,} by a run before" if done.resumed else ""
        said = (
            f"{gallery}: from {done.before} to {done.model}. {done.pictures:,} pictures; "
            f"{done.embedded:,} embedded{resumed} in {done.seconds:.1f} s."
        )
    console.print(said, markup=False, highlight=False, soft_wrap=True)
    if done.backup is not None:
        console.print(f"Kept: {done.backup}", markup=False, highlight=False, soft_wrap=True)
    print_skipped(done.skipped)
