"""How long a run takes and how much room it needs, estimated from a few of its photos that are really enhanced.

The photos are drawn with a probability proportional to the size of their files, evenly over formats and sizes. Then the
mean of a cost for each byte, times the bytes of all photos, estimates the cost of all without bias (Hansen and Hurwitz,
"On the theory of sampling from finite populations", 1943).

`python -m pipelines.enhance.estimate PARENT` is the process that enhances the sample. A photo that ends its process, or
takes too long, ends only the estimate.
"""

import bisect
import contextlib
import dataclasses
import itertools
import json
import os
import pickle
import posixpath
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from pipelines import local_worker, memory, models, photos, storage
from pipelines.enhance.journal import Journal
from pipelines.enhance.photo import PhotoProcessor, Prepared
from pipelines.enhance.plan import Task

SMALL_BYTES, SMALL_COUNT = 1_000_000_000, 1000
"""A run with fewer bytes of photos, and with fewer photos, needs no estimate."""

SAMPLE = 24
"""Photos in a sample, at most. A large photo may count more than once."""

DRAWN_FROM = 100_000
"""Photos from which the sample is drawn, at most, because they are sorted in memory."""

SECONDS, AGAIN = 8.0, 2.0
"""No photo of the sample is begun later than this; and in this time, photos are enhanced again.

The first photos take longer, because they load machine code and ask the system for memory.
"""

_PATIENCE = 20.0  # seconds for the start of the process, and for the photos in work in the end


class Estimate(NamedTuple):
    """What a run will take.

    Attributes:
        enhanced: Bytes of the enhanced photos.
        others: Bytes of the baselines and thumbnails.
        seconds: Seconds on this machine; None if others do the work.
    """

    enhanced: int
    others: int
    seconds: float | None


class Tried(NamedTuple):
    """A photo of the sample: its size, and what it took. All in bytes, and seconds of one thread."""

    path: str
    size: int
    enhanced: int
    autocontrast: int
    seconds: float


def is_small(tasks: Collection[Task]) -> bool:
    """Whether a run needs no estimate, because an estimate takes as long as a good part of the run."""
    return len(tasks) < SMALL_COUNT and sum(task.size for task in tasks) < SMALL_BYTES


def estimate(processor: PhotoProcessor, tasks: Collection[Task]) -> Estimate | None:
    """Estimates what photos will take, in about 10 seconds.

    Args:
        processor: Processor of each photo.
        tasks: The photos.

    Returns:
        The estimate; None if no photo of the sample was finished in time.
    """
    drawn = sample(tasks, SAMPLE)
    threads = processor.settings.workers or os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="zerodce-") as folder:
        tried = _try(processor, list(dict.fromkeys(drawn)), threads, folder)
        thumbnails = [path.stat().st_size for path in Path(folder).glob("report/thumbs/*.jpg")]
    pictured = sum(task.thumbnail for task in drawn if task.path in tried)
    total = sum(task.size for task in tasks)
    each = [tried[task.path] for task in drawn if task.path in tried]
    if not each:
        return None

    def of_all(costs: Iterable[float]) -> float:
        return total * sum(cost / max(1, one.size) for cost, one in zip(costs, each, strict=True)) / len(each)

    shown = sum(task.thumbnail for task in tasks)
    pictures = sum(thumbnails) / len({one.path for one in each}) * shown if pictured else 0.0
    return Estimate(
        round(of_all(one.enhanced for one in each)),
        round(of_all(one.autocontrast for one in each) + pictures),
        of_all(one.seconds for one in each) / threads,
    )


def sample(tasks: Collection[Task], count: int) -> list[Task]:
    """Draws photos in proportion to their size, evenly over formats and sizes, in random order.

    Of more than `DRAWN_FROM` photos it takes every second, every third and so on.

    Args:
        tasks: All photos.
        count: Number of draws. A photo larger than the whole divided by this number is drawn more than once.
    """
    some = itertools.islice(tasks, 0, None, -(-len(tasks) // DRAWN_FROM) or 1)
    ordered = sorted(some, key=lambda task: (posixpath.splitext(task.path)[1].lower(), task.size, task.path))
    ends = list(itertools.accumulate(max(1, task.size) for task in ordered))
    drawn = [ordered[bisect.bisect_right(ends, (number + 0.5) * ends[-1] / count)] for number in range(count)]
    random.Random(0).shuffle(drawn)
    return drawn


def _try(processor: PhotoProcessor, tasks: Sequence[Task], threads: int, folder: str) -> dict[str, Tried]:
    """Enhances photos in another process. Returns those that it finished, by path."""
    settings = dataclasses.replace(processor.settings, beside=False, runner="DirectRunner")
    model, journal = dataclasses.replace(processor.model, shared=False), Journal(storage.join(folder, "journal"))
    there = dataclasses.replace(processor, out=folder, settings=settings, model=model, journal=journal)
    command = [sys.executable, "-m", "pipelines.enhance.estimate", str(os.getpid())]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        try:
            said, _ = process.communicate(pickle.dumps((there, tasks, threads)), SECONDS + _PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
        except BaseException:
            process.kill()
            raise
    found: dict[str, Tried] = {}
    for line in said.splitlines():
        with contextlib.suppress(ValueError, TypeError):  # a line that was cut short
            one = Tried(*json.loads(line))
            found[one.path] = one
    return found


def _measured(processor: PhotoProcessor, task: Task) -> Tried:
    """Enhances a photo, and deletes its images."""
    started = time.perf_counter()
    done = processor.prepare(task)
    if isinstance(done, Prepared):
        with photos.failing_as("model"):
            done = processor.complete(done, processor.enhancer().estimate([done.small])[0])
    seconds = time.perf_counter() - started
    assert done.record is not None
    images = processor.settings.outputs(task.output, done.record.unchanged) if done.record.row else []
    storage.delete(storage.join(processor.out, image) for image in images)
    sizes = {image.split("/")[0]: size for image, size in zip(images, done.record.sizes, strict=True)}
    return Tried(task.path, task.size, sizes.get("enhanced", 0), sizes.get("autocontrast", 0), seconds)


def main(parent: int) -> None:
    """Enhances the photos that it reads from standard input, and prints what each took."""
    local_worker.end_with_parent(parent)
    memory.keep_freed()
    processor, tasks, threads = pickle.load(sys.stdin.buffer)
    models.limit_threads(processor.settings.curve_size, threads)
    started = time.monotonic()

    def work(task: Task) -> None:
        if time.monotonic() - started < SECONDS:
            print(json.dumps(_measured(processor, task)), flush=True)

    with ThreadPoolExecutor(threads) as pool:
        while True:
            for future in [pool.submit(work, task) for task in tasks]:
                with contextlib.suppress(Exception):  # the run makes a row of it
                    future.result()
            if time.monotonic() - started > AGAIN:
                break


if __name__ == "__main__":
    main(int(sys.argv[1]))
