"""A bounded pool of threads with a bounded queue in front of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from vizinho.contract.errors import RETRY_SECONDS, ApiError

P = ParamSpec("P")
T = TypeVar("T")


class WorkQueue:
    """Run blocking calls away from the event loop, and refuse what would only pile up.

    ``workers`` calls run at a time, ``waiting`` more may wait; the next is refused at once with
    503, because an answer that comes after the client has gone is work for nothing.
    """

    def __init__(self, name: str, *, workers: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=f"vizinho-{name}")
        self._lock = threading.Lock()
        self._inside = 0
        self.workers = workers
        self.limit = workers + waiting

    @property
    def inside(self) -> int:
        """Calls running or waiting now."""
        return self._inside

    def refuse_if_full(self) -> None:
        """Raise the 503 that :meth:`run` would raise, before a body is read for nothing."""
        if self._inside >= self.limit:
            raise ApiError(
                503,
                "queue_full",
                "The server has more searches waiting than it can answer soon.",
                "Try again in a moment.",
                {"Retry-After": str(RETRY_SECONDS)},
            )

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await ``call(*args, **kwargs)`` from a worker thread.

        Raises:
            ApiError: 503, when the queue is full.
        """
        self.refuse_if_full()
        with self._lock:
            self._inside += 1
        future = self._pool.submit(call, *args, **kwargs)
        # Counted until the thread is done, not until the client gives up: a request that was
        # cancelled still occupies its worker.
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def _leave(self, _: Future[T]) -> None:
        with self._lock:
            self._inside -= 1

    def close(self) -> None:
        """Drop what waits, and return when what runs has ended."""
        self._pool.shutdown(wait=True, cancel_futures=True)
