"""Memory: how much there is, and a budget that photos share. A large photo waits until others have finished."""

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
"""Bytes that a process of a job uses before its first photo: Beam, numba, the model."""

BYTES_PER_PIXEL = 24
"""The most bytes that an 8-bit photo uses for each pixel, while it is decoded, brightened and encoded.

A JPEG or PNG of 100 megapixels uses 10 to 13. A photo of 16 bits uses twice as much. Decoders of other formats may use
more.
"""

LEAST_BYTES_PER_PIXEL = 12
"""The fewest bytes that it uses for each pixel: the decoded image, and its values before and after."""

_LEAST = 256 * 2**20  # bytes of a budget on the smallest machine
_SLACK = 512 * 2**20  # bytes of address space for stacks and arenas of threads
_POLL_SECONDS = 0.2
_NO_LIMIT = 2**60  # control groups without a limit give a number above this


_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # parameters of mallopt, numbered as in malloc.h


def keep_freed() -> None:
    """Makes this process keep freed memory for the next photos. Call it before other threads start.

    Otherwise the system clears new pages for every large array, which is a third of a photo's time. Works only with
    glibc; elsewhere it does nothing.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_ARENA_MAX, 1)):
            mallopt(parameter, value)


def give_back() -> None:
    """Returns freed memory to the system. Useful after a large photo, because other photos do not reuse its blocks."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


class CancelledError(Exception):
    """The job ended while a photo was waiting for memory."""


def available(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may use: those of the machine, or of its container if that has less.

    Args:
        root: The folder that contains `proc` and `sys`.
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
    """The files with the memory limits of this process's control groups, of version 1 and 2."""
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
        max_memory: Bytes that the process may use in all; None for all memory of the machine or container.
    """
    return Budget(max(_LEAST, (max_memory or available()) - BASE))


class Budget:
    """A memory budget that the photos in work share.

    Photos take memory in the order in which they called `queue`. A photo waits only for earlier photos, which have all
    the memory that they need, so no photo waits for ever. A photo that needs more than the whole budget waits until it
    is alone. Then the process is limited to the budget: asking for more raises MemoryError, if the system supports it.

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
        """Joins the queue at its end.

        Args:
            cancelled: Says whether a waiting photo has to give up.
        """
        with self._changed:
            self._last += 1
            self._waiting[self._last] = None
            return Share(self, self._last, cancelled)


class Share:
    """The memory of one photo. `release` gives it back, and so does the garbage collector."""

    def __init__(self, budget: Budget, number: int, cancelled: Callable[[], bool]) -> None:
        self.budget = budget
        self._number = number
        self._cancelled = cancelled
        self._amount = 0
        self._limit: AddressLimit | None = None

    def take(self, amount: int, more: bool = False) -> None:
        """Waits for its turn and for free memory, and takes that memory. Then the next share has its turn.

        Args:
            amount: Bytes.
            more: Whether to keep the turn, because it will take more.

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
        """Gives back the memory, and the place in the queue."""
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
    """Limits how much more memory this process may use, until `lift`.

    Beyond the limit, an allocation raises MemoryError instead of waking the kernel's out-of-memory killer. This does
    nothing if the system cannot do that.

    Args:
        amount: Bytes beyond those that the process holds now.
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
        """Removes the limit."""
        if self._before is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_AS, self._before)
            self._before = None
