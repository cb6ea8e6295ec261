"""Pictures of a bucket: listed, read, refused; against moto's S3 over HTTP."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from buckets import bucket, fill
from vizinho.datasets import Skipped
from vizinho.errors import SourceError, UnreadableImage
from vizinho.sources import BucketTree, open_sources, read_url

ODD = [
    "cats/tom.jpg",
    "a b/ü +%41 ç.png",
    "a?b#c&d=e.png",
    "日本/写真.webp",
    "100%.JPG",
    "plus+plus/~tilde'quote.png",
]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with bucket(monkeypatch) as made:
        yield made


def listed(url: str, **options: Any) -> tuple[dict[str, bytes], list[Skipped]]:
    sources = open_sources([url], **options)
    return {item.key: item.read() for item in sources}, sources.skipped


def test_odd_names_come_back_as_they_were(client: Any) -> None:
    made = fill(client, ODD)
    found, skipped = listed("s3://photos")
    assert (found, skipped) == (made, [])
    for item in open_sources(["s3://photos"]):
        assert item.url == f"s3://photos/{item.key}"
        assert read_url(item.url) == made[item.key]
        assert item.state is not None
        assert item.state.size == len(made[item.key])


def test_a_prefix_is_a_folder_not_a_beginning(client: Any) -> None:
    made = fill(client, ["pets/cats/tom.jpg", "pets/dog.jpg", "petshop/fish.jpg", "pets.jpg"])
    for url in ("s3://photos/pets", "s3://photos/pets/"):
        assert listed(url)[0] == {
            "cats/tom.jpg": made["pets/cats/tom.jpg"],
            "dog.jpg": made["pets/dog.jpg"],
        }
    flat, _ = listed("s3://photos/pets", recursive=False)
    assert list(flat) == ["dog.jpg"]
    one = list(open_sources(["s3://photos/pets/cats/tom.jpg"], labels=True))
    assert [(item.key, item.label) for item in one] == [("tom.jpg", "cats")]


def test_what_is_no_picture_or_no_path_is_passed_over(client: Any) -> None:
    made = fill(
        client, ["ok.jpg", "x//y.jpg", "x/../z.jpg", "notes.txt", ".hidden/a.jpg", "b/.c.jpg"]
    )
    client.put_object(Bucket="photos", Key="folder/", Body=b"")
    found, skipped = listed("s3://photos")
    assert found == {"ok.jpg": made["ok.jpg"]}
    assert sorted(each.name for each in skipped) == ["x/../z.jpg", "x//y.jpg"]
    assert all("relative path" in each.reason for each in skipped)


def test_more_than_a_page_of_a_listing(client: Any) -> None:
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    # Straight into moto: a thousand uploads over HTTP take half a minute here.
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    for number in range(2345):
        backend.put_object("photos", f"many/{number:05d}.jpg", b"x")
    keys = [item.key for item in open_sources(["s3://photos/many"])]
    assert keys == [f"{number:05d}.jpg" for number in range(2345)]


def test_many_folders_are_listed_at_once(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from vizinho.sources import bucket as module

    keys = ["a/1.jpg", "a/b/2.jpg", "c.jpg", "d/3.jpg", "d.jpg"]
    fill(client, keys)
    one_by_one = [item.key for item in open_sources(["s3://photos"])]
    monkeypatch.setattr(module, "_MANY", 1)
    assert sorted(one_by_one) == sorted(keys)
    assert sorted(item.key for item in open_sources(["s3://photos"])) == sorted(keys)


def test_an_object_that_vanishes_after_it_was_listed(client: Any) -> None:
    fill(client, ["a.jpg", "b.jpg"])
    first, second = open_sources(["s3://photos"])
    client.delete_object(Bucket="photos", Key="b.jpg")
    assert first.read()
    with pytest.raises(UnreadableImage, match=r"s3://photos/b.jpg is not there any more"):
        second.read()


def test_a_tree_can_be_sent_to_another_process(client: Any) -> None:
    made = fill(client, ["in/a.jpg"])
    tree = pickle.loads(pickle.dumps(BucketTree("s3://photos/in")))
    assert [key for key, _ in tree.walk([])] == ["a.jpg"]
    assert (tree.root, tree.read("a.jpg")) == ("s3://photos/in", made["in/a.jpg"])


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3://nobody-has-this/x", "There is no bucket 'nobody-has-this'"),
        ("s3://photos/empty", "There is nothing at s3://photos/empty"),
        ("s3://UPPER/x", "is no address of a bucket"),
        ("s3:///x", "is no address of a bucket"),
        ("https://photos.example/x.jpg", "is not fetched"),
    ],
)
def test_a_source_that_leads_nowhere(client: Any, url: str, sentence: str) -> None:
    with pytest.raises(SourceError, match=sentence):
        list(open_sources([url]))


def test_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket(monkeypatch, "photos-gone") as client:
        fill(client, ["a.jpg"], name="photos-gone")
        (item,) = open_sources(["s3://photos-gone"])
    with pytest.raises(
        SourceError, match=r"can't be reached: http://127.0.0.1:\d+ does not answer"
    ):
        item.read()
    with pytest.raises(SourceError, match="can't be reached"):
        list(open_sources(["s3://photos-gone"]))


def test_who_may_not_look_is_told_so(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    from moto import settings

    fill(client, ["a.jpg"])
    endpoint = client.meta.endpoint_url
    tree = BucketTree("s3://photos")
    # From now on moto checks rights, and these keys are nobody's.
    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
    httpx.post(f"{endpoint}/moto-api/reset-auth", content=b"0").raise_for_status()
    try:
        with pytest.raises(SourceError, match=r"credentials are not accepted|Access to"):
            list(tree.walk([]))
    finally:
        httpx.post(f"{endpoint}/moto-api/reset-auth", content=b"inf").raise_for_status()
