"""Counters and histograms for Prometheus, one registry for each app."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from vizinho.serve.work import WorkQueue

CONTENT_TYPE = CONTENT_TYPE_LATEST

# Seconds; dense where a search on one core lies (1 to 50 ms), sparse where only trouble lives.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """What a server counts.

    Routes are labelled by their template (``/images/{key}``), never by the address asked for, so
    that nobody can grow the registry from outside.
    """

    def __init__(self, queue: WorkQueue) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "vizinho_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "vizinho_request_seconds",
            "Time from a request's head to the last byte of its answer.",
            ("route",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.search_seconds = Histogram(
            "vizinho_search_seconds",
            "Time of a search alone: decode, embed, look up.",
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.images = Gauge("vizinho_images", "Pictures in the gallery.", registry=self.registry)
        inside = Gauge(
            "vizinho_queue_inside", "Searches running or waiting.", registry=self.registry
        )
        inside.set_function(lambda: queue.inside)
        limit = Gauge(
            "vizinho_queue_limit", "Searches that may run or wait.", registry=self.registry
        )
        limit.set(queue.limit)

    def text(self) -> bytes:
        """Everything in Prometheus's text format."""
        return generate_latest(self.registry)
