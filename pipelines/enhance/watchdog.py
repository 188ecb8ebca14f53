"""A time limit on the steps of a photo, so that a decoder that hangs costs one photo, not the run.

No thread can be ended from outside. So the watchdog records which photo took too long, and ends the whole process.

This module imports nothing heavy, because the process that watches over the job imports it as well.
"""

import contextlib
import dataclasses
import faulthandler
import functools
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

EXIT_CODE = 124
"""Exit code of a process in which a step took longer than its limit. The command `timeout` uses the same code."""

BASE_SECONDS = 300.0
SECONDS_PER_MEGABYTE = 2.0
SECONDS_PER_MEGAPIXEL = 5.0
"""The default time limit of a step: the base, plus these seconds for the size of the photo."""

TICK_SECONDS = 0.5
_SLACK_SECONDS = 30.0


def seconds_for(photo_timeout: int | None, size: int, pixels: int = 0) -> float:
    """The time limit of a step.

    Args:
        photo_timeout: The limit for every photo, in seconds; None for a limit that grows with the photo.
        size: Bytes of the file.
        pixels: Pixels of the photo; 0 if unknown.
    """
    if photo_timeout is not None:
        return float(photo_timeout)
    return BASE_SECONDS + SECONDS_PER_MEGABYTE * size / 1e6 + SECONDS_PER_MEGAPIXEL * pixels / 1e6


@dataclasses.dataclass(eq=False)
class Step:
    """A step of a photo in work.

    Attributes:
        stage: Stage of the failure if the step takes too long.
        limit: Seconds that it may take.
        expired: Called with the step when it has taken longer. Then the process ends.
        spent: Seconds that it has taken so far.
        waits: Whether it waits for other photos. That time does not count.
    """

    stage: str
    limit: float
    expired: Callable[["Step"], None]
    spent: float = 0.0
    waits: bool = False

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Stops the clock of the step inside the `with` block."""
        self.waits = True
        try:
            yield
        finally:
            with _lock:
                self.waits = False
                _arm()


_steps: set[Step] = set()
_lock = threading.Lock()


@contextlib.contextmanager
def limited(stage: str, limit: float, expired: Callable[[Step], None]) -> Iterator[Step]:
    """A step of a photo with a time limit.

    Args:
        stage, limit, expired: Attributes of the `Step`.
    """
    _start()
    step = Step(stage, limit, expired)
    with _lock:
        _steps.add(step)
        _arm()  # the decoder may take the interpreter's lock before `_watch` runs
    try:
        yield step
    finally:
        with _lock:
            _steps.discard(step)


@functools.cache
def _start() -> None:
    """Starts the watching thread, once in a process."""
    threading.Thread(name="watchdog", target=_watch, daemon=True).start()


@functools.cache
def _nowhere() -> TextIO:
    return open(os.devnull, "w")  # stays open until the process ends


_armed_until = math.inf  # when the timer of `_arm` ends the process, on the clock time.monotonic


def _arm() -> None:
    """Sets a timer in C, which ends the process even if a hanging decoder keeps the interpreter's lock.

    Without the lock, `_watch` cannot run. Setting the timer starts a thread, so a timer that is about right stays.
    """
    global _armed_until
    if left := [step.limit - step.spent for step in _steps if not step.waits]:
        seconds = max(left) + _SLACK_SECONDS
        until = time.monotonic() + seconds
        if abs(until - _armed_until) > _SLACK_SECONDS / 3:
            faulthandler.dump_traceback_later(seconds, exit=True, file=_nowhere())
            _armed_until = until


def _disarm() -> None:
    """Stops the timer if no step runs. `_watch` calls this, so that a pause between two photos costs nothing."""
    global _armed_until
    if all(step.waits for step in _steps):
        faulthandler.cancel_dump_traceback_later()
        _armed_until = math.inf


def _watch() -> None:
    last = time.monotonic()
    while True:
        time.sleep(TICK_SECONDS)
        now = time.monotonic()
        passed, last = min(now - last, 2 * TICK_SECONDS), now  # without the time of a stopped process (Ctrl-Z)
        with _lock:
            steps = [step for step in _steps if not step.waits]
        for step in steps:
            step.spent += passed
        if late := [step for step in steps if step.spent > step.limit]:
            for step in late:
                with contextlib.suppress(Exception):  # if recording fails, the photo counts as begun and is tried alone
                    step.expired(step)
            os._exit(EXIT_CODE)
        with _lock:
            _arm()
            _disarm()
