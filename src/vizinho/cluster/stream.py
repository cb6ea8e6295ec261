"""The part of a run that lives on the cluster: Ray Data does not work through Ray's client."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from vizinho.bundle import BundleInfo
from vizinho.cluster.worker import Work, embed_keys
from vizinho.sources import Tree

TASK = 256
"""Pictures in one task: a second or two of work, beside which Ray's own share is small."""


class Stream:
    """An actor that runs Ray Data over keys, and hands the results over block by block."""

    def __init__(
        self,
        tree: Tree,
        info: BundleInfo,
        network: bytes,
        versions: dict[str, str],
        task: int,
    ) -> None:
        import ray
        from ray.data import DataContext

        context = DataContext.get_current()
        context.enable_progress_bars = False
        # The first of several equal pictures is then the same one as in a run without a cluster.
        context.execution_options.preserve_order = True
        self._work = Work(tree, info, ray.put(network), versions)
        self._task = task
        self._blocks: Iterator[Any] = iter(())

    def begin(self, keys: Sequence[str]) -> None:
        """Start on these keys; what was under way is dropped."""
        import pyarrow as pa
        import ray.data

        tables = [
            pa.table({"key": pa.array(keys[start : start + self._task], pa.string())})
            for start in range(0, len(keys), self._task)
        ]
        embed: Any = embed_keys  # its types are pyarrow's, which have none
        data = ray.data.from_arrow(tables).map_batches(
            embed,
            batch_size=None,
            batch_format="pyarrow",
            fn_kwargs={"work": self._work},
            num_cpus=1,
        )
        self._blocks = iter(data.iter_batches(batch_size=None, batch_format="pyarrow"))

    def take(self) -> list[dict[str, Any]] | None:
        """The next results, in the order of the keys; None when all are done."""
        block = next(self._blocks, None)
        return None if block is None else block.to_pylist()
