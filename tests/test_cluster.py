"""Embedding on a real Ray cluster of two nodes: the same vectors, and one node killed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from buckets import bucket, fill
from ray_cluster import TwoNodes, two_nodes
from toys import write_pictures
from vizinho.cli import build_app
from vizinho.cluster import ray_workers
from vizinho.errors import ClusterError
from vizinho.gallery import Gallery
from vizinho.gallery.intake import Wanted
from vizinho.gallery.pipeline import Job
from vizinho.sources import open_tree

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    patch = pytest.MonkeyPatch()
    # Workers inherit what the cluster was started with, as machines have keys of their own.
    with bucket(patch) as client, two_nodes() as made:
        made.client = client  # type: ignore[attr-defined]
        yield made
    patch.undo()


def same(ours: Gallery, theirs: Gallery) -> None:
    """Both hold the same rows, and vectors equal bit for bit."""
    rows = ours.items(limit=10_000)
    assert rows == theirs.items(limit=10_000)
    keys = [row.key for row in rows]
    assert ours.vectors(keys).tobytes() == theirs.vectors(keys).tobytes()


def test_one_node_killed_half_way(nodes: TwoNodes, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_pictures(photos, 240, seed=3)
    (photos / "0005.png").write_bytes((photos / "0004.png").read_bytes())
    (photos / "0006.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    killed = []

    def progress(done: int, total: int | None) -> None:
        if total and done >= total // 3 and not killed:
            killed.append(done)
            nodes.kill()

    tree = open_tree(str(photos))
    assert tree is not None
    try:
        with (
            Gallery.create(tmp_path / "ray.vizinho") as ours,
            ray_workers(nodes.address, tree, ours.model_folder) as embed,
        ):
            embed.task = 8
            report = ours.sync(tree, progress=progress, through=embed)
            again = ours.sync(tree, through=embed)
            assert killed
            assert killed[0] < 240
            photos.rename(tmp_path / "elsewhere")
            with pytest.raises(ClusterError, match="does not see"):
                list(embed(iter([Job(Wanted("0001.png"), "0001.png", bytes)])))
            (tmp_path / "elsewhere").rename(photos)
            assert len(embed.nodes) == 2
            assert (report.added, report.duplicates, again.unchanged) == (238, 1, 238)
            assert [each.name for each in report.skipped] == ["0006.png"]
            with Gallery.create(tmp_path / "here.vizinho") as theirs:
                theirs.sync(tree)
                same(ours, theirs)
    finally:
        nodes.revive()


def test_a_bucket_by_the_command_line_on_a_machine_of_the_cluster(
    nodes: Any, tmp_path: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fill(nodes.client, [f"in/ü {i:02d}.png" for i in range(20)])
    monkeypatch.setenv("RAY_ADDRESS", nodes.cluster.address)
    monkeypatch.chdir(tmp_path)
    line = ["index", "s3://photos/in", "--json", "-m", str(toy_bundle)]
    for name, where in (("there", ["--workers", "ray://auto"]), ("here", [])):
        done = CliRunner().invoke(build_app(), [*line, *where, "-g", f"{name}.vizinho"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["added"] == 20
    with Gallery.open("there.vizinho") as ours, Gallery.open("here.vizinho") as theirs:
        same(ours, theirs)
        assert ours.image_bytes("ü 03.png")[0] == made["in/ü 03.png"]


def test_a_cluster_of_this_machine_s_own(
    nodes: TwoNodes, tmp_path: Path, toy_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new one, though another runs here, and nothing is left of it."""
    import ray

    monkeypatch.setenv("RAY_ADDRESS", nodes.cluster.address)
    write_pictures(tmp_path / "photos", 3)
    tree = open_tree(str(tmp_path / "photos"))
    assert tree is not None
    with ray_workers("ray://local", tree, toy_bundle) as embed:
        assert ray.get_runtime_context().gcs_address != nodes.cluster.address
        place = Path(ray._private.worker._global_node.get_session_dir_path()).parent
        jobs = [Job(Wanted(f"000{i}.png"), "", bytes) for i in range(3)]
        outcomes = [outcome for some in embed(jobs) for outcome in some]
        assert [outcome.job for outcome in outcomes] == jobs
        assert all(outcome.vector is not None for outcome in outcomes)
    assert not ray.is_initialized()
    assert not place.exists()


def test_a_machine_that_can_not_do_the_same(tmp_path: Path, toy_bundle: Path) -> None:
    from vizinho.bundle import read_bundle
    from vizinho.cluster.worker import Work, _pipeline, versions

    tree = open_tree(str(tmp_path))
    assert tree is not None
    work = Work(tree, read_bundle(toy_bundle), None, {**versions(), "pillow": "1.0"})
    with pytest.raises(ClusterError, match=r"has pillow [\d.]+ instead of 1\.0"):
        _pipeline(work)
    tmp_path.rmdir()
    with pytest.raises(ClusterError, match="does not see"):
        _pipeline(replace(work, versions=versions()))


@pytest.mark.parametrize("address", ["host:10001", "ray://", "ray://127.0.0.1:1"])
def test_no_cluster_there(address: str, tmp_path: Path, toy_bundle: Path) -> None:
    write_pictures(tmp_path, 1)
    tree = open_tree(str(tmp_path))
    assert tree is not None
    with pytest.raises(ClusterError, match=address), ray_workers(address, tree, toy_bundle):
        pass


def test_vectors_travel_unchanged() -> None:
    from vizinho.cluster.worker import to_vector

    vector = np.random.default_rng(0).normal(size=64).astype(np.float32)
    back = to_vector(vector.astype("<f4").tobytes())
    assert back is not None
    assert back.tobytes() == vector.tobytes()
    assert to_vector(None) is None
