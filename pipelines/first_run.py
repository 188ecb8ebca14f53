"""The first run of an installation: two processes compile the loops over pixels for this processor, with numba."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import click

_COMPILE = """
import numpy as np
import zerodce
zerodce.denoise(np.random.default_rng(0).integers(0, 60, (256, 256, 3), np.uint8))
"""


@contextlib.contextmanager
def compiling_beside() -> Iterator[None]:
    """On the first run, prints a line and compiles the noise filter in another process.

    Meanwhile, the first photo compiles the other loops in this process. Both processes cache their machine code on
    disk. No photo waits for the other process. At worst, both compile the filter.
    """
    import zerodce.curves.tones  # noqa: F401 (the import calls find_strengths)
    from zerodce.kernels.brightening import find_strengths

    if not find_strengths.stats.cache_misses:
        yield
        return
    click.echo("Compiling for this processor. Only the first run does that.", err=True)
    beside = subprocess.Popen(
        [sys.executable, "-c", _COMPILE], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        beside.terminate()
        beside.wait()
