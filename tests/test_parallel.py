import faulthandler
from concurrent.futures import ThreadPoolExecutor

import joblib
import pytest
from dying_tasks import alone, gave_up, square

from smilelab import parallel


def test_only_the_task_whose_process_dies_is_given_up():
    results = list(parallel.each(square, [(n,) for n in range(10)], jobs=2, died=gave_up))
    expected = [n**2 for n in range(10) if n != 7] + ["7 died"]
    assert sorted(results, key=str) == sorted(expected, key=str)


def test_every_task_is_done_once_in_whatever_order():
    assert sorted(parallel.each(square, [(n,) for n in range(6)], jobs=2, died=gave_up)) == [0, 1, 4, 9, 16, 25]
    assert list(parallel.each(square, [(3,)], jobs=1, died=gave_up)) == [9]
    assert list(parallel.each(square, [], jobs=2, died=gave_up)) == []


def test_an_exception_is_the_callers():
    with pytest.raises(ValueError, match="negative"):
        list(parallel.each(square, [(-1,)], jobs=2, died=gave_up))


def test_threads_of_a_process_take_one_task_at_a_time():
    with ThreadPoolExecutor(4) as pool:
        assert not all(free for free, _ in pool.map(alone, range(4)))
    with joblib.parallel_config("threading"):
        results = list(parallel.each(alone, [(n,) for n in range(4)], jobs=4, died=gave_up))
    assert all(free for free, _ in results)


@pytest.fixture
def patience():
    """A cluster that hangs ends the test run with every thread's place rather than holding it for ever."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def test_on_a_cluster_too_only_the_task_whose_worker_dies_is_given_up(patience):
    pytest.importorskip("distributed")
    from local_cluster import local_cluster

    with local_cluster(deaths=1) as client:
        everything = list(parallel.each(square, [(n,) for n in range(10)], died=gave_up))
        few = list(parallel.each(square, [(n,) for n in range(6)], jobs=1, died=gave_up))
        assert list(parallel.each(square, [], died=gave_up)) == []
        with pytest.raises(ValueError, match="negative"):
            list(parallel.each(square, [(2,), (-1,)], died=gave_up))
        client.wait_for_workers(2, timeout=60)
        processes = {pid for _, pid in parallel.each(alone, [(n,) for n in range(20)], died=gave_up)}
    expected = [n**2 for n in range(10) if n != 7] + ["7 died"]
    assert sorted(everything, key=str) == sorted(expected, key=str)
    assert sorted(few) == [0, 1, 4, 9, 16, 25]
    assert len(processes) == 2
