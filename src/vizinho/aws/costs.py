"""What a deployment costs, from AWS's published prices and one's own measured times.

The prices are data (:mod:`vizinho.aws.prices`); this module only multiplies. A bill has two parts:
what every query adds, and what stands there all month whether anybody asks or not. They are kept
apart, because the second is most of the bill of a small gallery. Taxes and discount plans are not
in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from vizinho.aws.prices import Prices, label_of, load_prices, machines, regions
from vizinho.errors import VizinhoError

__all__ = ["Estimate", "Line", "estimate", "load_prices", "machines", "regions", "server", "upload"]

HOURS = 730.0
"""Hours of a month as AWS counts them."""
GB = 1024.0**3
_MB_IN_GB = 1024.0

Architecture = Literal["x86_64", "arm64"]


@dataclass(frozen=True)
class Line:
    """One line of the bill.

    Attributes:
        name: what is paid for, in words.
        unit: what is counted.
        per_query: units that one query adds (on average).
        fixed: units a month that stand there anyway.
        price: US dollars for one unit.
        free: units a month that cost nothing; 0 unless the free tier was asked for.
    """

    name: str
    unit: str
    per_query: float
    fixed: float
    price: float
    free: float = 0.0

    def dollars(self, queries: float) -> float:
        """US dollars in a month of so many queries."""
        return max(0.0, self.fixed + self.per_query * queries - self.free) * self.price


@dataclass(frozen=True)
class Estimate:
    """A month's bill, line by line. All amounts in US dollars, without tax.

    Attributes:
        region: the region whose prices were taken.
        queries_per_month: how many queries the month has.
        lines: what is paid for; see :meth:`Line.dollars`.
        as_of: date of the oldest price among them.
        doubtful: names of prices among them that no source was found for in this region.
    """

    region: str
    queries_per_month: float
    lines: tuple[Line, ...]
    as_of: str
    doubtful: tuple[str, ...] = ()

    @property
    def per_month(self) -> float:
        return self.at(self.queries_per_month)

    @property
    def per_query(self) -> float:
        """What one more query adds, the free tier left aside."""
        return sum(line.per_query * line.price for line in self.lines)

    @property
    def per_1000_queries(self) -> float:
        """What 1,000 more queries add, the free tier left aside."""
        return self.per_query * 1_000

    @property
    def per_million_queries(self) -> float:
        """What a million more queries add, the free tier left aside."""
        return self.per_query * 1_000_000

    @property
    def standing(self) -> float:
        """What a month without any query costs."""
        return self.at(0)

    def at(self, queries: float) -> float:
        """The month's bill with another number of queries, all else the same."""
        return sum(line.dollars(queries) for line in self.lines)

    def to_dict(self) -> dict[str, Any]:
        """The estimate as JSON takes it, for ``--json`` and for benchmarks."""
        return {
            "region": self.region,
            "queries_per_month": self.queries_per_month,
            "usd_per_1000_queries": self.per_1000_queries,
            "usd_per_million_queries": self.per_million_queries,
            "usd_standing_per_month": self.standing,
            "usd_per_month": self.per_month,
            "prices_as_of": self.as_of,
            "prices_without_source": list(self.doubtful),
            "lines": [
                {"name": line.name, "usd_per_month": line.dollars(self.queries_per_month)}
                for line in self.lines
            ],
        }


def estimate(
    prices: Prices,
    *,
    memory_mb: int,
    seconds_warm: float,
    seconds_cold: float,
    cold_share: float = 0.01,
    queries_per_month: float = 100_000,
    architecture: Architecture = "x86_64",
    api: Literal["url", "http"] = "url",
    package: Literal["zip", "image"] = "zip",
    snapstart: bool = False,
    images: int = 0,
    images_bytes: int = 0,
    gallery_bytes: int = 0,
    package_bytes: int = 0,
    answer_bytes: int = 16_000,
    pictures_shown: int = 10,
    log_bytes: int = 700,
    alarms: int = 3,
    page_bytes: int = 60_000,
    free_tier: bool = False,
) -> Estimate:
    """The bill of a gallery on Lambda: function, bucket, logs, alarms and page.

    Args:
        prices: of the region, see :func:`load_prices`.
        memory_mb: the function's memory; time is billed by it.
        seconds_warm: billed time of a query that finds the function running.
        seconds_cold: billed time of a query that has to start it, the start included (AWS bills
            the start too since August 2025). With SnapStart: restored, not started.
        cold_share: share of queries that have to start it, 0..1.
        queries_per_month: how many there are.
        architecture: the function's processor.
        api: in front of the function, its own URL (free) or an HTTP API.
        package: how the code is kept: a zip in the bucket, or an image in ECR.
        snapstart: the started function is kept as a snapshot, which is paid for by the second.
        images, images_bytes: pictures in the bucket, and their size together. Uploading them is
            no part of a month; see :func:`upload`.
        gallery_bytes, package_bytes: vectors and catalogue in the bucket; the function's package.
        answer_bytes: of one JSON answer. Ten signed links are most of it: each carries the
            function's session token; a public gallery's answer has about 2,500.
        pictures_shown: pictures of the bucket that a visitor's browser fetches for an answer.
        log_bytes: written to the log for a query.
        alarms: how many stand.
        page_bytes: of the page, served once for every ten queries.
        free_tier: take off what AWS gives every account each month, for good.

    Returns:
        The bill by lines; its amounts are US dollars without tax.

    Raises:
        ValueError: a share that is none, or a negative amount.
    """
    if not 0 <= cold_share <= 1:
        raise ValueError(f"cold_share is a share from 0 to 1, not {cold_share}")
    if min(memory_mb, seconds_warm, seconds_cold, queries_per_month, images, images_bytes) < 0:
        raise ValueError("amounts can't be negative")
    memory = memory_mb / _MB_IN_GB
    seconds = seconds_warm * (1 - cold_share) + seconds_cold * cold_share
    picture = images_bytes / images if images else 0
    shown = pictures_shown if images else 0
    stored = images_bytes + gallery_bytes + (package_bytes if package == "zip" else 0)
    # A visitor is taken to ask ten times, so a tenth of the page is served with a query.
    page = page_bytes / 10 / GB
    out = (answer_bytes + shown * picture) / GB
    lines = [
        ("lambda.requests", "Lambda: calls", 1.0, 0.0),
        (f"lambda.seconds.{architecture}", "Lambda: time", memory * seconds, 0.0),
    ]
    if snapstart:
        lines += [
            ("lambda.snapstart.cache", "Lambda: SnapStart, kept", 0.0, memory * HOURS * 3600),
            ("lambda.snapstart.restore", "Lambda: SnapStart, restored", memory * cold_share, 0.0),
        ]
    if api == "http":
        lines.append(("api.http", "HTTP API: calls", 1.0, 0.0))
    if package == "image":
        lines.append(("ecr.storage", "ECR: image", 0.0, package_bytes / GB))
    lines += [
        ("s3.storage", "S3: stored", 0.0, stored / GB),
        ("s3.get", "S3: pictures fetched", float(shown), 0.0),
        ("transfer.out", "Data sent out", out, 0.0),
        ("logs.ingest", "Logs: written", log_bytes / GB, 0.0),
        ("alarms", "Alarms", 0.0, float(alarms)),
        ("amplify.served", "Amplify: page served", page, 0.0),
        ("amplify.stored", "Amplify: page stored", 0.0, page_bytes / GB),
    ]
    return _bill(prices, queries_per_month, lines, free_tier)


def server(
    prices: Prices,
    machine: str,
    *,
    queries_per_month: float = 100_000,
    images: int = 0,
    images_bytes: int = 0,
    answer_bytes: int = 2_000,
    pictures_shown: int = 10,
) -> Estimate:
    """The bill of ``vizinho serve`` on a server that is always on.

    Args:
        prices: of the region.
        machine: a name among :func:`machines`.
        queries_per_month: how many there are; they cost nothing but what is sent out.
        images, images_bytes: pictures on its disk, and their size together.
        answer_bytes, pictures_shown: as :func:`estimate` takes them.

    Raises:
        VizinhoError: no such machine, or the region has none.
    """
    known = machines(prices)
    if machine not in known:
        raise VizinhoError(
            f"{machine} is not priced in {prices.region}", f"There are {', '.join(known)}."
        )
    made = known[machine]
    hourly = {name: HOURS if prices[name].unit == "hour" else 1.0 for name in made["parts"]}
    lines = [
        (name, label_of(name), 0.0, amount * hourly[name]) for name, amount in made["parts"].items()
    ]
    picture = images_bytes / images if images else 0
    out = (answer_bytes + (pictures_shown if images else 0) * picture) / GB
    lines.append(("transfer.out", "Data sent out", out, 0.0))
    bill = _bill(prices, queries_per_month, lines, free_tier=False)
    *parts, sent = bill.lines
    return replace(bill, lines=(*parts, replace(sent, free=float(made["free_transfer_gb"]))))


def upload(prices: Prices, images: int) -> float:
    """US dollars for putting so many pictures into the bucket, once."""
    return images * prices["s3.put"].each


def _bill(
    prices: Prices,
    queries: float,
    lines: Sequence[tuple[str, str, float, float]],
    free_tier: bool,
) -> Estimate:
    used = [prices[name] for name, *_ in lines]
    return Estimate(
        prices.region,
        queries,
        tuple(
            Line(label, price.unit, per_query, fixed, price.each, price.free if free_tier else 0.0)
            for price, (_, label, per_query, fixed) in zip(used, lines, strict=True)
        ),
        min(price.as_of for price in used),
        tuple(name for name, *_ in lines if prices[name].confidence in ("assumed", "memory")),
    )
