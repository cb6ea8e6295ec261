"""A bucket for tests, in moto's S3 behind HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from moto_account import moto_account
from toys import encode, noise


@contextmanager
def bucket(
    monkeypatch: pytest.MonkeyPatch, name: str = "photos", region: str = "eu-west-1"
) -> Iterator[Any]:
    """An empty bucket; yields boto3's client for it. The environment points to it meanwhile."""
    import boto3

    with moto_account(monkeypatch, region) as endpoint:
        client = boto3.client("s3", region_name=region, endpoint_url=endpoint)
        place = {"LocationConstraint": region}
        client.create_bucket(Bucket=name, CreateBucketConfiguration=place)
        yield client


def fill(client: Any, keys: list[str], *, name: str = "photos", seed: int = 0) -> dict[str, bytes]:
    """Put one picture like no other under each key; returns their bytes."""
    made = {key: encode(noise(seed * 1000 + i)) for i, key in enumerate(keys)}
    for key, data in made.items():
        client.put_object(Bucket=name, Key=key, Body=data)
    return made
