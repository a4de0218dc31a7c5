"""Many tasks in parallel processes, of which one may die without taking the others along."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

Result = TypeVar("Result")


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

    Parameters
    ----------
    function : callable
        Picklable; an exception it raises is raised here.
    tasks : sequence of tuple
        Arguments of each call.
    jobs : int, optional
        Processes; all cores by default. With 1 everything runs in this process.
    died : callable
        Called with the arguments of a task whose process died; its result takes the task's place.

    Yields
    ------
    object
        Results of ``function`` or ``died``.
    """
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
    return number, function(*task)


def _alone(function: Callable[..., Result], task: tuple[Any, ...], died: Callable[..., Result]) -> Result:
    try:
        return joblib.Parallel(n_jobs=2)([joblib.delayed(function)(*task)])[0]
    except TerminatedWorkerError:
        return died(*task)
