"""What a billion vectors would take, worked out from what `benchmarks/engines.py` measured."""

from __future__ import annotations

from typing import Any

NODE_GB = 64
BILLION = 10**9
# What docs/distributed.md says of Milvus: bytes of a row beside its vector, memory for what grows
# and is compacted, processor time of an empty search, rows a second that one writer gets in. And
# the share of a segment that is compared: `vizinho.engines.milvus_schema.search_options`.
MILVUS_ROW_BYTES, MILVUS_MARGIN, MILVUS_ITSELF_MS, MILVUS_ROWS_PER_S = 400, 1.3, 13.3, 6900
MILVUS_PROBED = 64 / 1024

Part = dict[str, Any]


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def billion(parts: dict[str, Part]) -> dict[str, dict[str, float]]:
    """What 10^9 x 64 would take, from what was measured at a million: on machines that each hold a
    share in lists like ours, and in Milvus as our engine sets it up. Nothing where it was not.

    ``memory_gb`` and ``disk_gb``, ``hours`` (to fill and build) are of all machines together,
    ``query_ms`` is the processor time of one of them.
    """
    one = parts.get("vizinho-clusters-1000000x64")
    flat = parts.get("faiss-flat-clusters-1000000x64")
    if one is None or flat is None or one["how"]["index"] != "ivf":
        return {}
    count, width = one["vectors"], one["width"]
    codes = BILLION * (width + 8) / 1e9
    nodes = -(-codes // (NODE_GB / 2))
    adding = 1 / one["adds_per_s"] + one["how"]["seconds"] / count
    ours = {
        "nodes": nodes,
        "memory_gb": codes,
        "disk_gb": one["disk_mb"] / 1000 * BILLION / count,
        "query_ms": one["bare_faiss_cpu_p50_ms"] * (BILLION / nodes / count) ** 0.5,
        "hours": BILLION * adding / 3600,
    }
    memory = (BILLION * (4 * width + 8 + MILVUS_ROW_BYTES) / 1e9) * MILVUS_MARGIN
    nodes = -(-memory // NODE_GB)
    seen = BILLION * MILVUS_PROBED
    theirs = {
        "nodes": nodes,
        "memory_gb": memory,
        "disk_gb": 2 * memory / MILVUS_MARGIN,
        "query_ms": MILVUS_ITSELF_MS + flat["cpu_p50_ms"] * seen / count / nodes,
        "hours": BILLION / MILVUS_ROWS_PER_S / 3600,
    }
    return {"lists like ours": ours, "Milvus": theirs}


def billion_table(parts: dict[str, Part]) -> str:
    """The extrapolation in words."""
    if not (told := billion(parts)):
        return "The million was not measured yet.\n"
    ours, theirs = told["lists like ours"], told["Milvus"]

    def row(what: str, key: str, shape: str, because: str) -> list[str]:
        return [what, shape.format(ours[key]), shape.format(theirs[key]), because]

    embedding = f"{BILLION / 400 / 3600:,.0f} core hours"
    rows = [
        row(
            "memory, all machines",
            "memory_gb",
            "{:,.0f} GB",
            "8-bit codes and ids, vectors on disk; `IVF_FLAT` and rows of 400 bytes, times 1.3",
        ),
        row(f"machines of {NODE_GB} GB", "nodes", "{:,.0f}", "half of each for codes; all of it"),
        row("disk, all machines", "disk_gb", "{:,.0f} GB", "a thousand times a million's; twice"),
        row(
            "a query, processor time of each",
            "query_ms",
            "{:,.1f} ms",
            "grows with the root of a machine's share; 64 of 1,024 cells of each segment are "
            "compared, which grows with the share",
        ),
        row(
            "filling",
            "hours",
            "{:,.0f} hours",
            "of one core, with the lists; of one writer, without the index",
        ),
        ["embedding, at 400 a core and second", embedding, embedding, ""],
    ]
    head = ["10^9 x 64, extrapolated, not measured", *told, "because: ours; Milvus"]
    return table(head, rows)
