"""The bill of a deployment against numbers worked out by hand, and the prices it is made of."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from vizinho.aws import costs
from vizinho.aws.costs import GB, estimate, load_prices, server, upload
from vizinho.errors import VizinhoError

BARE: dict[str, Any] = {
    "memory_mb": 1024,
    "seconds_warm": 0.1,
    "seconds_cold": 1.1,
    "cold_share": 0.1,
    "queries_per_month": 1_000_000,
    "answer_bytes": 0,
    "log_bytes": 0,
    "alarms": 0,
    "page_bytes": 0,
}


def dollars(bill: costs.Estimate) -> dict[str, float]:
    return {line.name: line.dollars(bill.queries_per_month) for line in bill.lines}


def test_a_million_queries_by_hand() -> None:
    # 0.9 x 0.1 s + 0.1 x 1.1 s = 0.2 s at 1 GB: 200,000 GB-seconds at 16.6667 USD a million.
    bill = estimate(load_prices(), **BARE)
    assert dollars(bill)["Lambda: time"] == pytest.approx(3.33334)
    assert dollars(bill)["Lambda: calls"] == pytest.approx(0.20)
    assert bill.per_month == pytest.approx(3.53334)
    assert bill.per_million_queries == pytest.approx(3.53334)
    assert bill.per_1000_queries == pytest.approx(0.00353334)
    assert bill.standing == 0
    assert bill.at(500_000) == pytest.approx(1.76667)


def test_arm_costs_a_fifth_less_time_and_half_the_memory_half() -> None:
    arm = estimate(load_prices(), **BARE | {"architecture": "arm64", "memory_mb": 512})
    assert dollars(arm)["Lambda: time"] == pytest.approx(0.1 * 13.3334)


def test_a_snapshot_is_paid_for_by_the_second_and_by_the_start() -> None:
    bill = estimate(load_prices(), **BARE | {"snapstart": True})
    # 730 h x 3,600 s = 2,628,000 s at 1 GB and 1.5046 USD a million; 100,000 starts of 1 GB.
    assert bill.standing == pytest.approx(2.628 * 1.5046)
    assert dollars(bill)["Lambda: SnapStart, restored"] == pytest.approx(100_000 * 0.0001397998)


def test_pictures_are_stored_fetched_and_sent() -> None:
    bill = estimate(
        load_prices(),
        **BARE
        | {
            "images": 10_000,
            "images_bytes": int(10 * GB),
            "gallery_bytes": int(2 * GB),
            "package_bytes": int(1 * GB),
        },
    )
    found = dollars(bill)
    assert found["S3: stored"] == pytest.approx(13 * 0.023)
    assert found["S3: pictures fetched"] == pytest.approx(10_000_000 / 10_000 * 0.004)
    # Ten pictures of a thousandth GB each for every query: 10,000 GB in a month.
    assert found["Data sent out"] == pytest.approx(10_000 * 0.09)
    assert bill.standing == pytest.approx(13 * 0.023)


def test_an_image_lies_in_ecr_and_an_http_api_costs_by_the_call() -> None:
    given = BARE | {"package": "image", "api": "http", "package_bytes": int(GB // 2), "alarms": 3}
    found = dollars(estimate(load_prices(), **given))
    assert found["ECR: image"] == pytest.approx(0.05)
    assert found["S3: stored"] == 0
    assert found["HTTP API: calls"] == pytest.approx(1.00)
    assert found["Alarms"] == pytest.approx(0.30)
    plain = dollars(estimate(load_prices(), **BARE))
    assert not {"HTTP API: calls", "ECR: image", "Lambda: SnapStart, kept"} & set(plain)


def test_the_free_tier_is_taken_off_only_where_asked_for() -> None:
    free = estimate(load_prices(), **BARE | {"free_tier": True, "queries_per_month": 2_500_000})
    # 1.5 million calls and 100,000 GB-seconds are left to pay.
    assert free.per_month == pytest.approx(1.5 * 0.20 + 0.1 * 16.6667)
    assert free.per_million_queries == pytest.approx(3.53334)
    small = estimate(load_prices(), **BARE | {"free_tier": True, "queries_per_month": 1_000})
    assert small.per_month == 0


def test_the_json_says_all_of_it() -> None:
    told = json.loads(json.dumps(estimate(load_prices("sa-east-1"), **BARE).to_dict()))
    assert told["usd_per_month"] == pytest.approx(sum(x["usd_per_month"] for x in told["lines"]))
    assert told["region"] == "sa-east-1"
    assert "lambda.seconds.x86_64" in told["prices_without_source"]
    assert re.fullmatch(r"\d{4}(-\d\d){0,2}", told["prices_as_of"])


def test_a_server_that_is_always_on_by_hand() -> None:
    prices = load_prices()
    small = server(prices, "t4g.small", queries_per_month=0)
    assert small.per_month == pytest.approx(730 * 0.0168 + 730 * 0.005 + 8 * 0.08)
    busy = server(
        prices,
        "lightsail-2gb",
        queries_per_month=1_000_000,
        images=1,
        images_bytes=int(GB / 1_000),
        answer_bytes=0,
    )
    # 10,000 GB go out, and 3,072 of them are in the bundle.
    assert busy.per_month == pytest.approx(12 + (10_000 - 3_072) * 0.09, rel=1e-5)
    with pytest.raises(VizinhoError, match="lightsail-2gb is not priced in sa-east-1"):
        server(load_prices("sa-east-1"), "lightsail-2gb")


def test_uploading_by_hand() -> None:
    assert upload(load_prices(), 10_000) == pytest.approx(0.05)


@pytest.mark.parametrize(
    "wrong", [{"cold_share": 1.1}, {"cold_share": -0.1}, {"memory_mb": -1}, {"seconds_warm": -1}]
)
def test_nonsense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"share|negative"):
        estimate(load_prices(), **BARE | wrong)


def test_a_region_without_prices_names_those_with() -> None:
    with pytest.raises(VizinhoError, match="eu-north-1") as caught:
        load_prices("eu-north-1")
    assert "us-east-1" in caught.value.hint


@pytest.mark.parametrize("region", costs.regions())
def test_every_price_says_where_it_is_from(region: str) -> None:
    prices = load_prices(region)
    # Lightsail isn't in São Paulo; all else has a price in each region.
    assert set(load_prices().by_name) - set(prices.by_name) <= {"lightsail.2gb"}
    for name, price in prices.by_name.items():
        assert price.source.startswith("https://"), name
        assert ".amazon" in price.source, name
        assert re.fullmatch(r"20\d\d(-\d\d){0,2}", price.as_of), name
        assert price.confidence in {"published", "secondary", "assumed", "memory"}, name
        assert price.each > 0 or name == "api.url", name
        assert price.unit, name


def test_prices_without_a_source_are_told_by_the_bill() -> None:
    prices = load_prices()
    assert estimate(prices, **BARE).doubtful == ()
    guessed = replace(prices["alarms"], confidence="memory", as_of="2020")
    changed = replace(prices, by_name=prices.by_name | {"alarms": guessed})
    bill = estimate(changed, **BARE)
    assert (bill.doubtful, bill.as_of) == (("alarms",), "2020")
