"""Thread pools that return results in the order of the work. Little work is in flight, so memory does not grow."""

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class OrderedPool(Generic[_Result]):
    """A pool of threads that returns the oldest results first.

    Args:
        threads: Number of threads.
    """

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads)
        self._pending: collections.deque[Future[_Result]] = collections.deque()

    def submit(self, function: Callable[..., _Result], item: Any) -> None:
        """Submits one piece of work."""
        self._pending.append(self._executor.submit(function, item))

    def results(self, allowed: int) -> Iterator[_Result]:
        """The finished results at the head of the queue. Waits while more than `allowed` pieces are in flight."""
        while self._pending and (len(self._pending) > allowed or self._pending[0].done()):
            yield self._pending.popleft().result()

    def close(self) -> None:
        """Waits for work in flight, and drops work that has not begun."""
        self._executor.shutdown(cancel_futures=True)


def ordered_map(
    function: Callable[[_Item], _Result], items: Iterable[_Item], threads: int, ahead: int = 2
) -> Iterator[_Result]:
    """Maps a function over items in threads. Results are in order. Each thread has at most `ahead` items in flight."""
    pool: OrderedPool[_Result] = OrderedPool(threads)
    try:
        for item in items:
            pool.submit(function, item)
            yield from pool.results(ahead * threads - 1)
        yield from pool.results(0)
    finally:
        pool.close()
