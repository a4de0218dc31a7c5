"""A dask cluster on this machine for tests: worker processes of one thread each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import dask
import joblib
from distributed import Client, LocalCluster


@contextmanager
def local_cluster(workers: int = 2, *, deaths: int = 3, **options) -> Iterator[Client]:
    """The client of a cluster that joblib uses inside the block; `deaths` of its workers a task survives, no more."""
    settings = {"distributed.scheduler.allowed-failures": deaths, "distributed.comm.timeouts.connect": "20s"}
    with (
        dask.config.set(settings),
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, **options) as cluster,
        Client(cluster) as client,
        joblib.parallel_config("dask"),
    ):
        yield client
