"""A real ``vizinho sweep`` over two processes, killed in the middle of its runs."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from toys import write_pictures

pytest.importorskip("torch")

pytestmark = [
    pytest.mark.train,
    pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX"),
]

EPOCHS = 8
RECIPE = {
    "batch_size": 20,
    "micro_batch": 10,
    "holdout": 10,
    "size": 18,
    "low_share": 0,
    "width": 8,
    "mirrored": False,
    "schedule": "steps",
    "epochs": EPOCHS,
}
OPTIONS = [
    *("--grid", "dimension=4,8,16", "--threads", "1", "--json"),
    *(f"--set={field}={value}" for field, value in RECIPE.items()),
]
PATIENCE = 300.0


def start(pictures: Path, out: Path, parallel: int) -> subprocess.Popen[str]:
    source = str(Path(__file__).resolve().parents[2] / "src")
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "vizinho",
            "sweep",
            str(pictures),
            "--out",
            str(out),
            "--parallel",
            str(parallel),
            *OPTIONS,
        ],
        env={**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(what: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def rows(out: Path) -> list[dict[str, str]]:
    path = out / "runs.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


def group(leader: int) -> list[int]:
    """The living processes of the group that ``leader`` began."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(words[2]) == leader and words[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_a_killed_sweep_leaves_no_process_and_makes_no_run_twice(tmp_path: Path) -> None:
    pictures, out = tmp_path / "pictures", tmp_path / "sweep"
    write_pictures(pictures / "cat", 30, seed=1)
    write_pictures(pictures / "dog", 30, seed=2)
    process = start(pictures, out, parallel=2)
    wait_for(lambda: rows(out) or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    assert len(group(process.pid)) >= 2
    process.send_signal(signal.SIGKILL)
    wait_for(lambda: not group(process.pid))
    process.communicate()

    there = rows(out)
    assert 1 <= len(there) <= 2
    with (out / "runs.csv").open("a") as file:
        file.write("0123456789ab,ok,16,0,1")
    process = start(pictures, out, parallel=1)
    told, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    finished = rows(out)
    assert finished[: len(there)] == there
    assert sorted(int(row["dimension"]) for row in finished) == [4, 8, 16]
    assert {(row["outcome"], row["epochs_done"], row["threads"]) for row in finished} == {
        ("ok", str(EPOCHS), "1")
    }
    assert [cell["state"] for cell in json.loads(told)["cells"]] == ["ok"] * 3
    assert {path.name for path in out.iterdir()} == {
        *("runs.csv", "table.md", "heatmap.png", "curves.png", "runs")
    }
    for row in finished:
        records = json.loads((out / "runs" / row["key"] / "epochs.json").read_text())
        assert [record["epoch"] for record in records] == list(range(1, EPOCHS + 1))
