"""The contract's rules apart from any framework: fields, base64, keys, errors."""

from __future__ import annotations

import base64
import errno
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from vizinho.blobs import explain_os_error
from vizinho.contract import pictures
from vizinho.contract.errors import ApiError, bad_field, from_core, of_status
from vizinho.contract.fields import OFFSET, form_fields, json_fields
from vizinho.contract.pictures import body_limit, check_upload, checked_key, decode_base64
from vizinho.contract.values import Range, whole
from vizinho.errors import GalleryBusy, GalleryError, NotAnImage
from vizinho.images import Crop


def refused(call: Any, *given: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call(*given)
    return caught.value


def test_fields_of_json() -> None:
    given = {
        "k": "7",
        "offset": 2.0,
        "filter": {"label": "cat", "n": 1},
        "crop": {"left": 0.5, "bottom": "0.25"},
        "fingerprint": None,
        "key": "a.png",
    }
    fields = json_fields(json.dumps(given).encode())
    assert (fields.k, fields.offset) == (7, 2)
    assert fields.filter == {"label": "cat", "n": 1}
    assert fields.crop == Crop(top=0, left=0.5, bottom=0.25, right=1)
    assert (fields.key, fields.image_base64, fields.image_url) == ("a.png", None, None)
    plain = json_fields(b'{"key": "a.png"}')
    assert (plain.k, plain.offset, plain.filter, plain.crop) == (10, 0, None, None)


def test_fields_of_a_form() -> None:
    items = [("k", "3"), ("image", b"\x89PNG"), ("filter", '{"label": null}'), ("k", "4")]
    fields = form_fields(items)
    assert (fields.k, fields.filter) == (4, {"label": None})
    assert refused(form_fields, [("crop", b"file")]).message.startswith("crop: this is a file")
    assert refused(form_fields, [("filter", '{"a": NaN}')]).message == "filter: this is not JSON"
    assert refused(form_fields, [("key", "a.png")]).message.startswith("key: Extra")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"k": 0}, "k: Input should be greater than or equal to 1"),
        ({"k": 101}, "k: Input should be less than or equal to 100"),
        ({"k": 1.5}, "k: Input should be a valid integer, got a number with a fractional part"),
        ({"k": None}, "k: Input should be a valid integer"),
        ({"k": float("nan")}, "k: Input should be a valid integer, got a number with"),
        ({"offset": 10_001}, "offset: Input should be less than or equal to 10000"),
        ({"filter": []}, "filter: Input should be an object"),
        ({"filter": {"a": {}}}, "filter: The filter 'a' asks for"),
        ({"filter": {"a": "\ud800"}}, "filter: Input should be a valid string"),
        ({"crop": 3}, "crop: Input should be an object"),
        ({"crop": {"top": float("nan")}}, "crop.top: Input should be greater"),
        ({"crop": {"top": 10**400}}, "crop.top: Input should be less"),
        ({"crop": {"left": "x"}}, "crop.left: Input should be a valid number, unable"),
        ({"crop": {"left": [1]}}, "crop.left: Input should be a valid number"),
        ({"crop": {"right": 0}}, "crop: The crop"),
        ({"crop": {"middle": 1}}, "crop.middle: Extra inputs are not permitted"),
        ({"key": 5}, "key: Input should be a valid string"),
        ({"image_base64": "\ud800", "key": None}, "image_base64: Input should be a valid string"),
        ({"colour\ud800": 1}, "colour?: Extra inputs are not permitted"),
        ({"image_url": "http://a/b"}, "body: give exactly one of"),
        (
            {"key": ""},
            "body: give exactly one of image_base64, image_url, key and examples (here: none)",
        ),
    ],
)
def test_a_bad_field_is_named(fields: dict[str, Any], message: str) -> None:
    error = refused(json_fields, json.dumps({"key": "a.png", **fields}).encode())
    assert (error.status, error.code) == (422, "bad_field")
    assert error.message.startswith(message)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000, b"nul"])
def test_what_is_no_json(text: bytes) -> None:
    assert (refused(json_fields, text).status, refused(json_fields, text).code) == (400, "not_json")


def test_whole_numbers() -> None:
    assert whole("offset", " 12 ", OFFSET) == 12
    assert whole("a", True, Range(0, 1)) == 1
    assert refused(whole, "a", 10**400, OFFSET).message.endswith("equal to 10000")
    assert refused(whole, "a", "9" * 5000, OFFSET).status == 422


def test_too_much_base64_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> bytes:
        raise AssertionError("decoded")

    monkeypatch.setattr(pictures.base64, "b64decode", never)
    text = base64.b64encode(bytes(3000))
    assert refused(decode_base64, text, 2999).status == 413
    with pytest.raises(AssertionError, match="decoded"):
        decode_base64(text, 3000)


def test_a_body_may_hold_the_largest_picture_in_lines() -> None:
    for size in (1, 1000, 4_500_000):
        assert len(base64.encodebytes(bytes(size))) < body_limit(size) < 1.5 * size + 70_000


def test_uploads_and_keys() -> None:
    check_upload(10, 10)
    assert [refused(check_upload, size, 10).status for size in (None, 0, 11)] == [422, 400, 413]
    assert checked_key("a/ç b.png") == "a/ç b.png"
    assert {refused(checked_key, key).code for key in ("", "a\0", "\n")} == {"key_not_found"}


def test_errors_have_one_shape() -> None:
    assert bad_field("k", "wrong", "do").body() == {
        "error": {"code": "bad_field", "message": "k: wrong", "hint": "do"}
    }
    assert from_core(NotAnImage("x")).status == 415
    assert from_core(GalleryBusy("x")).headers == {"Retry-After": "1"}
    assert of_status(405, headers={"Allow": "GET"}).headers == {"Allow": "GET"}
    assert of_status(418, "tea").body()["error"]["message"] == "tea"


def test_the_contract_knows_no_framework() -> None:
    code = (
        "import sys, vizinho.contract.answers, vizinho.contract.search, vizinho.contract.pictures;"
        "print(sorted(set(sys.modules) & {'fastapi', 'starlette', 'pydantic', 'boto3', 'faiss'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [
        (errno.ENOSPC, 507, "disk_full"),
        (errno.EDQUOT, 507, "disk_full"),
        (errno.EACCES, 403, "read_only"),
        (errno.EROFS, 403, "read_only"),
        (errno.EIO, 500, "gallery_error"),
    ],
)
def test_trouble_with_a_disk_is_one_line_in_the_log_and_words_without_a_place_in_the_answer(
    caplog: pytest.LogCaptureFixture, number: int, status: int, code: str
) -> None:
    cause = OSError(number, os.strerror(number))
    try:
        raise explain_os_error(cause, "/srv/photos.vizinho/lock") from cause
    except GalleryError as error:
        told = from_core(error)
    assert (told.status, told.code) == (status, code)
    assert told.message
    assert told.hint
    assert "/srv" not in f"{told.message}{told.hint}"
    (record,) = caplog.records
    assert "/srv/photos.vizinho/lock" in record.getMessage()
    assert record.exc_info is None
