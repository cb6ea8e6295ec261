"""Makes every skipped test a failed one: for machines where everything is there.

``PYTHONPATH=tests python -m pytest -p plugins_noskip``, as ``.ci/run`` does. A test that skips
itself for want of a browser, of torch or of CIFAR-10 would else go unseen where it must run.

Two kinds may be skipped, and are named in the summary with their reason: tests marked ``podman``,
which need a base image out of a registry of images, and those marked ``mounts``, which need the
right to mount a disk. Such a machine need not have either.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

Report = pytest.TestReport | pytest.CollectReport
_MAY_BE_SKIPPED = ("podman", "mounts")


def fail_if_skipped(report: Report) -> None:
    """Turns a report of a skip into one of a failure that gives the skip's reason.

    An expected failure (xfail) is reported as skipped too, and stays what it is.
    """
    if report.outcome != "skipped" or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    report.outcome = "failed"
    report.longrepr = f"Nothing may be skipped here, but: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not any(item.get_closest_marker(mark) for mark in _MAY_BE_SKIPPED):
        fail_if_skipped(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_if_skipped(report)
    return report
