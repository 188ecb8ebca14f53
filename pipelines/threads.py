"""Threads that hand results on in the order of the work, with little of it under way: memory does not grow."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class OrderedPool(Generic[_Result]):
    """A pool of threads whose results come oldest first.

    Args:
        threads: Number of threads.
    """

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads)
        self._pending: collections.deque[Future[_Result]] = collections.deque()

    def submit(self, function: Callable[..., _Result], item: Any) -> None:
        """Hands in one piece of work."""
        self._pending.append(self._executor.submit(function, item))

    def results(self, allowed: int) -> Iterator[_Result]:
        """The finished results at the head of the queue, waiting for them while more than `allowed` are under way."""
        while self._pending and (len(self._pending) > allowed or self._pending[0].done()):
            yield self._pending.popleft().result()

    def close(self) -> None:
        """Waits for what is in work, and drops what has not been begun."""
        self._executor.shutdown(cancel_futures=True)


def ordered_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int, ahead: int = 2
) -> Iterator[_Result]:
    """Maps with a pool of threads, results in order; fewer than `ahead` items for each thread are under way."""
    pool: OrderedPool[_Result] = OrderedPool(threads)
    try:
        for item in items:
            pool.submit(function, item)
            yield from pool.results(ahead * threads - 1)
        yield from pool.results(0)
    finally:
        pool.close()
