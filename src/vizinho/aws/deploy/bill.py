"""What a deployment will cost, as far as it can be told before anybody has asked it much."""

from __future__ import annotations

from typing import Any

from vizinho.aws.deploy.options import DeployOptions
from vizinho.errors import VizinhoError

QUERIES = 10_000
"""Queries a month that the closing estimate supposes."""
_WARM, _COLD = 0.05, 1.5


def estimate_for(
    options: DeployOptions,
    region: str,
    *,
    images: int,
    images_bytes: int,
    gallery_bytes: int,
    package_bytes: int,
    seconds: float | None = None,
) -> dict[str, Any] | None:
    """`vizinho.aws.costs.estimate` for a deployment; None where the region's prices are not known.

    ``seconds``: what the first answer took, which counts as one that had to start the function.
    """
    from vizinho.aws.costs import estimate
    from vizinho.aws.prices import load_prices

    try:
        prices = load_prices(region)
    except VizinhoError:
        return None
    return estimate(
        prices,
        memory_mb=options.memory,
        seconds_warm=_WARM,
        seconds_cold=max(seconds or _COLD, _WARM),
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
