"""How the verbs that write into a gallery say what they did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vizinho.cli.console import err, out, print_json

if TYPE_CHECKING:
    from vizinho.datasets import Skipped
    from vizinho.gallery import AddReport

SKIPPED_SHOWN = 20
COUNTS = ("added", "changed", "renamed", "removed", "unchanged", "duplicates")


def print_add_report(report: AddReport, path: Path, count: int, *, as_json: bool) -> None:
    """Says what was done to the gallery at ``path``, which now holds ``count`` pictures.

    Skipped files go to stderr, each with its reason: the first 20 for a person, all as JSON.
    """
    counts = {name: getattr(report, name) for name in COUNTS}
    if as_json:
        print_json(
            {
                "gallery": str(path),
                "count": count,
                **counts,
                "skipped": [{"name": s.name, "reason": s.reason} for s in report.skipped],
                "seconds": round(report.seconds, 3),
            }
        )
        return
    done = ", ".join(
        f"{number:,} {name[:-1] if name == 'duplicates' and number == 1 else name}"
        for name, number in counts.items()
        if number
    )
    work = report.added + report.changed
    rate = f" ({work / report.seconds:,.0f}/s)" if work and report.seconds > 0 else ""
    console = out()
    console.print(
        f"{path}: {done or 'nothing to do'} in {report.seconds:.1f} s{rate}.",
        f"{count:,} pictures.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    print_skipped(report.skipped)


def plain(text: str) -> str:
    """``text`` on one line, whatever a file is called: a newline in a name is written as \\n."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def print_skipped(skipped: Sequence[Skipped]) -> None:
    """Lists on stderr the pictures that were left out and why, the first 20."""
    if not skipped:
        return
    console = err()
    console.print(f"{len(skipped):,} skipped:", style="yellow", highlight=False)
    for each in skipped[:SKIPPED_SHOWN]:
        line = f"{each.name}: {each.reason}" if each.name else each.reason
        console.print(f"  {plain(line)}", markup=False, highlight=False)
    if len(skipped) > SKIPPED_SHOWN:
        console.print(f"  and {len(skipped) - SKIPPED_SHOWN:,} more; --json lists all.")
