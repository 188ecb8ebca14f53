"""What zerodce finds on this machine. Each check gives a part of the report, made of plain values."""

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
from PIL import Image

from pipelines import memory, photos, storage, versions
from pipelines.photos.errors import failing_as
from pipelines.photos.formats import FORMATS, UNREADABLE, Format, formats_by_extension

EXTRAS = {
    "heif": ("HEIC photos", ("pillow-heif",)),
    "raw": ("camera RAW", ("rawpy",)),
    "jxl": ("JPEG XL", ("pillow-jxl-plugin",)),
    "train": (
        "train, evaluate, records stats, --backend tensorflow",
        ("keras", "matplotlib", "tensorboard", "tensorflow"),
    ),
    "lol": ("download", ("gdown",)),
    "export": ("export", ("ai-edge-litert", "onnx", "onnxruntime", "openvino", "tensorflow", "tf2onnx")),
    "aws": ("s3://", ("obstore", "boto3")),
    "gcp": ("gs://, Dataflow", ("obstore", "google-cloud-storage")),
    "azure": ("az://", ("obstore",)),
}
"""For each extra of the package: its use, and packages that it installs."""

NEEDED = ("JPEG", "PNG")
"""Formats without which enhancing does not work: of most photos, and of photos in formats that cannot be written."""

_PROBE = np.random.default_rng(0).bytes(16_000_000)
_TYPICAL = 24_000_000  # pixels of a photo
_PATIENCE = 300  # seconds for the first run, which compiles
_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}


def check_extras() -> dict[str, dict[str, Any]]:
    """For each extra, its use, and the packages of it that are not installed."""
    return {
        extra: {"for": use, "missing": [name for name in packages if not versions.installed(name)]}
        for extra, (use, packages) in EXTRAS.items()
    }


def check_formats() -> dict[str, dict[str, str]]:
    """For each format that is read or written here, `read` and `write`: `yes`, or the error of a tiny photo.

    Formats that are written are tried, and so is HEIF if its extra is installed. Other formats are listed.
    """
    tiny = Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))
    found = {format_.label: _try_format(format_, tiny) for format_ in FORMATS.values()}
    Image.init()
    if "HEIF" in Image.OPEN:
        found["HEIF"] = {"read": _try_heif(tiny)}
    if versions.installed("rawpy"):
        found["camera RAW"] = {"read": "yes"}
    others = set(formats_by_extension().values()) & set(Image.OPEN) - UNREADABLE - FORMATS.keys() - {"HEIF"}
    return found | {name: {"read": "yes"} for name in sorted(others)}


def _try_format(format_: Format, tiny: Image.Image) -> dict[str, str]:
    if not format_.is_writable():
        return {"read": "no", "write": "what writes it is not installed"}
    found = {"read": "no file to read", "write": "yes"}
    try:
        with failing_as("encode"):
            content = io.BytesIO()
            tiny.save(content, "BMP")  # which needs no library
        photo = photos.load(content.getvalue(), "tiny.bmp", output_format=format_.name)
        encoded = photos.encode(photo, photo.pixels)
    except photos.PhotoError as error:
        return found | {"write": error.message}
    return found | {"read": _try_to_read(encoded.content, format_.extension, tiny.size)}


def _try_heif(tiny: Image.Image) -> str:
    content = io.BytesIO()
    try:
        with failing_as("encode"):
            tiny.save(content, "HEIF")
    except photos.PhotoError:  # this build only reads
        return "yes"
    return _try_to_read(content.getvalue(), ".heic", tiny.size)


def _try_to_read(content: bytes, extension: str, size: tuple[int, int]) -> str:
    try:
        photo = photos.load(content, f"tiny{extension}")
    except photos.PhotoError as error:
        return error.message
    return "yes" if photo.image.size == size else f"it was read as {photo.image.size}, not {size}"


def check_processor() -> dict[str, Any]:
    """Cores of the machine, cores that this process may use, and the instructions for which the loops are compiled."""
    features = llvmlite.binding.get_host_cpu_features()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "name": llvmlite.binding.get_host_cpu_name(),
        "cores": os.cpu_count() or 1,
        "usable_cores": usable,
        "avx2": bool(features.get("avx2")),
        "avx512": bool(features.get("avx512f") and features.get("avx512bw")),
    }


def check_gpu(pci: Path = Path("/sys/bus/pci/devices")) -> dict[str, Any]:
    """The GPUs of the machine, and how many of them TensorFlow can use; None if that cannot be asked.

    Args:
        pci: The folder in which Linux lists the PCI devices.
    """
    seen = _nvidia_names() or list(_adapters(pci))
    by_tensorflow = _ask_tensorflow() if seen and versions.installed("tensorflow") else None
    return {"seen": seen, "usable_by_tensorflow": by_tensorflow}


def _nvidia_names() -> list[str]:
    if not (program := shutil.which("nvidia-smi")):
        return []
    return _lines_of([program, "--query-gpu=name", "--format=csv,noheader"], 20)


def _adapters(pci: Path) -> Iterable[str]:
    """The makers of the display and compute devices."""
    for device in sorted(pci.glob("*")):
        with contextlib.suppress(OSError):
            kind, vendor = ((device / name).read_text().strip() for name in ("class", "vendor"))
            if kind.startswith("0x03") and vendor in _VENDORS:
                yield f"{_VENDORS[vendor]} ({device.name})"


def _ask_tensorflow() -> int | None:
    code = "import tensorflow; print(len(tensorflow.config.list_physical_devices('GPU')))"
    lines = _lines_of([sys.executable, "-c", code], 120)
    return int(lines[-1]) if lines and lines[-1].isdigit() else None


def _lines_of(command: list[str], seconds: int) -> list[str]:
    """What a program prints; nothing if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def check_memory() -> dict[str, int]:
    """Bytes that this process may use and bytes for photos in work, and how many photos of 24 megapixels these hold."""
    total = memory.budget(None).total
    return {
        "limit": memory.available(),
        "for_photos": total,
        "photos_of_24_megapixels": total // (_TYPICAL * memory.BYTES_PER_PIXEL),
    }


def check_folder(folder: str) -> dict[str, Any]:
    """Writes 16 MB into a folder and removes them.

    Returns:
        The folder, the free bytes (None if the storage has no limit), the speed in MB/s, and the error; empty if the
        folder can be written.
    """
    probe = storage.join(folder, f".zerodce-doctor-{uuid.uuid4().hex}")
    found: dict[str, Any] = {"folder": folder, "free": None, "write_mb_per_second": None, "error": ""}
    try:
        if storage.is_local(folder):
            found["free"] = shutil.disk_usage(folder).free
        started = time.perf_counter()
        try:
            storage.write(probe, _PROBE)
            storage.sync([probe])
            found["write_mb_per_second"] = round(len(_PROBE) / 1e6 / (time.perf_counter() - started), 1)
        finally:
            storage.delete([probe])
    except OSError as error:
        found["error"] = error.strerror or str(error)
    return found


def check_kernels() -> dict[str, Any]:
    """The folder for the machine code of the compiled loops, and whether the code lasts until the next start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the report says the same
        from zerodce.kernels import blocks, compiling
    folder = str(blocks.average_blocks.stats.cache_path)
    return {"folder": folder, "lasts": f"/{compiling.TEMPORARY_PREFIX}" not in folder}


def check_enhancing() -> dict[str, Any]:
    """Enhances a small photo with the command itself.

    Returns:
        The seconds that it took, and the error and what to do; both are empty if it works.
    """
    # the user's defaults for options, such as a dry run, are not those of this installation
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZERODCE_")}
    started = time.perf_counter()
    fix = "pip install --force-reinstall zerodce"
    try:
        with tempfile.TemporaryDirectory() as place:
            photo = Path(place) / "photo.png"
            dark = np.random.default_rng(0).integers(0, 40, (120, 160, 3), dtype=np.uint8)
            Image.fromarray(dark).save(photo)
            command = [sys.executable, "-m", "pipelines.cli", "enhance", str(photo), str(Path(place) / "out")]
            # not in the current folder, whose files Python would import
            done = subprocess.run(
                command, cwd=place, env=environment, capture_output=True, text=True, timeout=_PATIENCE, check=False
            )
            error = "" if done.returncode == 0 else _last_line(done.stderr, done.returncode)
            if not error:
                with Image.open(Path(place) / "out/enhanced/photo.png") as image:
                    error = "" if np.mean(np.asarray(image)) > dark.mean() else "the photo did not become brighter"
    except OSError as failure:
        error, fix = str(failure), "set TMPDIR to a folder that can be written"
    except subprocess.TimeoutExpired:
        error, fix = f"it took more than {_PATIENCE} seconds", "try again when the machine has less to do"
    return {"seconds": round(time.perf_counter() - started, 1), "error": error, "fix": fix if error else ""}


def _last_line(text: str, code: int) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r"^Error: ", "", lines[-1]) if lines else f"the command ended with exit code {code}"
