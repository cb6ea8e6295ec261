"""What was deployed last, kept in the bucket: for `status`, and to leave what has not changed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.mishaps import code_of

KEY = "deployment.json"


@dataclass
class Record:
    """The last deployment. ``content``: digest over the gallery's rows as they are at home, to tell
    whether it has changed since; ``page`` and ``app``: digest of the page, and where it was put."""

    deployed: str = ""
    gallery: str = ""
    content: str = ""
    package: str = ""
    pictures: int = 0
    page: str = ""
    app: str = ""
    url: str = ""
    page_url: str = ""
    version: str = ""


def read(account: Account, bucket: str) -> Record:
    """The bucket's record; an empty one if there is none, or one that can't be read."""
    s3 = account.client("s3")
    try:
        data = s3.get_object(Bucket=bucket, Key=KEY)["Body"].read()
    except s3.exceptions.ClientError as error:
        if code_of(error) in ("NoSuchKey", "NoSuchBucket", "404"):
            return Record()
        raise
    try:
        found: Any = json.loads(data)
        known = {field.name for field in fields(Record)}
        return Record(**{name: value for name, value in found.items() if name in known})
    except (ValueError, AttributeError, TypeError):
        return Record()


def write(account: Account, bucket: str, record: Record) -> None:
    """Keep ``record`` in the bucket."""
    account.client("s3").put_object(
        Bucket=bucket,
        Key=KEY,
        Body=json.dumps(asdict(record), indent=2).encode(),
        ContentType="application/json",
    )
