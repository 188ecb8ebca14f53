"""Core time of each step of a photo, measured in the process while the steps run as in the job."""

import contextlib
import functools
import pkgutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

STEPS = {
    "read": ("pipelines.enhance.photo.PhotoProcessor._read",),
    "decode": ("pipelines.photos.load",),
    "small copies": ("pipelines.enhance.photo.pixels.preview", "pipelines.enhance.photo.pixels.small_copy"),
    "estimate of the curves": ("zerodce.applying.enhancement.Enhancer.estimate",),
    "estimate of the noise": ("zerodce.applying.enhancement.estimate_noise",),
    "curves": ("zerodce.applying.enhancement.Enhancer.apply",),
    "noise filter": ("zerodce.applying.enhancement.smooth",),
    "autocontrast": ("pipelines.photos.autocontrast_table", "pipelines.photos.look_up"),
    "means and PSNR": ("zerodce.images.metrics.mean", "zerodce.images.metrics.psnr"),
    "encode": ("pipelines.photos.encode",),
    "metadata": ("pipelines.photos.metadata.Metadata.of", "pipelines.photos.metadata.Metadata.options"),
    "write or copy": ("pipelines.storage.write", "pipelines.storage.copy"),
    "thumbnails": ("pipelines.enhance.report.write_thumbnails",),
    "journal": (
        "pipelines.enhance.photo.PhotoProcessor.is_done",
        "pipelines.enhance.photo.PhotoProcessor._begin",
        "pipelines.enhance.photo.PhotoProcessor._record",
    ),
    "the rest": ("pipelines.enhance.transforms.prepare", "pipelines.enhance.transforms.complete"),
}
"""Functions of each step. If one calls another, the time counts only for the other."""


class Stopwatch:
    """Core seconds by step, over all threads.

    Attributes:
        seconds: Core seconds by step, without those of inner steps.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._threads = threading.local()
        self._lock = threading.Lock()

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function whose time counts for a step."""

        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            inside = getattr(self._threads, "inside", 0.0)
            self._threads.inside, started = 0.0, time.thread_time()
            try:
                return function(*arguments, **options)
            finally:
                spent = time.thread_time() - started
                with self._lock:
                    self.seconds[step] += spent - self._threads.inside
                self._threads.inside = inside + spent

        return timed

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Times the functions of `STEPS`."""
        with contextlib.ExitStack() as stack:
            for step, names in STEPS.items():
                for name in names:
                    owner, _, attribute = name.rpartition(".")
                    holder = pkgutil.resolve_name(owner)
                    getattr(holder, attribute)  # a package may import it only now
                    found = vars(holder)[attribute]
                    plain = found.__func__ if isinstance(found, classmethod) else found
                    timed: Any = self.timed(step, plain)
                    stack.enter_context(
                        mock.patch.object(holder, attribute, classmethod(timed) if plain is not found else timed)
                    )
            yield


def of_job(folder: Path, out: Path, *options: str) -> dict[str, float]:
    """Runs `zerodce enhance` in this process.

    Args:
        folder: The photos.
        out: Folder of the results; must be new.
        options: Those of the command.

    Returns:
        Core seconds of each step; "the rest" is what the two functions of a photo spend beside the other steps. "Beam
        and handing over" is everything else in the process, and "all" the sum.
    """
    from pipelines import memory
    from pipelines.enhance import command
    from pipelines.enhance.options import enhance
    from pipelines.enhance.settings import EnhanceSettings

    memory.keep_freed()
    parameters = enhance.make_context("enhance", [str(folder), str(out), *options]).params
    settings = EnhanceSettings(**{name: value for name, value in parameters.items() if name not in ("photos", "out")})
    stopwatch = Stopwatch()
    with stopwatch.watching():
        started = time.process_time()
        code = command.enhance(str(folder), str(out), settings)
        total = time.process_time() - started
    if code:
        raise RuntimeError(f"enhancing {folder} ended with {code}")
    return {**stopwatch.seconds, "Beam and handing over": total - sum(stopwatch.seconds.values()), "all": total}
