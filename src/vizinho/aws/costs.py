"""What a deployment costs, from AWS's published prices and one's own measured times.

The prices are data (``prices.json``, each with its source and its date); this module only
multiplies. A bill has two parts: what every query adds, and what stands there all month whether
anybody asks or not. They are kept apart, because the second is most of the bill of a small
gallery. Taxes and the shares of discount plans are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from vizinho.errors import VizinhoError

HOURS = 730.0
"""Hours of a month as AWS counts them."""
GB = 1024.0**3
_MB_IN_GB = 1024.0

Architecture = Literal["x86_64", "arm64"]


@dataclass(frozen=True)
class Price:
    """One published price.

    Attributes:
        dollars: US dollars for ``per`` units, without tax.
        per: how many units that buys.
        unit: what is counted: ``request``, ``GB-second``, ``GB-month``, ``hour``, ...
        free: units a month that AWS gives to every account for good (the "always free" tier).
        source: address of the page that says so.
        as_of: date of what was read (``2026-09-24``, or ``2025-10`` where only a month is known).
        confidence: ``published`` (a copy of AWS's page or price list), ``secondary`` (somebody
            else quotes it) or ``memory`` (no source was found; check before relying on it).
    """

    dollars: float
    per: float
    unit: str
    free: float
    source: str
    as_of: str
    confidence: str

    @property
    def each(self) -> float:
        """US dollars for one unit."""
        return self.dollars / self.per


@dataclass(frozen=True)
class Prices:
    """All prices of one region: by name, as ``lambda.requests``."""

    region: str
    name: str
    by_name: dict[str, Price]

    def __getitem__(self, name: str) -> Price:
        return self.by_name[name]


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
        doubtful: names of prices that could only be taken from memory.
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
            "prices_from_memory": list(self.doubtful),
            "lines": [
                {"name": line.name, "usd_per_month": line.dollars(self.queries_per_month)}
                for line in self.lines
            ],
        }


@cache
def _data() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files("vizinho.aws").joinpath("prices.json").read_text())
    return found


def regions() -> list[str]:
    """The regions whose prices are known."""
    return sorted(_data()["regions"])


def load_prices(region: str = "us-east-1") -> Prices:
    """The prices of a region.

    Raises:
        VizinhoError: no prices of that region are kept.
    """
    data = _data()
    if region not in data["regions"]:
        known = ", ".join(regions())
        raise VizinhoError(f"no prices are kept for {region}", f"There are prices for {known}.")
    place = data["regions"][region]
    return Prices(
        region,
        place["name"],
        {
            name: Price(
                dollars=float(row["dollars"]),
                per=float(row["per"]),
                unit=data["units"][name],
                free=float(data["free_each_month"].get(name, 0)),
                source=data["sources"][row["source"]]["url"],
                as_of=data["sources"][row["source"]]["as_of"],
                confidence=data["sources"][row["source"]]["confidence"],
            )
            for name, row in place["prices"].items()
        },
    )


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
    answer_bytes: int = 4_000,
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
        answer_bytes: of one JSON answer.
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


def server(prices: Prices, machine: str, *, hours: float = HOURS, **traffic: float) -> Estimate:
    """The bill of a server that is always on.

    Args:
        prices: of the region.
        machine: a name under ``machines`` in prices.json, see :func:`machines`.
        hours: of the month in which it is on.
        traffic: ``queries_per_month``, ``answer_bytes``, ``pictures_shown``, ``picture_bytes``:
            what goes out through it; left out, nothing is sent.

    Raises:
        KeyError: no such machine.
    """
    parts = _data()["machines"][machine]["parts"]
    lines = [
        (name, _data()["labels"][name], 0.0, amount * (hours if prices[name].unit == "hour" else 1))
        for name, amount in parts.items()
    ]
    sent = traffic.get("answer_bytes", 0) + traffic.get("pictures_shown", 0) * traffic.get(
        "picture_bytes", 0
    )
    lines.append(("transfer.out", "Data sent out", sent / GB, 0.0))
    return _bill(prices, traffic.get("queries_per_month", 0), lines, free_tier=False)


def machines() -> dict[str, dict[str, Any]]:
    """The servers that are priced: ``title``, ``vcpus``, ``memory_gb`` and ``parts`` of each."""
    found: dict[str, dict[str, Any]] = _data()["machines"]
    return found


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
        tuple(name for name, *_ in lines if prices[name].confidence == "memory"),
    )
