"""Memory: how much there is, and a budget that photos draw on, so that a large one waits for others to finish."""

import collections
import contextlib
import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

BASE = 350 * 2**20
"""Bytes that a process of a job takes before its first photo: Beam, numba, the model."""

BYTES_PER_PIXEL = 24
"""What a photo of 8 bits takes at most while it is decoded, brightened and encoded, for each of its pixels.

A JPEG or PNG of 100 megapixels takes 10 to 13, one of 16 bits twice as much; decoders of other formats are not bounded.
"""

LEAST_BYTES_PER_PIXEL = 12
"""What it takes at least: the decoded image, its values before and after."""

_LEAST = 256 * 2**20  # of a budget, however small the machine
_SLACK = 512 * 2**20  # of address space, for stacks and arenas of threads
_POLL_SECONDS = 0.2
_NO_LIMIT = 2**60  # what control groups say where there is none


_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # of mallopt, as malloc.h numbers them


def keep_freed() -> None:
    """Has this process keep what photos leave for the next ones, best called before there are other threads.

    Otherwise every large array is fresh memory, which the system clears a page at a time: a third of a photo's time.
    Only glibc can do that; elsewhere nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_ARENA_MAX, 1)):
            mallopt(parameter, value)


def give_back() -> None:
    """Returns to the system what photos have left; for a large one, in whose place no other fits as well."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


class CancelledError(Exception):
    """The job ends before the memory asked for was free."""


def available(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may use: those of the machine, or of the container where that has less.

    Args:
        root: Where `proc` and `sys` are.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if root == Path("/") else []
    with contextlib.suppress(OSError):
        fields = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text().splitlines())
        limits.append(1024 * int(fields["MemTotal"].split()[0]))
    for path in _group_limits(root):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(path.read_text()))
    return min((limit for limit in limits if limit < _NO_LIMIT), default=sys.maxsize)


def _group_limits(root: Path) -> Iterator[Path]:
    """The files in which the control groups of this process, of either version, say how much memory they have."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers in ("", "memory"):
            folder = root / "sys/fs/cgroup" / controllers
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            # a container sees its own group as the root of the tree
            for parent in (Path(group), *Path(group).parents):
                yield folder / parent.relative_to("/") / name


@functools.cache
def budget(max_memory: int | None) -> "Budget":
    """The budget of this process for photos in work.

    Args:
        max_memory: What the process may take in all, in bytes; None for what the machine or container has.
    """
    return Budget(max(_LEAST, (max_memory or available()) - BASE))


class Budget:
    """Bytes that photos in work draw on, each in its turn.

    Turns are in the order of `queue`, so that whoever waits does so only for those before it, which have all they
    need; nobody waits for ever. One that needs more than there is waits until it is alone, and then it may have no
    more than there is: asking the system for more raises MemoryError, where the system can do that.

    Args:
        total: Bytes.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._changed = threading.Condition()
        self._used = 0
        self._waiting: collections.OrderedDict[int, None] = collections.OrderedDict()
        self._last = 0

    def queue(self, cancelled: Callable[[], bool] = lambda: False) -> "Share":
        """A place at the end of the queue.

        Args:
            cancelled: Whether whoever waits in it has to give up.
        """
        with self._changed:
            self._last += 1
            self._waiting[self._last] = None
            return Share(self, self._last, cancelled)


class Share:
    """What one photo draws; given back by `release`, at the latest when nobody holds the share any more."""

    def __init__(self, budget: Budget, number: int, cancelled: Callable[[], bool]) -> None:
        self.budget = budget
        self._number = number
        self._cancelled = cancelled
        self._amount = 0
        self._limit: AddressLimit | None = None

    def take(self, amount: int, more: bool = False) -> None:
        """Waits for its turn and for so many bytes to be free, and draws them; then it is the turn of the next.

        Args:
            amount: Bytes.
            more: Keep the turn, for there is more to draw.

        Raises:
            CancelledError: It had to give up.
        """
        budget = self.budget
        with budget._changed:
            while self._is_early() or (budget._used > self._amount and budget._used + amount > budget.total):
                budget._changed.wait(_POLL_SECONDS)
                if self._cancelled():
                    raise CancelledError
            budget._used += amount
            self._amount += amount
            if not more:
                budget._waiting.pop(self._number, None)
                budget._changed.notify_all()
            if self._amount >= budget.total and self._limit is None:
                self._limit = AddressLimit(budget.total)

    def release(self) -> None:
        """Gives back what was drawn, and the place in the queue."""
        with self.budget._changed:
            if self._limit is not None:
                self._limit.lift()
                self._limit = None
            self.budget._waiting.pop(self._number, None)
            self.budget._used -= self._amount
            self._amount = 0
            self.budget._changed.notify_all()

    def _is_early(self) -> bool:
        waiting = self.budget._waiting
        return self._number in waiting and next(iter(waiting)) != self._number

    def __del__(self) -> None:
        self.release()


class AddressLimit:
    """Holds this process to so many bytes besides those that it has, until `lift`.

    To ask for more raises MemoryError, instead of waking the kernel's out-of-memory killer. Where the system cannot do
    that, nothing happens.
    """

    def __init__(self, amount: int) -> None:
        self._before: tuple[int, int] | None = None
        with contextlib.suppress(ImportError, OSError, ValueError):
            import resource

            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            held = os.sysconf("SC_PAGE_SIZE") * int(Path("/proc/self/statm").read_text().split()[0])
            limits = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
            resource.setrlimit(resource.RLIMIT_AS, (min([*limits, held + amount + _SLACK]), hard))
            self._before = soft, hard

    def lift(self) -> None:
        """Takes the limit away."""
        if self._before is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_AS, self._before)
            self._before = None
