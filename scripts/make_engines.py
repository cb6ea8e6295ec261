"""Puts what `benchmarks/engines.py` measured into ``docs/engines.md``, as tables and a picture.

``python scripts/make_engines.py RUN.log`` takes the last line of a run (JSON) into
``docs/engines/measured.json``, part by part: what was not measured this time stays. Without a log
the page is made anew from what is there.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from engines_billion import BILLION, billion, billion_table, table

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "engines.md"
MEASURED = ROOT / "docs" / "engines" / "measured.json"
PICTURE = ROOT / "docs" / "engines" / "growth.png"
PLACE = re.compile(
    r"(<!-- tables: made by scripts/make_engines.py -->\n).*(<!-- end of tables -->)", re.S
)
NAMES = {
    "vizinho": "**Vizinho**",
    "scikit-learn": "scikit-learn, brute force",
    "faiss-flat": "FAISS, flat",
    "hnswlib": "hnswlib",
    "usearch": "usearch",
}
SHAPES = {"clusters": "like our embeddings", "uniform": "uniform"}

Part = dict[str, Any]


def key_of(one: Part) -> str:
    """Of a part: what was measured, not what came out."""
    return f"{one['engine']}-{one['shape']}-{one['vectors']}x{one['width']}"


def take(log: Path) -> None:
    """Merge the last line of a run into what was measured."""
    run = json.loads(log.read_text().strip().splitlines()[-1])
    known = json.loads(MEASURED.read_text()) if MEASURED.exists() else {"parts": {}}
    known["machine"] = run["machine"]
    known["parts"] |= {key_of(one): one for one in run["results"]}
    MEASURED.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


def ms(value: float) -> str:
    return f"{value:.3f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def searches(parts: list[Part]) -> str:
    """One table: all engines over the same vectors."""
    rows = [
        [
            NAMES[one["engine"]] + (f", {one['how']['index']}" if "how" in one else ""),
            f"{one['build_cpu_s']:,.1f}",
            ms(one["p50_ms"]),
            ms(one["p99_ms"]),
            f"{one['queries_per_s']:,.0f}",
            f"{one['recall']:.4f}",
            f"{one['memory_mb']:,.0f}",
            f"{one['disk_mb']:,.0f}" if "disk_mb" in one else "",
        ]
        for one in parts
    ]
    head = ["", "build, CPU s", "p50, ms", "p99, ms", "queries/s at once", "recall@10"]
    return table([*head, "memory, MB", "disk, MB"], rows)


def ours(parts: list[Part]) -> str:
    """What is particular to the embedded engine."""
    rows = [
        [
            f"{one['vectors']:,} x {one['width']}, {SHAPES[one['shape']]}",
            f"{one['open_ms']:.1f}, {one['import_ms'] + one['open_ms'] + one['first_ms']:,.0f}",
            f"{one['batch_adds_per_s']:,.0f}, {one['single_adds_per_s']:,.0f}",
            f"{one['removes_per_s']:,.0f}",
            f"{one['seen_ms']:.2f}",
            f"{one['bare_faiss_cpu_p50_ms']:.3f}",
            f"{one['overhead_neighbours']:+.0%}, {one['overhead_whole']:+.0%}",
        ]
        for one in parts
    ]
    head = ["", "open; with Python and a first answer, ms", "adds/s by 256, singly", "removes/s"]
    head += [
        "search after another's add, ms",
        "FAISS alone, CPU ms",
        "overhead: nearest, with rows",
    ]
    return table(head, rows)


def goals(parts: dict[str, Part]) -> str:
    """The goals, met or not."""
    mine = parts.get("vizinho-clusters-1000000x64")
    thesis = parts.get("scikit-learn-clusters-1000000x64")
    if mine is None or thesis is None:
        return "The million was not measured yet.\n"
    times = thesis["p50_ms"] / mine["p50_ms"]
    rows = [
        ["p50 at recall@10 of at least 0.99", "under 0.3 ms", f"{mine['p50_ms']:.3f} ms"],
        ["recall@10, on new queries", "at least 0.99", f"{mine['recall']:.4f}"],
        ["open a million", "under 0.5 s", f"{mine['open_ms'] / 1000:.3f} s"],
        [
            "open and give a first answer",
            "",
            f"{(mine['open_ms'] + mine['first_ms']) / 1000:.3f} s",
        ],
        ["against scikit-learn", "200 times", f"{times:,.0f} times"],
        ["overhead, nearest neighbours", "under 20 %", f"{mine['overhead_neighbours']:.1%}"],
        ["overhead, rows looked up too", "under 20 %", f"{mine['overhead_whole']:.1%}"],
    ]
    return table(["1,000,000 x 64, like our embeddings", "goal", "measured"], rows)


def page() -> str:
    """What stands between the page's markers."""
    known = json.loads(MEASURED.read_text())
    parts: dict[str, Part] = known["parts"]
    machine = known["machine"]
    versions = ", ".join(
        f"{name} {machine['versions'][name]}" for name in ("faiss-cpu", "scikit-learn", "numpy")
    )
    loads = [one["load"] for one in parts.values()]
    text = [
        f"{machine['processor']}, one core of {machine['cores']}, {versions}; load average of all "
        f"cores while measuring {min(loads):.1f} to {max(loads):.1f}.\n",
        "### Goals\n",
        goals(parts),
        "### Searching\n",
    ]
    order = sorted(
        parts.values(),
        key=lambda one: (
            one["width"],
            one["shape"],
            one["vectors"],
            list(NAMES).index(one["engine"]),
        ),
    )
    for group in dict.fromkeys((one["vectors"], one["width"], one["shape"]) for one in order):
        some = [one for one in order if (one["vectors"], one["width"], one["shape"]) == group]
        text += [f"{group[0]:,} x {group[1]}, {SHAPES[group[2]]}:\n", searches(some)]
    mine = [one for one in order if one["engine"] == "vizinho"]
    text += ["### Opening and changing\n", ours(mine)]
    text += ["### A billion\n", billion_table(parts)]
    return "\n".join(text)


def draw() -> None:
    """How each cost grows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    measured = json.loads(MEASURED.read_text())["parts"]
    parts = list(measured.values())
    costs = {
        "p50_ms": "one query, ms (beyond a million: of each machine)",
        "build_cpu_s": "filling and building, s of processor time",
        "memory_mb": "memory, MB",
        "disk_mb": "disk, MB",
    }
    far = {
        name: {
            "p50_ms": told["query_ms"],
            "build_cpu_s": told["hours"] * 3600,
            "memory_mb": told["memory_gb"] * 1000,
            "disk_mb": told["disk_gb"] * 1000,
        }
        for name, told in billion(measured).items()
    }
    figure, axes = plt.subplots(2, 2, figsize=(9, 8.5), dpi=110, layout="constrained")
    for axis, (cost, title) in zip(axes.flat, costs.items(), strict=True):
        for name in NAMES:
            for shape, style in (("clusters", "-"), ("uniform", "--")):
                line = sorted(
                    (one["vectors"], one[cost])
                    for one in parts
                    if (one["engine"], one["shape"], one["width"]) == (name, shape, 64)
                    and cost in one
                )
                if line:
                    axis.loglog(
                        *zip(*line, strict=True),
                        style,
                        marker="o",
                        color=f"C{list(NAMES).index(name)}",
                        label=f"{NAMES[name].strip('*')}, {shape}",
                    )
        mine = measured.get("vizinho-clusters-1000000x64")
        for (name, told), marker in zip(far.items(), "*D", strict=False):
            axis.loglog(
                [mine["vectors"], BILLION],
                [mine[cost], told[cost]],
                ":",
                marker=marker,
                markevery=[1],
                markerfacecolor="none",
                color="0.4",
                label=f"{name}, extrapolated ({told_nodes(measured, name)} machines)",
            )
        axis.set(xlabel="vectors of 64 numbers", title=title)
        axis.grid(alpha=0.3)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, ncols=3, loc="outside lower center")
    figure.savefig(PICTURE, metadata={"Software": None})


def told_nodes(measured: dict[str, Part], name: str) -> str:
    return f"{billion(measured)[name]['nodes']:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log", nargs="?", type=Path)
    given = parser.parse_args()
    if given.log:
        take(given.log)
    text, count = PLACE.subn(lambda found: found[1] + page() + found[2], PAGE.read_text())
    if count != 1:
        raise SystemExit(f"{PAGE} has lost its markers")
    PAGE.write_text(text)
    draw()


if __name__ == "__main__":
    main()
