"""Where a gallery lives in the cloud, decided by its size; measured: `benchmarks/README.md`."""

from __future__ import annotations

BUNDLED_BYTES = 100 * 1024 * 1024
"""A packed gallery of up to this many bytes, its model included, travels inside the function.

Bundling is faster at every size measured, so what limits it is the package: Lambda allows 250 MiB
unpacked, about 110 MiB of which are libraries, and the rest leaves room for them to grow. Beyond it
the function fetches the gallery from S3 when it starts.
"""

SNAPSTART_DISK_BYTES = 512 * 1024 * 1024
"""The disk (/tmp) of a function with SnapStart, which a fetched gallery has to fit."""
