"""``vizinho deploy``: a gallery on AWS."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vizinho.cli.console import (
    AsJson,
    GalleryOption,
    edge,
    err,
    out,
    print_fields,
    print_json,
    require_answers,
)
from vizinho.cli.stopping import can_be_run_again

if TYPE_CHECKING:
    from vizinho.aws.deploy import Deployed, DeployOptions, Planned

Place = Annotated[
    Literal["aws"], typer.Argument(metavar="PLACE", help="Where to: [bold]aws[/bold].")
]
NameOption = Annotated[
    str | None, typer.Option("--name", help="The deployment's name. Default: the gallery's.")
]
RegionOption = Annotated[
    str | None, typer.Option("--region", help="AWS region. Default: the one of your AWS settings.")
]


@edge
def command(
    place: Place,
    gallery: GalleryOption = None,
    name: NameOption = None,
    region: RegionOption = None,
    public: Annotated[
        bool,
        typer.Option("--public", help="Anyone may fetch the pictures; else links are signed."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and cost; change nothing.")
    ] = False,
    package: Annotated[
        Literal["zip", "image"],
        typer.Option("--package", help="The function's code: a zip, or a container image."),
    ] = "zip",
    api: Annotated[
        Literal["url", "http"],
        typer.Option("--api", help="A function URL (free), or an HTTP API."),
    ] = "url",
    memory: Annotated[
        int, typer.Option("--memory", min=128, max=10_240, help="MB; 1769 is one whole core.")
    ] = 1769,
    architecture: Annotated[
        Literal["x86_64", "arm64"], typer.Option("--architecture", help="The function's processor.")
    ] = "x86_64",
    python: Annotated[str, typer.Option("--python", help="The function's Python.")] = "3.13",
    snapstart: Annotated[
        bool,
        typer.Option(
            "--snapstart/--no-snapstart",
            help="Start zips from a snapshot: faster, and paid for by the hour.",
        ),
    ] = True,
    keep_logs: Annotated[
        int, typer.Option("--keep-logs", metavar="DAYS", help="Days that logs are kept.")
    ] = 14,
    concurrency: Annotated[
        int,
        typer.Option("--concurrency", min=0, help="Queries at once at most; 0: the account's."),
    ] = 0,
    alarm_topic: Annotated[
        str | None, typer.Option("--alarm-topic", metavar="ARN", help="SNS topic told of alarms.")
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", help="Take the place of a gallery with other pictures."),
    ] = False,
    no_page: Annotated[
        bool, typer.Option("--no-page", help="The API only, for pages anywhere.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a gallery on AWS: bucket, function, page. Run again: only what changed is done.

    An interrupted run goes on where it stopped. `vizinho destroy aws` takes all down again.
    """
    from vizinho.aws.deploy import DeployOptions, deploy, name_after, plan
    from vizinho.settings import find_gallery, load

    path = find_gallery(gallery)
    options = DeployOptions(
        gallery=path,
        name=name or name_after(path),
        cache=load().cache_dir / "aws",
        region=region,
        public=public,
        package=package,
        api=api,
        memory=memory,
        architecture=architecture,
        python=python,
        with_snapshot=snapstart,
        keep_logs=keep_logs,
        page=not no_page,
        concurrency=concurrency,
        alarm_topic=alarm_topic,
        replace=replace,
    )
    if dry_run:
        planned = plan(options)
        print_json(asdict(planned)) if as_json else _show_plan(planned)
        return
    if public and not yes:
        require_answers(as_json=as_json)
        _ask_about_public(options)
    from vizinho.cli.deploy_view import DeployView

    with can_be_run_again(as_json=as_json), DeployView(quiet=as_json) as view:
        done = deploy(options, view)
    print_json(asdict(done)) if as_json else _show(done)


def _ask_about_public(options: DeployOptions) -> None:
    from vizinho.gallery import GalleryView

    with GalleryView.open(options.gallery) as opened:
        count = opened.count
    err().print(
        f"--public: everybody in the world will be able to fetch these {count:,} pictures.",
        style="bold",
        highlight=False,
    )
    typer.confirm("Go on?", abort=True, err=True)


def _show_plan(planned: Planned) -> None:
    heading = f"{planned.name} in account {planned.account}, {planned.region}. It would:"
    out().print(heading, style="bold", markup=False, highlight=False)
    print_fields(planned.steps)
    print_costs(planned.costs)
    out().print("Nothing was changed.", highlight=False)


def _show(done: Deployed) -> None:
    print_fields(
        {
            "url": done.url,
            "page": done.page_url,
            "bucket": done.bucket,
            "stack": done.stack,
            "pictures": f"{done.pictures:,}",
            "left out": f"{len(done.missing):,}" if done.missing else None,
            "first query": f"{done.trial.key} finds itself at {done.trial.distance:.2f}, "
            f"in {done.trial.seconds:.2f} s",
        }
    )
    print_costs(done.costs)


def print_costs(costs: dict[str, Any]) -> None:
    """The estimate in two lines; costs differ by use, so it says what it supposes."""
    out().print(
        f"costs  about ${costs['usd_per_1000_queries']:.4f} per 1,000 queries, and "
        f"${costs['usd_per_month']:.2f} a month with {costs['queries_per_month']:,.0f} queries "
        f"(${costs['usd_standing_per_month']:.2f} with none); prices of "
        f"{costs['region']} as of {costs['prices_as_of']}, without taxes and free tier",
        highlight=False,
        markup=False,
    )
