import pytest
from dying_tasks import gave_up, square

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
