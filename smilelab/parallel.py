"""Many tasks in parallel processes, here or on a cluster, of which one may die without taking the others along."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError
from joblib.parallel import get_active_backend

Result = TypeVar("Result")

# Torch's random state and number of threads belong to a process: workers with several threads take one task at a time.
_one_task_a_process = threading.RLock()


def each(
    function: Callable[..., Result],
    tasks: Sequence[tuple[Any, ...]],
    *,
    jobs: int | None = None,
    died: Callable[..., Result],
) -> Iterator[Result]:
    """Yield ``function(*task)`` for every task, in the order they finish.

    When a process dies (out of memory, a crash inside a library), nobody can tell which task it was. Those that are not
    finished then run again, each in a process of its own, and only the one that dies again is given up.

    Under ``joblib.parallel_config("dask")`` the tasks run on the workers of the current dask client, which should have
    one thread each and see the same files. Tasks of a worker that dies go to others; one that several workers died of
    is tried once more when the others are done.

    Parameters
    ----------
    function : callable
        Picklable; an exception it raises is raised here. A process runs one task at a time, whatever its threads.
    tasks : sequence of tuple
        Arguments of each call.
    jobs : int, optional
        Processes; all cores by default. With 1 everything runs in this process. On a cluster the most tasks at a time,
        by default as many as it takes.
    died : callable
        Called with the arguments of a task whose process died; its result takes the task's place.

    Yields
    ------
    object
        Results of ``function`` or ``died``.
    """
    backend, _ = get_active_backend()
    if (client := getattr(backend, "client", None)) is not None:
        yield from _on_cluster(client, function, tasks, jobs, died)
        return
    pending = dict(enumerate(tasks))
    parallel = joblib.Parallel(n_jobs=jobs or joblib.cpu_count(), return_as="generator_unordered")
    calls = [joblib.delayed(_numbered)(function, number, task) for number, task in pending.items()]
    try:
        for number, result in parallel(calls):
            del pending[number]
            yield result
    except TerminatedWorkerError:
        for task in pending.values():
            yield _alone(function, task, died)


def _numbered(function: Callable[..., Result], number: int, task: tuple[Any, ...]) -> tuple[int, Result]:
    return number, _call(function, task)


def _call(function: Callable[..., Result], task: tuple[Any, ...]) -> Result:
    with _one_task_a_process:
        return function(*task)


def _alone(function: Callable[..., Result], task: tuple[Any, ...], died: Callable[..., Result]) -> Result:
    try:
        return joblib.Parallel(n_jobs=2)([joblib.delayed(function)(*task)])[0]
    except TerminatedWorkerError:
        return died(*task)


def _on_cluster(
    client: Any,
    function: Callable[..., Result],
    tasks: Sequence[tuple[Any, ...]],
    jobs: int | None,
    died: Callable[..., Result],
) -> Iterator[Result]:
    # joblib's own way to dask waits for ever once dask gives a task up (joblib 1.6), so the tasks are submitted here.
    from distributed import KilledWorker

    suspects: list[tuple[Any, ...]] = []
    for task, outcome in _submitted(client, function, tasks, jobs):
        try:
            yield outcome()
        except KilledWorker:
            # Tasks that only waited on workers that another task killed are given up with it.
            suspects.append(task)
    for task, outcome in _submitted(client, function, suspects, 1):
        try:
            yield outcome()
        except KilledWorker:
            yield died(*task)


def _submitted(
    client: Any, function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]], jobs: int | None
) -> Iterator[tuple[tuple[Any, ...], Callable[[], Result]]]:
    """Each task as it ends, with what gives its result; at most `jobs` are in the cluster's hands at a time."""
    from distributed import as_completed

    waiting = iter(tasks)
    running: dict[Any, tuple[Any, ...]] = {}
    ended = as_completed([])

    def submit_next() -> None:
        for task in waiting:
            # A partial, because dask would look for its own tasks inside the arguments.
            future = client.submit(partial(_call, function, task), pure=False)
            running[future] = task
            ended.add(future)
            return

    try:
        for _ in range(jobs or len(tasks)):
            submit_next()
        for future in ended:
            yield running.pop(future), future.result
            submit_next()
    finally:
        client.cancel(list(running))
