"""One file over HTTP: broken off, resumed, changed, refused."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest

from toy_site import QUICK, Site, running_site, unused_url
from vizinho.datasets.transfer import LocalError, fetch_file, remote_size
from vizinho.errors import DownloadError

BODY = np.random.default_rng(0).bytes(700_000)


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as served:
        yield served


def must_be(content: bytes) -> Any:
    def check(path: Path) -> None:
        if path.read_bytes() != content:
            raise DownloadError("wrong checksum")

    return check


def fetch(site: Site, target: Path, **options: Any) -> None:
    fetch_file(
        f"{site.url}/f",
        target,
        verify=must_be(options.pop("content", BODY)),
        patience=QUICK,
        **options,
    )


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_comes_whole_with_progress(site: Site, tmp_path: Path) -> None:
    site.files["/f"] = BODY
    seen: list[tuple[int, int | None]] = []
    fetch(site, tmp_path / "f", progress=lambda done, total: seen.append((done, total)))
    assert (tmp_path / "f").read_bytes() == BODY
    assert left_in(tmp_path) == ["f"]
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert remote_size(f"{site.url}/f") == len(BODY)


def test_a_broken_connection_is_resumed_where_it_broke(site: Site, tmp_path: Path) -> None:
    site.files["/f"] = BODY
    site.break_at = [300_000, 1, 200_000]
    fetch(site, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY
    assert [r for _, r in site.gets()] == [None, "bytes=300000-", "bytes=300001-", "bytes=500001-"]


def test_the_next_call_goes_on_where_the_last_one_gave_up(site: Site, tmp_path: Path) -> None:
    site.files["/f"] = BODY
    site.break_at = [400_000, 0, 0, 0]
    with pytest.raises(DownloadError, match="can't be fetched"):
        fetch(site, tmp_path / "f")
    assert left_in(tmp_path) == ["f.part", "f.part.json"]
    site.break_at.clear()
    site.asked.clear()
    fetch(site, tmp_path / "f")
    assert site.gets() == [("/f", "bytes=400000-")]
    assert left_in(tmp_path) == ["f"]


def test_a_file_that_changed_meanwhile_is_fetched_from_the_start(
    site: Site, tmp_path: Path
) -> None:
    site.files["/f"] = bytes(len(BODY))
    site.break_at = [400_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        fetch(site, tmp_path / "f")
    site.files["/f"], site.version = BODY, '"v2"'
    site.break_at.clear()
    fetch(site, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_server_without_ranges_works_too(site: Site, tmp_path: Path) -> None:
    site.files["/f"], site.ranges, site.break_at = BODY, False, [300_000]
    fetch(site, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_weak_validator_is_no_ground_to_resume(site: Site, tmp_path: Path) -> None:
    site.files["/f"], site.version, site.break_at = BODY, 'W/"v1"', [300_000]
    fetch(site, tmp_path / "f")
    assert [r for _, r in site.gets()] == [None, None]


def test_a_part_that_was_whole_already_is_only_checked(site: Site, tmp_path: Path) -> None:
    site.files["/f"], site.break_at = BODY, [400_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        fetch(site, tmp_path / "f")
    (tmp_path / "f.part").write_bytes(BODY)
    site.break_at.clear()
    fetch(site, tmp_path / "f")
    assert left_in(tmp_path) == ["f"]


def test_a_part_longer_than_the_file_is_thrown_away(site: Site, tmp_path: Path) -> None:
    site.files["/f"], site.break_at = BODY, [400_000, 0, 0, 0]
    with pytest.raises(DownloadError):
        fetch(site, tmp_path / "f")
    (tmp_path / "f.part").write_bytes(BODY + b"more")
    site.break_at.clear()
    fetch(site, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY


def test_a_wrong_checksum_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    site.files["/f"] = BODY
    with pytest.raises(DownloadError, match="wrong checksum"):
        fetch(site, tmp_path / "f", content=b"other")
    assert left_in(tmp_path) == []


def test_a_busy_server_is_asked_again_a_missing_file_is_not(site: Site, tmp_path: Path) -> None:
    site.files["/f"], site.statuses = BODY, [503, 429]
    fetch(site, tmp_path / "f")
    assert len(site.gets()) == 3
    site.files.clear()
    site.asked.clear()
    with pytest.raises(DownloadError, match="404"):
        fetch(site, tmp_path / "g")
    assert len(site.gets()) == 1
    assert left_in(tmp_path) == ["f"]


def test_offline_is_said_plainly(tmp_path: Path) -> None:
    dead_url = unused_url()
    with pytest.raises(DownloadError, match=r"can't be fetched: Connection refused"):
        fetch_file(f"{dead_url}/f", tmp_path / "f", verify=must_be(b""), patience=QUICK)
    assert left_in(tmp_path) == []
    assert remote_size(f"{dead_url}/f") is None


def test_a_name_that_nobody_knows_is_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def offline(*_: object, **__: object) -> None:
        asked.append(1)
        raise URLError(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))

    monkeypatch.setattr("urllib.request.urlopen", offline)
    with pytest.raises(DownloadError, match=r"can't be fetched: Name or service not known"):
        fetch_file("http://nowhere/f", tmp_path / "f", verify=must_be(b""), patience=QUICK)
    assert len(asked) == 1


def test_two_downloads_of_one_file_do_not_mix(site: Site, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    site.files["/f"] = BODY
    with (tmp_path / "f.part").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(LocalError, match="another download"):
            fetch(site, tmp_path / "f")
    fetch(site, tmp_path / "f")


def test_a_disk_that_cannot_be_written_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LocalError, match="can't be written"):
        fetch(site, tmp_path / "file" / "f")
