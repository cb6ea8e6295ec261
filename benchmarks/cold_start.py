"""How long until a function that has to start answers? ``python benchmarks/cold_start.py``

Both functions run in AWS's Runtime Interface Emulator under awslambdaric, on one core, a start of
the one after a start of the other:

- **vizinho**: the very zip that `vizinho deploy aws` uploads, unpacked, with nothing else to import
  from; CIFAR-10's 10,000 test images packed inside it;
- **the thesis's stack** (``thesis_function.py``): eager torch with the same weights, scikit-learn's
  brute force over the same vectors, and PIL.

Each at the share of a core that Lambda gives 512, 1,024 and 1,769 MB. The time is from the start of
the process to the first answer; then some warm answers follow. ``--not-compiled`` adds a third
side: ours without the bytecode in the package.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
import zipfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import common
from cpu_share import CpuShare, family

sys.path.insert(0, str(common.ROOT / "tests"))

# Lambda gives one core at 1,769 MB, and less in proportion.
SHARES = {512: 0.29, 1024: 0.58, 1769: 1.0}
CHECKPOINT = common.ROOT / "models" / "cifar10-fastnet.run" / "checkpoint.pt"


@dataclass(frozen=True)
class Side:
    """One of the functions to compare."""

    name: str
    folder: Path
    handler: str
    environment: dict[str, str] = field(default_factory=dict)
    isolated: bool = False


def prepare(folder: Path, options: argparse.Namespace) -> tuple[list[Side], dict[str, Any]]:
    """Both functions in folders of their own, and what ours is made of."""
    from vizinho.aws.package import Target, build_zip
    from vizinho.bundle import default_bundle
    from vizinho.gallery import Gallery
    from vizinho.gallery.pack import pack
    from vizinho.settings import load

    checkpoint = options.checkpoint if options.checkpoint.is_file() else None
    subject = common.bundle_subject(default_bundle(), checkpoint, folder)
    packed = folder / "packed.vizinho"
    with Gallery.create(folder / "all.vizinho", model=subject.bundle) as gallery:
        gallery.add_dataset(common.test_images(options.images))
        rows = gallery.items(limit=options.images)
        vectors = gallery.vectors([row.key for row in rows])
        info = pack(gallery, packed, lambda row: f"s3://pictures/images/{row.hash}.png")
    theirs = folder / "thesis"
    theirs.mkdir()
    shutil.copyfile(common.ROOT / "benchmarks" / "thesis_function.py", theirs / "function.py")
    shutil.copyfile(subject.state, theirs / "weights.pt")
    np.save(theirs / "vectors.npy", vectors)
    (theirs / "urls.json").write_text(json.dumps([f"https://x/{row.key}" for row in rows]))
    about = {"benchmarks": str(common.ROOT / "benchmarks"), "recipe": subject.recipe}
    (theirs / "about.json").write_text(json.dumps(about))
    # The emulator runs this Python against this machine's C library, not Lambda's.
    os.environ.setdefault("VIZINHO_GLIBC", platform.libc_ver()[1])
    target = Target(f"{sys.version_info.major}.{sys.version_info.minor}", _architecture())
    package = build_zip(packed, target, options.cache or load().cache_dir)
    ours = folder / "ours"
    with zipfile.ZipFile(package.path) as archive:
        archive.extractall(ours)
    told = {"VIZINHO_GALLERY": "gallery.vizinho", "VIZINHO_LINKS": "public"}
    sides = [
        Side("ours", ours, "vizinho.aws.handler.handler", told, isolated=True),
        Side("thesis", theirs, "function.handler"),
    ]
    if options.not_compiled:
        plain = folder / "plain"
        shutil.copytree(ours, plain, ignore=shutil.ignore_patterns("__pycache__"))
        sides.append(Side("not_compiled", plain, sides[0].handler, told, isolated=True))
    return sides, {
        "images": info.images,
        "gallery_mb": round(info.bytes / 1e6, 1),
        "zipped_mb": round(package.zipped_bytes / 1e6, 1),
        "unzipped_mb": round(package.unzipped_bytes / 1e6, 1),
        "weights": subject.weights,
    }


def _architecture() -> Any:
    return "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"


def start(side: Side, memory: int, core: int, event: dict[str, Any], warm: int) -> dict[str, Any]:
    """One start: seconds to the first answer, milliseconds of the warm ones, peak memory."""
    from rie import Function

    with ExitStack() as stack:
        share = stack.enter_context(CpuShare(SHARES[memory], core))
        began = time.perf_counter()
        function = stack.enter_context(
            Function(
                side.folder,
                environment=side.environment,
                handler=side.handler,
                isolated=side.isolated,
                memory=memory,
                timeout=300,
                prefix=share.prefix,
            )
        )
        share.watch(function.process.pid)
        answer = function.invoke(event)
        first = time.perf_counter() - began
        results = json.loads(answer["body"])["results"] if "body" in answer else {}
        assert len(results) == 10, f"{side.name}: {answer}\n{function.log}"
        times = []
        for _ in range(warm):
            began = time.perf_counter()
            function.invoke(event)
            times.append((time.perf_counter() - began) * 1000)
        peak = max(_peak_mib(pid) for pid in family(function.process.pid)[1:])
    return {"first_s": first, "warm_ms": statistics.median(times), "peak_mib": peak}


def _peak_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def dollars(memory: int, first_s: float, warm_ms: float) -> float:
    """What a million queries cost at Lambda, one in a hundred of them a start."""
    from vizinho.aws.costs import estimate, load_prices

    bill = estimate(
        load_prices(),
        memory_mb=memory,
        seconds_warm=warm_ms / 1000,
        seconds_cold=first_s,
        cold_share=0.01,
    )
    return sum(
        line.per_query * line.price * 1e6 for line in bill.lines if line.name.startswith("Lambda")
    )


def summary(memory: int, starts: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Medians of each side, and of the rounds' own ratios."""
    figures: dict[str, Any] = {"memory_mb": memory, "cpu_share": SHARES[memory]}
    for name, rounds in starts.items():
        for key in ("first_s", "warm_ms", "peak_mib"):
            middle = statistics.median(one[key] for one in rounds)
            figures[f"{name}_{key}"] = round(middle, 0 if key == "peak_mib" else 3)
        cost = dollars(memory, figures[f"{name}_first_s"], figures[f"{name}_warm_ms"])
        figures[f"{name}_usd_per_million"] = round(cost, 3)
    for key, label in (("first_s", "first"), ("warm_ms", "warm")):
        pairs = zip(starts["ours"], starts["thesis"], strict=True)
        ratios = [theirs[key] / ours[key] for ours, theirs in pairs]
        figures[f"{label}_times_faster"] = round(statistics.median(ratios), 2)
        figures[f"{label}_times_faster_min"] = round(min(ratios), 2)
        figures[f"{label}_times_faster_max"] = round(max(ratios), 2)
    return figures


def show(figures: dict[str, Any], names: list[str]) -> None:
    """One memory size for a reader."""
    print(f"\n{figures['memory_mb']} MB, {figures['cpu_share']} of a core")
    for name in names:
        print(
            f"  {name:<13} first {figures[f'{name}_first_s']:7.3f} s   "
            f"warm {figures[f'{name}_warm_ms']:7.1f} ms   "
            f"peak {figures[f'{name}_peak_mib']:5.0f} MiB   "
            f"{figures[f'{name}_usd_per_million']:6.2f} dollars a million"
        )
    print(
        f"  first answer {figures['first_times_faster']} times faster "
        f"({figures['first_times_faster_min']} to {figures['first_times_faster_max']}), "
        f"warm {figures['warm_times_faster']}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", "--rounds", type=int, default=5)
    parser.add_argument("--warm", type=int, default=10, help="warm answers after each start")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--cache", type=Path, help="where packages are kept between runs")
    parser.add_argument("--memory", type=int, action="append", choices=list(SHARES))
    parser.add_argument("--not-compiled", action="store_true")
    parser.add_argument("--quick", action="store_true", help="one round of few images")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.images, options.warm = 1, 200, 2
    core = max(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="vizinho-cold-") as name:
        folder = Path(name)
        sides, about = prepare(folder, options)
        picture = common.as_jpeg(common.test_images(1).read(0))
        event = {
            "version": "2.0",
            "rawPath": "/",
            "rawQueryString": "",
            "headers": {"content-type": "text/plain"},
            "requestContext": {"http": {"method": "POST", "path": "/"}, "stage": "$default"},
            "body": base64.b64encode(picture).decode(),
            "isBase64Encoded": False,
        }
        results = []
        for side in sides:
            start(side, 1769, core, event, 1)  # once for the disk's cache
        for memory in options.memory or SHARES:
            starts: dict[str, list[dict[str, Any]]] = {side.name: [] for side in sides}
            for _ in range(options.rounds):
                for side in sides:
                    starts[side.name].append(start(side, memory, core, event, options.warm))
            results.append(summary(memory, starts))
            show(results[-1], [side.name for side in sides])
        with CpuShare(0.5, core) as share:
            how = share.how
    figures = {"rounds": options.rounds, "warm": options.warm, "shares_by": how, **about}
    common.last_line("cold-start", core=core, **figures, by_memory=results)


if __name__ == "__main__":
    main()
