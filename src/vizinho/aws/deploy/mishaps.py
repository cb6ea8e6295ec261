"""What boto3 raises, as a sentence and the way out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vizinho.errors import DeployError

if TYPE_CHECKING:
    from vizinho.aws.deploy.account import Account

_LOG_IN = "Log in again: `aws sso login`, or new keys with `aws configure`."
DENIED = {
    "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "Forbidden",
    "UnauthorizedException", "AllAccessDisabled", "AuthorizationError", "403",
}  # fmt: skip
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_UNKNOWN = {
    "InvalidClientTokenId", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure",
    "UnrecognizedClientException", "InvalidSignatureException", "MissingAuthenticationToken",
    "IncompleteSignature", "InvalidToken",
}  # fmt: skip
_FULL = {
    "LimitExceeded", "LimitExceededException", "ServiceQuotaExceededException", "TooManyBuckets",
    "CodeStorageExceededException", "QuotaExceeded", "AccountLimitExceeded",
}  # fmt: skip
_SLOW = {
    "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded",
    "SlowDown", "ServiceUnavailable", "InternalError", "InternalFailure", "503", "500",
}  # fmt: skip


@contextmanager
def told(account: Account | None = None) -> Iterator[None]:
    """Turns botocore's errors into DeployError; ``account`` helps to name what was refused."""
    try:
        yield
    except DeployError:
        raise
    except Exception as error:
        translated = translate(error, account)
        if translated is None:
            raise
        raise translated from error


def code_of(error: BaseException) -> str:
    """AWS's code of a ClientError, such as ``NoSuchBucket``; empty for other errors."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def translate(error: Exception, account: Account | None = None) -> DeployError | None:
    """The DeployError for one of botocore's errors; None for errors of others."""
    from botocore import exceptions as botocore
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError

    if isinstance(error, ClientError):
        return _refused(error, account)
    if isinstance(error, botocore.NoCredentialsError):
        return DeployError(
            "No AWS credentials were found.",
            "Run `aws configure` or `aws sso login`, or set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY.",
        )
    if isinstance(error, botocore.PartialCredentialsError):
        return DeployError(f"The AWS credentials are incomplete: {error}.", "See `aws configure`.")
    if isinstance(
        error, (botocore.UnauthorizedSSOTokenError, botocore.SSOError, botocore.TokenRetrievalError)
    ):
        return DeployError(f"The AWS login has run out: {error}", _LOG_IN)
    if isinstance(error, botocore.CredentialRetrievalError):
        return DeployError(f"AWS credentials could not be fetched: {error}", _LOG_IN)
    if isinstance(error, botocore.ProfileNotFound):
        return DeployError(f"{error}.", "`aws configure list-profiles` shows those there are.")
    if isinstance(error, botocore.NoRegionError):
        return DeployError("No AWS region is set.", "Name one with --region.")
    if isinstance(error, botocore.InvalidRegionError):
        return DeployError(f"{error}", "Name a region with --region, such as eu-central-1.")
    if isinstance(error, (botocore.HTTPClientError, botocore.ConnectionError)):
        return DeployError(
            f"AWS can't be reached: {error}",
            "Check the network, a proxy, the region's spelling and AWS_ENDPOINT_URL. Run it again "
            "and it goes on where it stopped.",
        )
    if isinstance(error, ResponseParserError):
        return DeployError(
            "What answers in the place of AWS is not AWS: its answer can't be read.",
            "Check the network, a proxy and AWS_ENDPOINT_URL, then run it again.",
        )
    if isinstance(error, BotoCoreError):
        return DeployError(f"AWS could not be asked: {error}")
    return None


def _refused(error: Any, account: Account | None) -> DeployError:
    code = code_of(error)
    message = str(error.response.get("Error", {}).get("Message", "")).strip() or code
    action = _action(error, message, account)
    if code in _EXPIRED:
        return DeployError("The AWS credentials have expired.", _LOG_IN)
    if code in _UNKNOWN:
        return DeployError(
            f"AWS does not accept the credentials ({code}).",
            "Check them with `aws sts get-caller-identity`; a wrong clock does this too.",
        )
    if code == "RequestTimeTooSkewed":
        return DeployError("This machine's clock is wrong, so AWS refuses.", "Set it right.")
    if code in DENIED:
        return DeployError(
            f"AWS denies {action}: {message}",
            f"Ask for a policy that allows {action}, then run it again: it goes on from here.",
        )
    if code == "OptInRequired" or code == "SubscriptionRequiredException":
        return DeployError(
            f"The account can't use this here: {message}",
            "Enable the region or the service in the AWS console, or take another --region.",
        )
    if code in _FULL or "quota" in message.lower():
        return DeployError(
            f"A limit of the AWS account is reached at {action}: {message}",
            "Remove what is not needed, or ask for more under Service Quotas in the console.",
        )
    if code in _SLOW:
        return DeployError(
            f"AWS kept turning {action} away: {message}",
            "Wait a little and run it again: it goes on where it stopped.",
        )
    return DeployError(f"AWS refuses {action} ({code}): {message}")


def _action(error: Any, message: str, account: Account | None) -> str:
    """The IAM action, such as ``s3:PutObject``: as AWS says it, else by the operation's client."""
    said = re.search(r"perform:? ([\w-]+:\w+)", message)
    if said:
        return said[1]
    operation = str(error.operation_name)
    for service, client in (account.clients if account else {}).items():
        if operation in client.meta.service_model.operation_names:
            return f"{service}:{_PERMISSIONS.get(operation, operation)}"
    return operation


# Where the permission is not called as the operation is.
_PERMISSIONS = {
    "HeadBucket": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketCors": "PutBucketCORS",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
}
