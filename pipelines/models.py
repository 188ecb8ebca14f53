"""The model of a job: its file is read once, checked before anything is done, and loaded once in a process."""

import contextlib
import dataclasses
import functools
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import numpy as np

from pipelines import storage
from pipelines.settings import Application
from zerodce.applying.enhancement import CurveSize, Enhancer


def read_model(path: str | None) -> bytes:
    """The content of a model file, the shipped one if None.

    Raises:
        click.ClickException: It cannot be read.
    """
    from zerodce.pretrained import PATH

    try:
        return storage.read(path or str(PATH))
    except OSError as error:
        raise click.ClickException(f"the model {path} cannot be read: {error.strerror or error}") from error


def check_model(load: Callable[[], Enhancer], path: str | None) -> Enhancer:
    """Loads a model before anything is done with it.

    Args:
        load: Loads it.
        path: Path of its file; None for the shipped one.

    Raises:
        click.ClickException: It is no ZeroDCE model.
    """
    try:
        return load()
    except Exception as error:
        reason = str(error).split("\n", 1)[0]
        raise click.ClickException(
            f"{path or 'the shipped file'} is not a model that `zerodce train` wrote ({reason}); "
            "leave --model out for the shipped one"
        ) from error


SMALL = 256
"""Long side in pixels of the copy up to which a network is done sooner in one thread than in several."""

_loading = threading.Lock()


def limit_threads(curve_size: CurveSize, workers: int | None) -> None:
    """Has TensorFlow use one thread for small copies, which photos are estimated on while others are worked on.

    Threads that wait for one another cost as much again as the network itself. To be called before TensorFlow is used
    first; afterwards it changes nothing.

    Args:
        curve_size: Argument of `Enhancer`.
        workers: Threads for larger ones; one for each core if None.
    """
    import tensorflow as tf

    small = curve_size == "auto" or (isinstance(curve_size, int) and curve_size <= SMALL)
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_intra_op_parallelism_threads(1 if small else workers or 0)
        tf.config.threading.set_inter_op_parallelism_threads(1 if small else 0)


def load_enhancer(model: bytes, application: Application) -> Enhancer:
    """The one enhancer of this process.

    Args:
        model: The content of a `.keras` file.
        application: How it is applied.

    Raises:
        ValueError: The content is not a ZeroDCE model, or its weights are not finite numbers.
    """
    with _loading:  # or threads that ask at the same time would each load one
        return _load_enhancer(model, application)


@functools.lru_cache(maxsize=1)
def _load_enhancer(model: bytes, application: Application) -> Enhancer:
    import keras

    from zerodce.training.model import ZeroDCE

    cv2.setNumThreads(1)  # photos are worked on side by side already
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(model)
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no .keras file")
        loaded = keras.saving.load_model(path, compile=False)
    if not isinstance(loaded, ZeroDCE):
        raise ValueError(f"it holds a {type(loaded).__name__}, not a ZeroDCE")
    if not all(np.isfinite(weights).all() for weights in loaded.get_weights()):
        raise ValueError("some of its weights are not finite numbers")
    return Enhancer(loaded, **dataclasses.asdict(application))
