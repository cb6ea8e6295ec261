"""The steps of a deployment that are S3's, against a real S3 over HTTP (moto_server)."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from moto_account import moto_account
from toys import plain
from vizinho.aws.deploy import DeployOptions, Names, bucket, cloud_gallery, objects, pictures, run
from vizinho.aws.deploy.account import Account
from vizinho.aws.deploy.bucket import GALLERIES, IMAGES
from vizinho.aws.deploy.watch import Quiet
from vizinho.errors import DeployError
from vizinho.gallery import Gallery, GalleryView, NewImage


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with moto_account(monkeypatch) as endpoint:
        yield endpoint


@pytest.fixture
def account(endpoint: str) -> Account:
    return Account()


@pytest.fixture
def names(account: Account) -> Names:
    return account.names("toy")


def stand(account: Account, names: Names, *, public: bool = False) -> None:
    bucket.make(account, names)
    bucket.configure(account, names, public=public)


def keys(account: Account, names: Names, prefix: str = "") -> set[str]:
    return {key for key, _ in objects.listing(account, names.bucket, prefix)}


def uploaded(account: Account, names: Names, gallery: GalleryView) -> pictures.Pictures:
    found = pictures.compare(account, names.bucket, gallery)
    pictures.upload(account, names.bucket, gallery, found)
    return found


def test_only_the_public_bucket_answers_a_browser_and_only_pictures(
    account: Account, names: Names, toy_gallery: Gallery, endpoint: str
) -> None:
    stand(account, names)
    there = uploaded(account, names, toy_gallery).there
    s3 = account.client("s3")
    s3.put_object(Bucket=names.bucket, Key="galleries/x/vectors.npy", Body=b"secret")
    row = toy_gallery.items(0, 1)[0]
    address = f"{endpoint}/{names.bucket}"
    picture = f"{address}/{there[row.hash]}"
    # moto lists a bucket to anybody, whatever its policy; the next test looks at ours.
    secret = f"{address}/galleries/x/vectors.npy"
    browser = {"User-Agent": "Mozilla/5.0", "Origin": "https://page.example"}
    with httpx.Client(headers=browser, timeout=60) as anyone:
        assert anyone.get(picture).status_code == 403
        signed = s3.generate_presigned_url(
            "get_object", Params={"Bucket": names.bucket, "Key": there[row.hash]}
        )
        assert anyone.get(signed).content == toy_gallery.image_bytes(row.key)[0]

        stand(account, names, public=True)
        answer = anyone.get(picture)
        assert answer.content == toy_gallery.image_bytes(row.key)[0]
        assert answer.headers["content-type"] == "image/png"
        assert "immutable" in answer.headers["cache-control"]
        assert anyone.get(secret).status_code == 403

        stand(account, names)
        assert anyone.get(picture).status_code == 403


@pytest.mark.parametrize("public", [False, True])
def test_the_bucket_is_closed_encrypted_and_shared_with_pages(
    account: Account, names: Names, public: bool
) -> None:
    stand(account, names, public=public)
    s3, named = account.client("s3"), {"Bucket": names.bucket}
    block = s3.get_public_access_block(**named)["PublicAccessBlockConfiguration"]
    assert block == {
        "BlockPublicAcls": True,
        "IgnorePublicAcls": True,
        "BlockPublicPolicy": not public,
        "RestrictPublicBuckets": not public,
    }
    (rule,) = s3.get_bucket_ownership_controls(**named)["OwnershipControls"]["Rules"]
    assert rule == {"ObjectOwnership": "BucketOwnerEnforced"}
    (rule,) = s3.get_bucket_encryption(**named)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    (cors,) = s3.get_bucket_cors(**named)["CORSRules"]
    assert (cors["AllowedMethods"], cors["AllowedOrigins"]) == (["GET", "HEAD"], ["*"])
    assert bucket.tags(s3, names.bucket) == {"vizinho:deployment": "toy"}
    assert bucket.is_public(account, names) is public
    if public:
        (told,) = json.loads(s3.get_bucket_policy(**named)["Policy"])["Statement"]
        assert (told["Action"], told["Resource"]) == (
            "s3:GetObject",
            f"arn:aws:s3:::{names.bucket}/images/*",
        )


def test_only_what_is_missing_goes_up_and_what_changed(
    account: Account, names: Names, toy_gallery: Gallery
) -> None:
    stand(account, names)
    first = uploaded(account, names, toy_gallery)
    assert (first.uploaded, first.missing) == (12, [])
    assert keys(account, names) == set(first.there.values())
    again = uploaded(account, names, toy_gallery)
    assert (again.uploaded, again.bytes) == (0, first.bytes)

    row = toy_gallery.items(0, 1)[0]
    picture = toy_gallery.folder / row.key  # type: ignore[operator]  # it mirrors a folder
    picture.write_bytes((toy_gallery.folder / "dog" / "0000.png").read_bytes() + b" ")  # type: ignore[operator]
    toy_gallery.sync_folder(toy_gallery.folder, labels=True)  # type: ignore[arg-type]
    changed = uploaded(account, names, toy_gallery)
    assert changed.uploaded == 1
    assert changed.superfluous == [first.there[row.hash]]


def test_an_upload_that_was_killed_goes_on_where_it_stopped(
    account: Account, names: Names, toy_gallery: Gallery
) -> None:
    stand(account, names)
    script = f"""
        import threading
        from vizinho.aws.deploy import objects, pictures
        from vizinho.aws.deploy.account import Account
        from vizinho.gallery import GalleryView
        objects.WORKERS = 1
        reading, reads = GalleryView.image_bytes, []
        def slowly(self, key):
            reads.append(key)
            if len(reads) > 5:
                print("five", flush=True)
                threading.Event().wait()
            return reading(self, key)
        GalleryView.image_bytes = slowly
        account = Account()
        with GalleryView.open({str(toy_gallery.path)!r}) as gallery:
            found = pictures.compare(account, {names.bucket!r}, gallery)
            pictures.upload(account, {names.bucket!r}, gallery, found)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"five\n"
        process.send_signal(signal.SIGKILL)
    before = keys(account, names)
    assert len(before) == 5
    found = uploaded(account, names, toy_gallery)
    assert found.uploaded == 7
    assert keys(account, names) == before | set(found.there.values())
    assert len(keys(account, names)) == 12


def test_a_picture_without_bytes_is_named_and_stays_out(
    account: Account, names: Names, toy_bundle: Path, pictures_of: Any, tmp_path: Path
) -> None:
    stand(account, names)
    with Gallery.create(tmp_path / "g.vizinho", model=toy_bundle) as gallery:
        gallery.add(
            [
                NewImage(pictures_of(1), key="a"),
                NewImage(pictures_of(2), key="b", store=False),
                NewImage(pictures_of(3), key="c", store=False, url="https://far.example/c.png"),
                NewImage(pictures_of(4), key="d"),
                NewImage(pictures_of(5), key="e", store=False),
            ]
        )
        found = uploaded(account, names, gallery)
        assert [gone.key for gone in found.missing] == ["b", "e"]
        assert (found.uploaded, found.linked) == (2, 1)
        packed = tmp_path / "packed"
        info = cloud_gallery.pack_for(gallery, packed, names.bucket, found)
        assert info.images == 3
        with GalleryView.open(packed) as seen:
            urls = {row.key: row.url for row in seen.items(0, 10)}
            assert [match.key for match in seen.search(pictures_of(4), k=1)] == ["d"]
        assert set(urls) == {"a", "c", "d"}
        assert urls["c"] == "https://far.example/c.png"
        assert urls["a"].startswith(f"s3://{names.bucket}/{IMAGES}")
        told = (account, names.bucket, gallery, found, "https://b.example")
        assert [cloud_gallery.upload_urls(*told) for _ in range(2)] == [True, False]
    s3 = account.client("s3")
    text = s3.get_object(Bucket=names.bucket, Key="urls.csv")["Body"].read().decode()
    table = list(csv.DictReader(io.StringIO(text)))
    assert [line["key"] for line in table] == ["a", "c", "d"]
    assert table[0]["url"].startswith("https://b.example/images/")


@pytest.fixture
def pictures_of() -> Any:
    from PIL import Image

    def make(shade: int) -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (32, 32), (shade * 40, 255 - shade * 40, shade * 10)).save(buffer, "PNG")
        return buffer.getvalue()

    return make


def test_a_picture_that_changed_since_it_was_indexed_is_not_passed_off_as_the_old_one(
    account: Account, names: Names, toy_gallery: Gallery
) -> None:
    stand(account, names)
    row = toy_gallery.items(0, 1)[0]
    path = toy_gallery.folder / row.key  # type: ignore[operator]
    path.write_bytes(path.read_bytes() + b" ")
    found = uploaded(account, names, toy_gallery)
    assert [gone.key for gone in found.missing] == [row.key]
    assert "vizinho index" in found.missing[0].reason
    assert len(keys(account, names)) == 11
    path.unlink()
    (gone,) = uploaded(account, names, toy_gallery).missing
    assert str(path) in gone.reason
    assert f"`vizinho index {toy_gallery.folder}` takes it out" in gone.reason


def test_a_packed_gallery_is_whole_once_its_description_is_there(
    account: Account, names: Names, toy_gallery: Gallery, tmp_path: Path
) -> None:
    stand(account, names)
    found = uploaded(account, names, toy_gallery)
    info = cloud_gallery.pack_for(toy_gallery, tmp_path / "packed", names.bucket, found)
    asked = (account, names.bucket, tmp_path / "packed", info.digest)
    assert cloud_gallery.upload_gallery(*asked)
    there = keys(account, names, GALLERIES)
    assert f"{GALLERIES}{info.digest}/model/model.onnx" in there
    assert not cloud_gallery.upload_gallery(*asked)
    # Killed before the last file: as if nothing were there.
    account.client("s3").delete_object(
        Bucket=names.bucket, Key=f"{GALLERIES}{info.digest}/gallery.json"
    )
    assert cloud_gallery.upload_gallery(*asked)
    assert keys(account, names, GALLERIES) == there


def test_uploads_that_a_killed_run_began_are_given_up(account: Account, names: Names) -> None:
    stand(account, names)
    s3 = account.client("s3")
    s3.create_multipart_upload(Bucket=names.bucket, Key="packages/half.zip")
    s3.create_multipart_upload(Bucket=names.bucket, Key="theirs.bin")
    assert objects.abandon_uploads(account, names.bucket, ("packages/",)) == 1
    (left,) = s3.list_multipart_uploads(Bucket=names.bucket)["Uploads"]
    assert left["Key"] == "theirs.bin"
    assert objects.abandon_uploads(account, names.bucket, ("packages/",)) == 0


def test_a_gallery_takes_no_others_place_unless_told(
    account: Account, names: Names, toy_gallery: Gallery, tmp_path: Path
) -> None:
    stand(account, names)
    uploaded(account, names, toy_gallery)
    before = keys(account, names)
    with Gallery.create(tmp_path / "other.vizinho", model=toy_gallery.model_folder) as other:
        other.add([NewImage(plain((1, 2, 3)), key="new.png")])
        options = DeployOptions(other.path, names.name, tmp_path)
        with pytest.raises(DeployError, match=r"holds \d+ other pictures.*--replace"):
            run._upload_pictures(run.Work(account, names, options, other, Quiet()))
        assert keys(account, names) == before
        run._upload_pictures(
            run.Work(account, names, replace(options, replace=True), other, Quiet())
        )
        assert len(keys(account, names)) == len(before) + 1
        known = toy_gallery.image_bytes(toy_gallery.items(0, 1)[0].key)[0]
        other.add([NewImage(known, key="known.png")])
        run._upload_pictures(run.Work(account, names, options, other, Quiet()))
