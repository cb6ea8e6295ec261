"""AWS's published prices by region: ``prices.json``, each with its source and its date."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from vizinho.errors import VizinhoError


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
            else quotes it), ``assumed`` (another region's) or ``memory`` (no source was found).
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


def machines(prices: Prices) -> dict[str, dict[str, Any]]:
    """The servers that a region prices: ``title``, ``vcpus``, ``memory_gb`` and ``parts``."""
    return {
        name: made
        for name, made in _data()["machines"].items()
        if set(made["parts"]) <= set(prices.by_name)
    }


def label_of(name: str) -> str:
    """A price's name in words, for a line of a server's bill."""
    return str(_data()["labels"][name])
