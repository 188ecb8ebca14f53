"""The model of a job: its file is read once, checked before anything is done, and loaded once in a process."""

import dataclasses
import functools
import hashlib
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import click
import cv2
import threadpoolctl

from pipelines import storage
from pipelines.settings import Application
from zerodce.applying.enhancement import CurveSize, Enhancer
from zerodce.inference.model import SHIPPED, CurveModel


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """A model file as a job holds it. Its content travels to the workers.

    Attributes:
        content: Content of the `.keras` file.
        sha256: Its SHA-256.
        shared: Whether all workers are threads of this process. Then a pickle only refers to the content, because Beam
            compresses each pickle, at 30 ms for a model.
    """

    content: bytes = dataclasses.field(repr=False)
    sha256: str
    shared: bool = False

    def __reduce__(self) -> tuple[Callable[..., "ModelFile"], tuple[object, ...]]:
        if not self.shared:
            return ModelFile, (self.content, self.sha256)
        _SHARED[self.sha256] = self
        return _shared, (self.sha256,)


_SHARED: dict[str, ModelFile] = {}


def _shared(sha256: str) -> ModelFile:
    return _SHARED[sha256]


def read_model(path: str | None, shared: bool = False) -> ModelFile:
    """Reads a model file, the shipped one if the path is None.

    Args:
        path: Path of the file.
        shared: As `ModelFile.shared`.

    Raises:
        click.ClickException: It cannot be read.
    """
    try:
        content = storage.read(path or str(SHIPPED))
    except OSError as error:
        raise click.ClickException(f"the model {path} cannot be read: {error.strerror or error}") from error
    return ModelFile(content, hashlib.sha256(content).hexdigest(), shared)


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
    except ModuleNotFoundError:
        raise  # the command line says what to install
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
    """Has the matrix products of NumPy use one thread for small copies, because photos are worked on side by side.

    Args:
        curve_size: Argument of `Enhancer`.
        workers: Threads for larger ones; one for each core if None.
    """
    small = curve_size == "auto" or (isinstance(curve_size, int) and curve_size <= SMALL)
    threadpoolctl.threadpool_limits(1 if small else workers, "blas")


def load_enhancer(model: ModelFile, application: Application) -> Enhancer:
    """The one enhancer of this process.

    Args:
        model: The model file.
        application: How it is applied.

    Raises:
        ValueError: The content is not a ZeroDCE model, or its weights are not finite numbers.
    """
    with _loading:  # or threads that ask at the same time would each load one
        return _load_enhancer(model, application)


@functools.lru_cache(maxsize=1)
def _load_enhancer(model: ModelFile, application: Application) -> Enhancer:
    cv2.setNumThreads(1)  # photos are worked on side by side already
    options = dataclasses.asdict(application)
    read = CurveModel.read if options.pop("backend") == "numpy" else _read_by_keras
    return Enhancer(read(model.content), **options)


def _read_by_keras(content: bytes) -> CurveModel:
    import keras

    from zerodce.training.model import ZeroDCE

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        if not zipfile.is_zipfile(path):
            raise ValueError("it is no .keras file")
        loaded = keras.saving.load_model(path, compile=False)
    if not isinstance(loaded, ZeroDCE):
        raise ValueError(f"it holds a {type(loaded).__name__}, not a ZeroDCE")
    return CurveModel.on_keras(loaded)
