"""Sets Lambda beside a server that is always on, in ``docs/hosting.md``.

``python scripts/make_hosting.py`` takes the measured times from ``docs/hosting/measured.json``
(change them there) and AWS's prices from ``vizinho.aws.prices``, rewrites the page between its
markers and redraws the picture.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vizinho.aws.costs import HOURS, Estimate, estimate, load_prices, machines, server

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "hosting.md"
MEASURED = ROOT / "docs" / "hosting" / "measured.json"
PICTURE = ROOT / "docs" / "images" / "hosting.png"
PLACE = re.compile(
    r"(<!-- tables: made by scripts/make_hosting.py -->\n).*(<!-- end of tables -->)", re.S
)
RATES = (1, 100, 10_000)
REGIONS = ("us-east-1", "sa-east-1")

Bill = Callable[[float], Estimate]


def cold_share(rate: float, measured: dict[str, Any]) -> float:
    """Share of queries that find no function running, at ``rate`` queries an hour.

    Queries come by chance (Poisson). A function that was idle for a while is taken away, and one
    that is always busy is renewed every few hours; both times are assumptions.
    """
    assumed = measured["assumed"]
    idle = math.exp(-rate * assumed["kept_minutes"] / 60)
    renewed = min(1.0, 1 / (rate * assumed["recycled_hours"]))
    return 1 - (1 - idle) * (1 - renewed)


def memories(measured: dict[str, Any]) -> list[int]:
    return sorted(int(each) for each in measured["cold"]["by_memory_mb"])


def warm_seconds(memory: int, measured: dict[str, Any], which: str = "median_s") -> float:
    """Of a query at the share of a core that so much memory gets.

    The slowest of a hundred was measured on a whole core only, and is stretched as the median is.
    """
    stretched = (
        measured["cold"]["by_memory_mb"][str(memory)]["warm_s"] / measured["warm"]["median_s"]
    )
    return float(measured["warm"][which] * stretched)


def cold_seconds(memory: int, measured: dict[str, Any]) -> float:
    return float(measured["cold"]["by_memory_mb"][str(memory)]["median_s"])


def bills(region: str, measured: dict[str, Any]) -> dict[str, Bill]:
    """The ways to host by their titles, each as the bill of so many queries an hour."""
    prices = load_prices(region)
    pictures = {
        "images": measured["pictures"]["count"],
        "images_bytes": measured["pictures"]["bytes"],
    }
    answers = measured["answer_bytes"]

    def function(memory: int, snapstart: bool) -> Bill:
        warm, cold = warm_seconds(memory, measured), cold_seconds(memory, measured)
        return lambda rate: estimate(
            prices,
            memory_mb=memory,
            seconds_warm=warm,
            # A restored function hasn't to start; how long it is restored wasn't measured.
            seconds_cold=warm if snapstart else cold,
            cold_share=cold_share(rate, measured),
            queries_per_month=rate * HOURS,
            snapstart=snapstart,
            gallery_bytes=measured["gallery_bytes"],
            package_bytes=measured["package_bytes"],
            answer_bytes=answers["lambda"],
            **pictures,
        )

    def always_on(name: str) -> Bill:
        return lambda rate: server(
            prices,
            name,
            queries_per_month=rate * HOURS,
            answer_bytes=answers["server"],
            **pictures,
        )

    found = {f"Lambda, {memory:,} MB": function(memory, False) for memory in memories(measured)}
    largest = memories(measured)[-1]
    found[f"Lambda, {largest:,} MB, with SnapStart"] = function(largest, True)
    return found | {each["title"]: always_on(name) for name, each in machines(prices).items()}


def break_even(one: Bill, other: Bill) -> float | None:
    """Queries an hour from which on the first costs more than the second, if it ever does."""
    low, high = 0.1, 1e7
    if one(low).per_month >= other(low).per_month or one(high).per_month <= other(high).per_month:
        return None
    for _ in range(60):
        middle = math.sqrt(low * high)
        low, high = (
            (middle, high) if one(middle).per_month < other(middle).per_month else (low, middle)
        )
    return high


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def costs_table(region: str, measured: dict[str, Any]) -> str:
    rows = [
        [
            title,
            *(f"{bill(rate).per_month:,.2f}" for rate in RATES),
            f"{bill(RATES[-1]).per_1000_queries:.4f}",
        ]
        for title, bill in bills(region, measured).items()
    ]
    head = ["US dollars a month", *(f"{rate:,} an hour" for rate in RATES), "1,000 more queries"]
    return table(head, rows)


def latency_table(measured: dict[str, Any]) -> str:
    rows = []
    for memory in memories(measured):
        cells = [f"Lambda, {memory:,} MB"]
        for rate in RATES:
            share = cold_share(rate, measured)
            cold = cold_seconds(memory, measured)
            usual = cold if share > 0.5 else warm_seconds(memory, measured)
            slowest = cold if share > 0.01 else warm_seconds(memory, measured, "p99_s")
            cells.append(f"{ms(usual)}, {ms(slowest)}; starts {percent(share)}")
        rows.append(cells)
    warm = f"{ms(measured['warm']['median_s'])}, {ms(measured['warm']['p99_s'])}"
    busy = [rate * measured["warm"]["median_s"] / 3600 for rate in RATES]
    rows.append(["a server", *(f"{warm}; a core busy {percent(share)}" for share in busy)])
    return table(["typical, slowest of a hundred", *(f"{r:,} an hour" for r in RATES)], rows)


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds:.2f} s"


def percent(share: float) -> str:
    if share < 0.0001:
        return "under 0.01 %"
    return f"{share * 100:.0f} %" if share >= 0.1 else f"{share * 100:.2g} %"


def tables() -> str:
    """What stands between the page's markers."""
    measured = json.loads(MEASURED.read_text())
    parts = []
    for region in REGIONS:
        prices = load_prices(region)
        found = bills(region, measured)
        guessed = {name for bill in found.values() for name in bill(1).doubtful}
        note = ""
        if guessed:
            names = ", ".join(f"`{name}`" for name in sorted(guessed))
            note = f"\nThis region's own price was not found for {names}; see `prices.json`.\n"
        parts.append(f"### {prices.name}\n\n{costs_table(region, measured)}{note}")
    parts.append(f"### Time to the answer\n\n{latency_table(measured)}")
    found = bills(REGIONS[0], measured)
    plain = [bill for title, bill in found.items() if title.startswith("Lambda")][-2]
    lines = []
    for title, bill in found.items():
        if not title.startswith("Lambda"):
            rate = break_even(plain, bill)
            when = "at every rate" if rate is None else f"up to {float(f'{rate:.2g}'):,.0f} an hour"
            lines.append(f"- than {title}: {when}")
    parts.append("### Lambda costs less\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)


def draw() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    measured = json.loads(MEASURED.read_text())
    rates = [10 ** (step / 10) for step in range(-10, 51)]
    figure, axes = plt.subplots(figsize=(7, 4), dpi=120, layout="constrained")
    for title, bill in bills(REGIONS[0], measured).items():
        style = "-" if title.startswith("Lambda") else "--"
        axes.loglog(rates, [bill(rate).per_month for rate in rates], style, label=title)
    axes.set(xlabel="queries an hour", ylabel="US dollars a month", ylim=(0.1, None))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)
    figure.savefig(PICTURE, metadata={"Software": None})


def main() -> None:
    text, count = PLACE.subn(lambda found: found[1] + tables() + found[2], PAGE.read_text())
    if count != 1:
        raise SystemExit(f"{PAGE} has lost its markers")
    PAGE.write_text(text)
    draw()


if __name__ == "__main__":
    main()
