"""Versions of packages: those in results, those that shards depend on, and those that all workers must share."""

import importlib.metadata
import platform

_IMAGES = ("pillow", "simplejpeg", "numpy", "opencv-python-headless")
_OF_RUN = ("zerodce", "apache-beam", "numba", *_IMAGES)
_OF_SHARDS = ("zerodce", *_IMAGES, "protobuf", "pillow-heif", "rawpy", "pillow-jxl-plugin")
_MISSING = "not installed"
_OPTIONAL = ("keras", "tensorflow", "pillow-heif", "rawpy", "pillow-jxl-plugin")
_OF_WORKERS = ("apache-beam", "zerodce")


def of_run() -> dict[str, str]:
    """Versions of Python and of the packages that determine the pixels of a photo."""
    return {"python": platform.python_version()} | _installed(*_OF_RUN)


def of_installation() -> dict[str, str]:
    """Versions of Python and of the packages that matter, of those that are optional only if installed."""
    return of_run() | _installed(*filter(installed, _OPTIONAL))


def of_training() -> dict[str, str]:
    """Versions of Python and of the packages that determine the weights of a model."""
    return of_run() | _installed("tensorflow", "keras")


def of_shards() -> dict[str, str]:
    """Versions of everything that determines the bytes of a shard."""
    from PIL import features

    return {
        **_installed(*_OF_SHARDS),
        "libjpeg-turbo": str(features.version("libjpeg_turbo")),
        "zlib": str(features.version("zlib_ng") or features.version("zlib")),
        "processor": platform.machine(),
    }


def of_workers() -> dict[str, str]:
    """Versions that must be the same for the command and for its workers."""
    return _installed(*_OF_WORKERS)


def installed(package: str) -> bool:
    """Whether a package is installed. It is not imported."""
    return _installed(package)[package] != _MISSING


def _installed(*packages: str) -> dict[str, str]:
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = _MISSING
    return versions
