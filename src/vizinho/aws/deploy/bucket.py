"""The bucket: made, closed, opened as far as asked for, and never somebody else's."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any, Literal

from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.mishaps import code_of
from vizinho.aws.deploy.options import TAG, Names
from vizinho.errors import DeployError

IMAGES, GALLERIES, PACKAGES, TEMPLATES = "images/", "galleries/", "packages/", "templates/"
URLS = "urls.csv"
_PAUSES = (1.0, 2.0, 4.0)
Standing = Literal["absent", "ours", "untagged"]


def find(account: Account, names: Names) -> Standing:
    """Whether the bucket stands. ``untagged``: ours by its name and account, but without our tag,
    as a deployment leaves it that was killed right after making it.

    Raises DeployError when it belongs to another account, stands in another region, or carries the
    tag of something else.
    """
    s3, bucket = account.client("s3"), names.bucket
    try:
        answer = s3.head_bucket(Bucket=bucket)
    except s3.exceptions.ClientError as error:
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if status == 404:
            return "absent"
        region = headers.get("x-amz-bucket-region")
        if status in (301, 400) and region and region != names.region:
            raise elsewhere(bucket, region) from error
        if status == 403:
            raise _not_ours(bucket) from error
        raise
    region = answer.get("BucketRegion") or names.region
    if region != names.region:
        raise elsewhere(bucket, region)
    tagged = tags(s3, bucket).get(TAG)
    if tagged not in (None, names.name):
        raise DeployError(
            f"The bucket {bucket} belongs to the deployment {tagged!r}.", "Take another --name."
        )
    return "ours" if tagged else "untagged"


def tags(s3: Any, bucket: str) -> dict[str, str]:
    """The bucket's tags; none where none were ever set."""
    try:
        found = s3.get_bucket_tagging(Bucket=bucket)["TagSet"]
    except s3.exceptions.ClientError as error:
        if code_of(error) == "NoSuchTagSet":
            return {}
        raise
    return {tag["Key"]: tag["Value"] for tag in found}


def is_empty(s3: Any, bucket: str) -> bool:
    """Whether nothing at all is in it."""
    return not s3.list_objects_v2(Bucket=bucket, MaxKeys=1).get("Contents")


def make(account: Account, names: Names) -> bool:
    """See that the bucket stands and is tagged; returns whether it was made. Raises DeployError."""
    s3, bucket = account.client("s3"), names.bucket
    standing = find(account, names)
    if standing == "untagged" and not is_empty(s3, bucket):
        raise DeployError(
            f"The bucket {bucket} exists and holds something, but was not made by Vizinho.",
            "Take another --name, or empty that bucket.",
        )
    if standing == "absent":
        _create(s3, names)
        s3.get_waiter("bucket_exists").wait(Bucket=bucket)
    if standing != "ours":
        tag_set = [{"Key": key, "Value": value} for key, value in names.tags.items()]
        s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tag_set})
    return standing == "absent"


def _create(s3: Any, names: Names) -> None:
    # The one region that is named by not naming it.
    where = {} if names.region == "us-east-1" else {"LocationConstraint": names.region}
    more: dict[str, Any] = {"CreateBucketConfiguration": where} if where else {}
    for pause in (*_PAUSES, None):
        try:
            s3.create_bucket(Bucket=names.bucket, ObjectOwnership="BucketOwnerEnforced", **more)
            return
        except s3.exceptions.ClientError as error:
            code = code_of(error)
            if code == "BucketAlreadyOwnedByYou":
                return
            if code == "BucketAlreadyExists":
                raise _not_ours(names.bucket) from error
            if code == "InvalidBucketName":
                raise DeployError(
                    f"AWS does not take {names.bucket} as a bucket's name.", "Take another --name."
                ) from error
            # One of that name was removed just now, or is being made by another run.
            if code != "OperationAborted" or pause is None:
                raise
            time.sleep(pause)


def configure(account: Account, names: Names, *, public: bool) -> None:
    """Encryption, ownership, CORS, tidying, and who may read. The same each time it is called.

    Private: everything public is blocked. Public: a policy lets anyone fetch ``images/*``, and
    nothing else: no listing, no gallery, no package.
    """
    s3, bucket = account.client("s3"), names.bucket
    s3.put_bucket_ownership_controls(
        Bucket=bucket,
        OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
    )
    s3.put_bucket_encryption(
        Bucket=bucket,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
        },
    )
    # A page may show a picture without this; reading its bytes, as to crop it, needs it.
    rule = {"AllowedMethods": ["GET", "HEAD"], "AllowedOrigins": ["*"], "AllowedHeaders": ["*"]}
    s3.put_bucket_cors(
        Bucket=bucket, CORSConfiguration={"CORSRules": [{**rule, "MaxAgeSeconds": 3600}]}
    )
    s3.put_bucket_lifecycle_configuration(
        Bucket=bucket,
        LifecycleConfiguration={
            "Rules": [
                {
                    "ID": "half-made uploads",
                    "Status": "Enabled",
                    "Filter": {"Prefix": ""},
                    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
                }
            ]
        },
    )
    if not public:
        s3.delete_bucket_policy(Bucket=bucket)
    s3.put_public_access_block(
        Bucket=bucket,
        PublicAccessBlockConfiguration={
            "BlockPublicAcls": True,
            "IgnorePublicAcls": True,
            "BlockPublicPolicy": not public,
            "RestrictPublicBuckets": not public,
        },
    )
    if public:
        _open(s3, names)


def is_public(account: Account, names: Names) -> bool:
    """Whether the bucket has our policy for everybody."""
    s3 = account.client("s3")
    try:
        policy = json.loads(s3.get_bucket_policy(Bucket=names.bucket)["Policy"])
    except s3.exceptions.ClientError as error:
        if code_of(error) in ("NoSuchBucketPolicy", "NoSuchBucket"):
            return False
        raise
    return any(part.get("Principal") == "*" for part in policy.get("Statement", ()))


def remove(account: Account, names: Names) -> None:
    """Remove the bucket, which must be empty; it may be gone already."""
    s3 = account.client("s3")
    with contextlib.suppress(s3.exceptions.NoSuchBucket):
        s3.delete_bucket(Bucket=names.bucket)


def _open(s3: Any, names: Names) -> None:
    partition = "aws-cn" if names.region.startswith("cn-") else "aws"
    if names.region.startswith("us-gov-"):
        partition = "aws-us-gov"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AnyoneMayFetchPictures",
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:{partition}:s3:::{names.bucket}/{IMAGES}*",
            }
        ],
    }
    for pause in (*_PAUSES, None):
        try:
            s3.put_bucket_policy(Bucket=names.bucket, Policy=json.dumps(policy))
            return
        except s3.exceptions.ClientError as error:
            if code_of(error) != "AccessDenied":
                raise
            # The block that was just lifted may stand a few seconds longer.
            if pause is None:
                raise DeployError(
                    "AWS denies s3:PutBucketPolicy: the pictures can't be made public.",
                    "Either the permission is missing, or the whole account blocks public access "
                    "(S3 console, Block Public Access settings for this account). Without "
                    "--public no policy is needed.",
                ) from error
            time.sleep(pause)


def elsewhere(bucket: str, region: str) -> DeployError:
    """The error for a bucket of this name in another region."""
    return DeployError(
        f"The bucket {bucket} stands in {region}.",
        f"Say --region {region}, or take another --name.",
    )


def _not_ours(bucket: str) -> DeployError:
    return DeployError(
        f"The bucket name {bucket} is taken by another AWS account, or yours may not look at it.",
        "Take another --name; if the bucket is yours, ask for s3:ListBucket on it.",
    )
