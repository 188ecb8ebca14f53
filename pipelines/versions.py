"""Versions of packages: those in results, those that shards depend on, and those that all workers must share."""

import importlib.metadata
import platform

from PIL import features

_IMAGES = ("pillow", "simplejpeg", "numpy", "opencv-python-headless")
_OF_RUN = ("zerodce", "apache-beam", "numba", *_IMAGES)
_OF_SHARDS = ("zerodce", *_IMAGES, "protobuf", "pillow-heif", "rawpy")
_OF_WORKERS = ("apache-beam", "zerodce")


def of_run() -> dict[str, str]:
    """Versions of Python and of the packages that determine the pixels of a photo."""
    return {"python": platform.python_version()} | _installed(*_OF_RUN)


def of_training() -> dict[str, str]:
    """Versions of Python and of the packages that determine the weights of a model."""
    return of_run() | _installed("tensorflow", "keras")


def of_shards() -> dict[str, str]:
    """Versions of everything that determines the bytes of a shard."""
    return {
        **_installed(*_OF_SHARDS),
        "libjpeg-turbo": str(features.version("libjpeg_turbo")),
        "zlib": str(features.version("zlib_ng") or features.version("zlib")),
        "processor": platform.machine(),
    }


def of_workers() -> dict[str, str]:
    """Versions that must be the same for the command and for its workers."""
    return _installed(*_OF_WORKERS)


def _installed(*packages: str) -> dict[str, str]:
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
