"""How long does a command take before it does anything? ``python benchmarks/startup.py``

Starts each command in a process of its own, again and again, and reads the clock around it. The
last line is JSON; times are in seconds, from ``exec`` to exit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import vizinho": ["-c", "import vizinho"],
    "vizinho --help": ["-m", "vizinho", "--help"],
    "vizinho search --help": ["-m", "vizinho", "search", "--help"],
}


def seconds(arguments: Sequence[str]) -> float:
    """Wall time of one run."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=20, help="runs of each command")
    n = parser.parse_args().n
    figures = {}
    for name, arguments in COMMANDS.items():
        seconds(arguments)  # the first run reads the files from disk; users meet it once
        times = sorted(seconds(arguments) for _ in range(n))
        figures[name] = {
            "p50_seconds": round(statistics.median(times), 4),
            "min_seconds": round(times[0], 4),
            "max_seconds": round(times[-1], 4),
        }
        print(f"{name:<24} p50 {figures[name]['p50_seconds']:.3f} s  (n={n})")
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    print(json.dumps({"benchmark": "startup", "n": n, "machine": machine, "figures": figures}))


if __name__ == "__main__":
    main()
