"""Links to pictures: held against botocore's signer, and opened at a real S3 server (moto)."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from moto_account import moto_server
from vizinho.aws.links import Links
from vizinho.errors import DeployError, SettingsError
from vizinho.settings import FUNCTION_UPLOAD_BYTES, FunctionKeys, FunctionSettings, load_function

KEYS = FunctionKeys("AKIAIOSFODNN7EXAMPLE", "wJalr/XUtnFEMI+K7MDENG", None, None, None)
OBJECT = "images/ab/férias 1+2%20~!'()*.png"
AT = 1_795_467_603  # 2026-11-23, not on a quarter of an hour


def links(keys: FunctionKeys = KEYS, at: float = AT, **given: Any) -> Links:
    settings = FunctionSettings(**{"gallery": "g", "region": "eu-west-1", **given})
    return Links(settings, now=lambda: at, keys=lambda: keys)


@pytest.mark.parametrize("token", [None, "IQoJb3JpZ2luX2VjEXAMPLE+/=="])
@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:5000"])
def test_signed_as_botocore_signs(
    token: str | None, endpoint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore import auth, awsrequest, credentials

    keys = FunctionKeys(KEYS.access_key, KEYS.secret_key, token, None, None)
    link = links(keys, endpoint=endpoint).of(f"s3://vizinho-demo/{OBJECT}")
    start = AT // 900 * 900
    stamp = datetime.fromtimestamp(start, UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda *_, **__: stamp, raising=False)
    signer = auth.S3SigV4QueryAuth(
        credentials.Credentials(KEYS.access_key, KEYS.secret_key, token), "s3", "eu-west-1", 3600
    )
    request = awsrequest.AWSRequest("GET", link.partition("?")[0])
    signer.add_auth(request)
    ours, theirs = (parse_qs(urlsplit(url).query) for url in (link, request.url))
    assert ours == theirs
    assert link.partition("?")[0] == request.url.partition("?")[0]


def test_addresses() -> None:
    def of(bucket: str, **given: Any) -> str:
        return links(links="public", **given).of(f"s3://{bucket}/a b/ç.png")

    assert of("bucket") == "https://bucket.s3.eu-west-1.amazonaws.com/a%20b/%C3%A7.png"
    assert of("a.b") == "https://s3.eu-west-1.amazonaws.com/a.b/a%20b/%C3%A7.png"
    assert of("b", endpoint="http://s3:5000/") == "http://s3:5000/b/a%20b/%C3%A7.png"
    assert of("b", region="cn-north-1").startswith("https://b.s3.cn-north-1.amazonaws.com.cn/")
    for url in ("https://elsewhere/a.png", "/images/a.png", ""):
        assert links().of(url) == url


def test_a_link_stays_the_same_for_a_while() -> None:
    url = "s3://bucket/a.png"
    start = AT // 900 * 900
    assert links(at=start).of(url) == links(at=start + 899.9).of(url)
    assert links(at=start).of(url) != links(at=start + 900).of(url)
    assert links(at=start, link_seconds=40).of(url) != links(at=start + 10, link_seconds=40).of(url)
    assert links(at=5, link_seconds=1).of(url)


class _Source(BaseHTTPRequestHandler):
    """Hands out keys as the address that a restored function is given does."""

    asked = 0
    until = "2026-11-23T22:00:00Z"
    status = 200

    def do_GET(self) -> None:
        type(self).asked += 1
        good = self.headers["Authorization"] == "token" and self.status == 200
        self.send_response(200 if good else 403)
        self.end_headers()
        keys = {"AccessKeyId": f"ASIA{self.asked}", "SecretAccessKey": "s", "Token": "t"}
        self.wfile.write(json.dumps({**keys, "Expiration": self.until}).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def source() -> Iterator[str]:
    _Source.asked = 0
    server = HTTPServer(("127.0.0.1", 0), _Source)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/keys"
    server.shutdown()
    server.server_close()


def test_a_restored_function_asks_for_its_keys_and_again_before_they_end(source: str) -> None:
    """SnapStart takes the keys out of the environment, and gives an address instead."""
    now = datetime(2026, 11, 23, 21, 0, tzinfo=UTC).timestamp()
    clock = [now]
    keys = FunctionKeys("stale", "stale", None, source, "token")
    settings = FunctionSettings(gallery="g")
    made = Links(settings, now=lambda: clock[0], keys=lambda: keys)

    def who() -> str:
        query = parse_qs(urlsplit(made.of("s3://bucket/a")).query)
        assert query["X-Amz-Security-Token"] == ["t"]
        return query["X-Amz-Credential"][0].partition("/")[0]

    assert [who(), who()] == ["ASIA1", "ASIA1"]
    clock[0] = now + 3400
    assert who() == "ASIA2"
    refused = FunctionKeys(None, None, None, source, "wrong")
    with pytest.raises(DeployError, match="403"):
        links(refused).of("s3://bucket/a")
    with pytest.raises(DeployError, match="no AWS keys"):
        links(FunctionKeys(None, None, None, None, None)).of("s3://bucket/a")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """moto's S3 over HTTP; its address."""
    with moto_server() as endpoint:
        yield endpoint


def status(url: str) -> tuple[int, bytes]:
    """A browser that is nobody asks for ``url``."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


def test_private_pictures_open_by_link_alone_and_public_ones_by_address(s3: str) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=s3,
        region_name="eu-west-1",
        aws_access_key_id=KEYS.access_key,
        aws_secret_access_key=KEYS.secret_key,
    )
    place = {"LocationConstraint": "eu-west-1"}
    for bucket in ("private", "public"):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)
        client.put_object(Bucket=bucket, Key=OBJECT, Body=b"picture")
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::public/images/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client.put_bucket_policy(Bucket="public", Policy=json.dumps(policy))
    signed = links(endpoint=s3)
    plain = links(endpoint=s3, links="public")
    assert status(plain.of(f"s3://private/{OBJECT}"))[0] == 403
    assert status(signed.of(f"s3://private/{OBJECT}")) == (200, b"picture")
    assert status(plain.of(f"s3://public/{OBJECT}")) == (200, b"picture")


def test_what_a_function_is_told() -> None:
    told = load_function(
        {
            "VIZINHO_GALLERY": "my.vizinho",
            "LAMBDA_TASK_ROOT": "/var/task",
            "VIZINHO_LINKS": "public",
            "VIZINHO_LINK_SECONDS": "60",
            "VIZINHO_CORS": "https://a.example/, https://b.example",
            "VIZINHO_MAX_UPLOAD_BYTES": "1000",
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        }
    )
    assert told == FunctionSettings(
        gallery="/var/task/my.vizinho",
        links="public",
        link_seconds=60,
        cors_origins=("https://a.example", "https://b.example"),
        max_upload_bytes=1000,
        region="eu-west-1",
        endpoint="http://127.0.0.1:1",
    )
    bare = load_function({"VIZINHO_CORS": "", "VIZINHO_GALLERY": "s3://b/galleries/x"})
    assert (bare.gallery, bare.links, bare.cors_origins) == ("s3://b/galleries/x", "private", ())
    assert bare.max_upload_bytes == FUNCTION_UPLOAD_BYTES
    assert load_function({"AWS_ENDPOINT_URL": "a", "AWS_ENDPOINT_URL_S3": "b"}).endpoint == "b"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("VIZINHO_LINKS", "open"),
        ("VIZINHO_LINK_SECONDS", "0"),
        ("VIZINHO_LINK_SECONDS", "604801"),
        ("VIZINHO_LINK_SECONDS", "an hour"),
        ("VIZINHO_MAX_UPLOAD_BYTES", "6000001"),
    ],
)
def test_what_makes_no_sense_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_function({name: value})
