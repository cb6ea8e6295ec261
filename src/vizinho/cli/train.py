"""``vizinho train``: labelled pictures in, a model bundle out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vizinho.cli.console import AsJson, edge, err, print_fields, print_json

if TYPE_CHECKING:
    from vizinho.bundle import BundleInfo
    from vizinho.datasets import Skipped
    from vizinho.train.loop import Trained

DATASET = "cifar10:train, a folder of class/picture, or a .parquet or .csv file (see docs)."


@edge
def command(
    dataset: Annotated[str, typer.Argument(help=f"What to train on: {DATASET}")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model bundle.")],
    recipe: Annotated[
        str, typer.Option(help="Where to start from: quick, fast, fast-triplet, thesis or record.")
    ] = "fast",
    validation: Annotated[
        str | None, typer.Option(help="Measure on these pictures instead of held-out ones.")
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="fastnet, resnet18/34/50, or wide: wrn16-4, wrn28-10.")
    ] = None,
    stem: Annotated[
        str | None, typer.Option(help="A ResNet's first layer: imagenet (7x7) or cifar (3x3).")
    ] = None,
    dimension: Annotated[int | None, typer.Option(help="Numbers in an embedding.")] = None,
    normalise: Annotated[bool | None, typer.Option(help="Scale embeddings to length one.")] = None,
    mirrored: Annotated[
        bool | None, typer.Option(help="Embed each picture and its mirror image.")
    ] = None,
    descriptor: Annotated[
        str | None, typer.Option(help="The layer that is the embedding: head or features.")
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help="softmax, triplet, supcon, ...: docs/losses.md has them all.")
    ] = None,
    margin: Annotated[float | None, typer.Option(help="The loss's; default: its own.")] = None,
    mining: Annotated[
        str | None, typer.Option(help="batch-hard, semi-hard or batch-all triplets.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the data.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per optimiser step.")] = None,
    micro_batch: Annotated[int | None, typer.Option(help="Images per forward pass.")] = None,
    optimiser: Annotated[str | None, typer.Option(help="muon or sgd.")] = None,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate (of the filters, in muon).")
    ] = None,
    head_lr: Annotated[float | None, typer.Option(help="Of everything else, in muon.")] = None,
    size: Annotated[int | None, typer.Option(help="Pixels a side.")] = None,
    low_share: Annotated[
        float | None, typer.Option(help="Share of the epochs that run on smaller images first.")
    ] = None,
    holdout: Annotated[
        int | None, typer.Option(help="Images kept aside to measure Top-1 on.")
    ] = None,
    unseen: Annotated[
        float | None,
        typer.Option(help="Classes never trained on: a share (0.2) or a number (20)."),
    ] = None,
    time_budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="As many epochs as fit, all in all: 90s, 20m, 2h."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="random, imagenet, a model bundle (folder or name), or a file."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same training.")] = None,
    more: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Any other field of the recipe."),
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Processor cores to use.")] = None,
    name: Annotated[
        str | None, typer.Option(help="The model's name; default: the folder's.")
    ] = None,
    fresh: Annotated[bool, typer.Option(help="Start over, whatever OUT.run holds.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train an embedder on labelled pictures and write a model bundle.

    Run the same command again after Ctrl-C or a crash: it goes on from its last checkpoint, kept
    in OUT.run beside the bundle with the curve of the training.
    """
    import time

    from vizinho.bundle import check_place

    began = time.monotonic()
    if out.name in ("", ".."):
        # "." has no name of its own, to call the model and its run by.
        out = out.resolve()
    check_place(out)

    from vizinho.cli.training_view import TrainingView
    from vizinho.datasets import load_dataset
    from vizinho.settings import load
    from vizinho.train.recipes import changes as parse_changes
    from vizinho.train.recipes import recipe as build

    changes: dict[str, Any] = {
        "network": network,
        "stem": stem,
        "dimension": dimension,
        "normalise": normalise,
        "mirrored": mirrored,
        "descriptor": descriptor,
        "loss": loss,
        "margin": margin,
        "mining": mining,
        "epochs": epochs,
        "batch_size": batch_size,
        "micro_batch": micro_batch,
        "optimiser": optimiser,
        "lr": lr,
        "head_lr": head_lr,
        "size": size,
        "low_share": low_share,
        "holdout": holdout,
        "unseen": unseen,
        "init": init,
        "seed": seed,
    }
    fields = {**changes, **parse_changes(more or ())}
    fields = {field: value for field, value in fields.items() if value is not None}
    build(recipe, **fields)
    seconds = _seconds(time_budget, fields)
    where = load().data_dir
    images = load_dataset(dataset, data_dir=where)
    measured_on = load_dataset(validation, data_dir=where) if validation else None

    from vizinho.train.budget import measured, planned
    from vizinho.train.checkpoint import alone
    from vizinho.train.chosen import choose, recall, remember
    from vizinho.train.data import load_pixels
    from vizinho.train.finish import write_model
    from vizinho.train.lessons import is_finished, trainings
    from vizinho.train.loop import train

    run = out.with_name(out.name + ".run")
    asked = {"recipe": recipe, **fields, "time_budget": time_budget}
    with alone(run):
        before = None if fresh else recall(run, asked)
        told, notes = (
            (before, [])
            if before
            else choose(
                recipe,
                fields,
                images,
                validation=measured_on is not None,
                budget=seconds > 0,
            )
        )
        for each, place in trainings(told, run):
            if fresh:
                (place / "checkpoint.pt").unlink(missing_ok=True)
            model = out if each is told else place / "model"
            if each is not told and model.is_dir() and is_finished(place, each):
                continue
            with TrainingView(each, quiet=as_json) as view:
                if each is not told:
                    view.note(f"A teacher first, {place.name}: {each.network}, in {place}.")
                made, pixels = each, None
                if each is told:
                    for note in notes:
                        view.note(note)
                    if seconds and not before:
                        pixels = load_pixels(
                            images, each, measured_on, view.decoding, run=place, threads=threads
                        )
                        speed = measured(each, pixels, threads)
                        left = seconds - (time.monotonic() - began)
                        made, note = planned(each, speed, left)
                        view.note(note)
                        view.planned(made)
                    remember(run, asked, made)
                trained = train(
                    made,
                    images,
                    place,
                    view,
                    validation=measured_on,
                    decoding=view.decoding,
                    fetching=view.fetching,
                    threads=threads,
                    pixels=pixels,
                )
            called = name or out.name
            info = write_model(
                trained, made, model, called if each is told else f"{called}-{place.name}"
            )
    skipped = images.skipped + (measured_on.skipped if measured_on else [])
    _show(trained, info, out, run, skipped, as_json)


def _seconds(time_budget: str | None, fields: dict[str, Any]) -> float:
    """The time budget in seconds; 0 without one."""
    from vizinho.errors import SettingsError
    from vizinho.train.budget import parse_duration

    if time_budget is None:
        return 0.0
    if "epochs" in fields:
        raise SettingsError(
            "--time-budget chooses the epochs, and --epochs tells them.", "Give one of the two."
        )
    return parse_duration(time_budget)


def _unseen(info: BundleInfo) -> dict[str, object]:
    found = info.metrics.get("unseen")
    if not found:
        return {}
    return {
        "top_1_unseen": found["precision_at_1"],
        "unseen": f"{found['n']} pictures of {found['classes']} classes",
    }


def _show(
    trained: Trained,
    info: BundleInfo,
    out: Path,
    run: Path,
    skipped: list[Skipped],
    as_json: bool,
) -> None:
    from vizinho.cli.reports import print_skipped
    from vizinho.report import plot_curve

    curve = run / "curve.png"
    plot_curve(trained.progress.records, curve)
    summary: dict[str, object] = {
        "model": str(out),
        "fingerprint": info.fingerprint,
        "top_1_held_out": info.metrics.get("holdout", {}).get("precision_at_1"),
        "held_out": info.training["held_out"],
        **_unseen(info),
        "minutes": round(info.training["seconds"] / 60, 1),
        "curve": str(curve),
        "checkpoint": str(run / "checkpoint.pt"),
    }
    if as_json:
        listed = [{"name": each.name, "reason": each.reason} for each in skipped]
        print_json({**summary, "skipped": listed})
    else:
        shares = {field: value for field, value in summary.items() if isinstance(value, float)}
        shares.pop("minutes", None)
        print_fields({**summary, **{field: f"{value:.2%}" for field, value in shares.items()}})
        print_skipped(skipped)
        err().print(f"Try it: vizinho eval {out} DATASET, or vizinho index FOLDER --model {out}")
