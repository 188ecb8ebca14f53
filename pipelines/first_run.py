"""The first run of an installation: numba compiles the loops over pixels for this processor, in two processes."""

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
    """Says that this is the first run, and compiles the noise filter in another process.

    The first photo has the rest compiled meanwhile. Both processes keep their machine code on disk. A photo never waits
    for the other process: at worst the filter is compiled twice.
    """
    import zerodce.curves.tones  # noqa: F401 (calls the function)
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
