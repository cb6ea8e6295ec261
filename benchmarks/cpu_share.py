"""A share of one core for a process and its children, as Lambda gives a function with less memory.

Lambda's machines give a share of each 20 ms (the kernel's CFS quota). Here the same is asked of the
kernel where its cpu controller can be written to; else the processes are stopped and continued.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from types import TracebackType

PERIOD_SECONDS = 0.02
CONTROLLER = Path("/sys/fs/cgroup/cpu")


class CpuShare:
    """``prefix`` goes before a command; ``watch`` is told its process. 1.0 is all of the core.

    ``how`` says which way it is done: "whole core", "cgroup quota" or "stop and continue".
    """

    def __init__(self, share: float, core: int) -> None:
        self.share = share
        self.prefix: tuple[str, ...] = ("taskset", "-c", str(core))
        self.how = "whole core"
        self._group: Path | None = None
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        if share >= 1:
            return
        self._group = _quota(share)
        self.how = "cgroup quota" if self._group else "stop and continue"
        if self._group:
            enter = f'echo $$ > "{self._group}/cgroup.procs" && exec "$@"'
            self.prefix = ("sh", "-c", enter, "sh", *self.prefix)

    def watch(self, pid: int) -> None:
        """Hold ``pid`` and its children to the share, where the kernel doesn't."""
        if self.how == "stop and continue":
            self._thread = threading.Thread(target=self._pulse, args=(pid,), daemon=True)
            self._thread.start()

    def _pulse(self, pid: int) -> None:
        while not self._over.is_set():
            _tell(pid, signal.SIGCONT)
            time.sleep(PERIOD_SECONDS * self.share)
            _tell(pid, signal.SIGSTOP)
            time.sleep(PERIOD_SECONDS * (1 - self.share))
        _tell(pid, signal.SIGCONT)

    def __enter__(self) -> CpuShare:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self._group is not None:
            _remove(self._group)


def _quota(share: float) -> Path | None:
    """A cgroup of that share, or None where none can be made."""
    group = CONTROLLER / f"vizinho-cold-start-{os.getpid()}-{share}"
    period = int(PERIOD_SECONDS * 1e6)
    try:
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text(str(period))
        (group / "cpu.cfs_quota_us").write_text(str(int(period * share)))
    except OSError:
        _remove(group)
        return None
    return group


def _remove(group: Path) -> None:
    for _ in range(100):  # a process that was killed leaves its group a little later
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return


def family(pid: int) -> list[int]:
    """``pid`` and all processes under it."""
    found = [pid]
    for one in found:
        for tasks in Path(f"/proc/{one}/task").glob("*/children"):
            try:
                found += [int(child) for child in tasks.read_text().split()]
            except OSError:
                continue
    return found


def _tell(pid: int, number: signal.Signals) -> None:
    for one in family(pid):
        try:
            os.kill(one, number)
        except ProcessLookupError:
            continue
