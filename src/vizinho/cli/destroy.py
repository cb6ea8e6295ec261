"""``vizinho destroy``: a deployment taken down."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vizinho.cli.console import (
    AsJson,
    GalleryOption,
    edge,
    err,
    out,
    print_json,
    require_answers,
)
from vizinho.cli.deploy import NameOption, Place, RegionOption
from vizinho.cli.stopping import can_be_run_again

if TYPE_CHECKING:
    from vizinho.aws.deploy import Removed


@edge
def command(
    place: Place,
    gallery: GalleryOption = None,
    name: NameOption = None,
    region: RegionOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove all that `vizinho deploy` made, and nothing else. The gallery here stays."""
    from vizinho.aws.deploy import destroy
    from vizinho.cli.deploy_view import DeployView

    named = deployment_name(name, gallery)
    if dry_run:
        _show(destroy(named, region=region, dry_run=True), "would be removed", as_json=as_json)
        return
    if not yes:
        require_answers(as_json=as_json)
        listed = destroy(named, region=region, dry_run=True)
        if listed.removed:
            for each in listed.removed:
                err().print(f"  {each}", markup=False, highlight=False)
            typer.confirm(f"Remove these of {named} in {listed.region}?", abort=True, err=True)
    with can_be_run_again(as_json=as_json), DeployView(quiet=as_json) as view:
        done = destroy(named, region=region, watcher=view)
    _show(done, "removed", as_json=as_json)


def deployment_name(name: str | None, gallery: object) -> str:
    """The deployment meant: the one named, else the gallery's, as `deploy` calls it."""
    from pathlib import Path

    from vizinho.aws.deploy import name_after
    from vizinho.settings import find_gallery

    return name or name_after(find_gallery(gallery if isinstance(gallery, Path) else None))


def _show(done: Removed, how: str, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(done))
        return
    console = out()
    for each in done.removed:
        console.print(f"{how}: {each}", markup=False, highlight=False)
    for each in done.left:
        console.print(f"left: {each}", markup=False, highlight=False)
    if not done.removed and not done.left:
        console.print(f"Nothing stands of {done.name} in {done.region}.", highlight=False)
