"""Results come oldest first, with little work under way."""

import threading
from collections.abc import Iterator

import pytest

from pipelines.threads import OrderedPool, ordered_map


def test_results_come_in_order_however_long_they_take() -> None:
    release = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert release.wait(10)
        elif item == 3:
            release.set()
        return item * item

    assert list(ordered_map(work, range(20), threads=4)) == [item * item for item in range(20)]


def test_few_items_are_taken_before_a_result_is_asked_for() -> None:
    taken = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = ordered_map(lambda item: item, items(), threads=2, ahead=3)
    for index in range(5):
        assert next(results) == index
        assert len(taken) <= index + 6


def test_an_error_comes_where_the_result_would_and_the_rest_is_dropped() -> None:
    done = []

    def work(item: int) -> int:
        if item == 2:
            raise ValueError("two")
        done.append(item)
        return item

    results = ordered_map(work, range(1000), threads=1)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        list(results)
    assert len(done) < 10


def test_a_pool_keeps_no_more_waiting_than_allowed() -> None:
    pool: OrderedPool[int] = OrderedPool(1)
    hold = threading.Event()
    pool.submit(lambda item: item, 1)
    pool.submit(lambda item: (hold.wait(10), item)[1], 2)
    assert list(pool.results(1)) == [1]
    hold.set()
    assert list(pool.results(0)) == [2]
    pool.close()
