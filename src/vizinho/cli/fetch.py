"""``vizinho fetch``: download a data set."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vizinho.cli.console import AsJson, edge, out, print_json, progress


class DataSet(StrEnum):
    """The data sets that can be downloaded."""

    cifar10 = "cifar10"


@edge
def command(
    dataset: Annotated[DataSet, typer.Argument(help="Which data set.")],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Folder to put it in. Default: VIZINHO_DATA, else the cache."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Download a data set, with resume and checksum; does nothing when it is there."""
    from vizinho.datasets import fetch_cifar10
    from vizinho.settings import default_data_dir

    with progress(f"Fetching {dataset.value}", quiet=as_json) as report:
        path = fetch_cifar10(data or default_data_dir(), progress=report)
    if as_json:
        print_json({"dataset": dataset.value, "path": str(path)})
    else:
        out().print(f"{dataset.value} is in {path}.", markup=False, highlight=False)
