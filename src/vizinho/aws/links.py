"""From where a picture lies in S3 to the https address that a browser can open.

Signed here with SigV4 by hmac and hashlib. botocore's signer (``botocore.auth``, no client) is 193
modules, 126 ms at best of five imports: a third of a function's cold start, for 25 lines. The tests
hold our links against botocore's, byte for byte.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from vizinho.errors import DeployError
from vizinho.settings import FunctionKeys, FunctionSettings, function_keys

# A link is signed for the start of its quarter of an hour (or of its own length, if shorter), so
# that a browser sees the same address, and its cache, until the next one begins.
_STEP_SECONDS = 900
# New keys are asked for while the old ones still sign links that live a little.
_SPARE_SECONDS = 300


@dataclass(frozen=True)
class _Keys:
    access: str
    secret: str
    token: str | None
    until: float


class Links:
    """Addresses of pictures, plain or signed. Safe to use from several threads.

    ``now`` gives Unix seconds; ``keys`` what the environment has.
    """

    def __init__(
        self,
        settings: FunctionSettings,
        *,
        now: Callable[[], float] = time.time,
        keys: Callable[[], FunctionKeys] = function_keys,
    ) -> None:
        self._settings = settings
        self._now = now
        self._given = keys
        self._lock = threading.Lock()
        self._keys: _Keys | None = None

    def of(self, url: str) -> str:
        """The https address of ``s3://BUCKET/KEY``; any other URL comes back as it is.

        A signed one is good for at least three quarters of ``link_seconds``, and no longer than
        the keys it was signed with. Raises DeployError when the function has no keys.
        """
        if not url.startswith("s3://"):
            return url
        bucket, _, key = url.removeprefix("s3://").partition("/")
        origin, path = _place(self._settings, bucket, key)
        if self._settings.links == "public":
            return origin + path
        seconds = self._settings.link_seconds
        step = max(1, min(_STEP_SECONDS, seconds // 4))
        at = int(self._now()) // step * step
        return presigned(origin, path, self._current(), self._settings.region, at, seconds)

    def _current(self) -> _Keys:
        with self._lock:
            if self._keys is None or self._keys.until - _SPARE_SECONDS < self._now():
                self._keys = _fetched(self._given())
            return self._keys


def presigned(origin: str, path: str, keys: _Keys, region: str, at: int, seconds: int) -> str:
    """A GET of ``origin + path``, signed for ``seconds`` from Unix time ``at`` on.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    """
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    fields = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"{keys.access}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    if keys.token:
        fields["X-Amz-Security-Token"] = keys.token
    query = "&".join(f"{name}={quote(fields[name], safe='-_.~')}" for name in sorted(fields))
    host = urlsplit(origin).netloc
    request = f"GET\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    secret = f"AWS4{keys.secret}".encode()
    for part in scope.split("/"):
        secret = hmac.digest(secret, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashed}"
    signature = hmac.digest(secret, text.encode(), "sha256").hex()
    return f"{origin}{path}?{query}&X-Amz-Signature={signature}"


def _place(settings: FunctionSettings, bucket: str, key: str) -> tuple[str, str]:
    """Origin and path of an object: virtual-hosted at AWS, path-style at any other endpoint."""
    path = "/" + quote(key, safe="/-_.~")
    if settings.endpoint:
        return settings.endpoint.rstrip("/"), f"/{bucket}{path}"
    domain = "amazonaws.com.cn" if settings.region.startswith("cn-") else "amazonaws.com"
    host = f"s3.{settings.region}.{domain}"
    if "." in bucket:
        # The certificate of the virtual host covers one label only.
        return f"https://{host}", f"/{bucket}{path}"
    return f"https://{bucket}.{host}", path


def _fetched(given: FunctionKeys) -> _Keys:
    """Keys from the address that SnapStart's restored functions are given, else as they are."""
    if given.source:
        # Imported here: it takes as long as many links, and only a restored function needs it.
        import urllib.request

        headers = {"Authorization": given.source_token} if given.source_token else {}
        request = urllib.request.Request(given.source, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                told = json.load(answer)
            until = datetime.fromisoformat(told["Expiration"]).timestamp()
            return _Keys(told["AccessKeyId"], told["SecretAccessKey"], told["Token"], until)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DeployError(
                f"The function's keys can't be had ({error}), so no link can be signed.",
                "Trying again may help.",
            ) from error
    if not given.access_key or not given.secret_key:
        raise DeployError(
            "The function has no AWS keys, so no link can be signed.",
            "Lambda sets AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; here nobody did.",
        )
    # A function's own keys change only together with its process.
    return _Keys(given.access_key, given.secret_key, given.token, float("inf"))
