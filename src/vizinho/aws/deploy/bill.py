"""What a deployment will cost, as far as it can be told before anybody has asked it much."""

from __future__ import annotations

from typing import Any

from vizinho.aws.deploy.options import DeployOptions

QUERIES = 10_000
"""Queries a month that the closing estimate supposes."""
_KNOWN = "us-east-1"
_WARM, _COLD, _LEAST = 0.05, 1.5, 0.001


def estimate_for(
    options: DeployOptions,
    region: str,
    *,
    images: int,
    images_bytes: int,
    gallery_bytes: int,
    package_bytes: int,
    seconds: float | None = None,
) -> dict[str, Any]:
    """`vizinho.aws.costs.estimate` for a deployment, as a dict; of us-east-1 where the region's own
    prices are not kept, which the dict's ``region`` tells.

    ``seconds``: what the function worked for its first answer; a guess while it does not stand.
    """
    from vizinho.aws.costs import estimate
    from vizinho.aws.prices import load_prices, regions

    return estimate(
        load_prices(region if region in regions() else _KNOWN),
        memory_mb=options.memory,
        seconds_warm=_WARM if seconds is None else max(seconds, _LEAST),
        seconds_cold=_COLD,
        queries_per_month=QUERIES,
        architecture=options.architecture,
        api=options.api,
        package=options.package,
        snapstart=options.snapstart,
        images=images,
        images_bytes=images_bytes,
        gallery_bytes=gallery_bytes,
        package_bytes=package_bytes,
    ).to_dict()
