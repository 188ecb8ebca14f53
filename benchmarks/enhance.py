"""Speed of `zerodce enhance`, beside the codecs alone and the network at full size, all in one run.

    python -m benchmarks.enhance speed --photos photos --small lol/our485/low
    python -m benchmarks.enhance memory --photos photos
    python -m benchmarks.enhance profile --photos photos --small lol/our485/low

The speed does not count start-up: (pixels of ten copies of a folder - of one) / (difference of the times).
"""

import argparse
import dataclasses
import io
import itertools
import json
import multiprocessing
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rich.console
import rich.markdown
from PIL import Image, ImageOps, JpegImagePlugin

from benchmarks import steps
from pipelines.photos import is_photo

COPIES = 10
SMALL_PHOTOS = 50
PANORAMA = (16_000, 6_250)
PEER_MEGAPIXELS = 6.0
DARK = 0.38
"""Mean below which photos are lifted, and so denoised."""

PNG_LEVEL = 1
"""The level at which Pillow is fastest."""


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of the command: seconds, core seconds, and peak resident memory in MB."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


@dataclasses.dataclass(frozen=True)
class Speed:
    """Megapixels per second, and core-milliseconds per megapixel, which other load hardly moves."""

    megapixels: float
    core_ms: float


def megapixels(folder: Path) -> float:
    """Megapixels of all photos below a folder."""
    total = 0
    for path in photos_of(folder):
        with Image.open(path) as image:
            total += image.width * image.height
    return total / 1e6


def photos_of(folder: Path) -> list[Path]:
    """All photos below a folder, in order."""
    return sorted(path for path in folder.rglob("*") if is_photo(path.name) and path.is_file())


def copies_of(photos: Sequence[Path], number: int, folder: Path) -> Path:
    """A folder with this number of copies of photos: hard links if the disk allows them."""
    for copy in range(number):
        target = folder / f"{copy:04}"
        target.mkdir(parents=True)
        for photo in photos:
            try:
                os.link(photo, target / photo.name)
            except OSError:
                shutil.copy(photo, target / photo.name)
    return folder


_MEASURE = """
import json, resource, subprocess, sys, time
started = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
seconds, usage = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
sys.exit(code)
"""


def measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Runs a command and measures it, from a small process: the peak of a child begins with that of its parent.

    Args:
        command: The command and its arguments.
        environment: Its environment; that of this process if None.

    Raises:
        RuntimeError: It failed.
    """
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Run(*json.loads(done.stdout))


def enhance(folder: Path, *options: str) -> Run:
    """Runs `zerodce enhance` in its own process."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        return measured([sys.executable, "-m", "pipelines.cli", "enhance", str(folder), out, *options])


def codec_floor(folder: Path, stopwatch: steps.Stopwatch | None = None) -> Speed:
    """The speed of the codecs alone: decode once, autocontrast, encode twice, on all cores.

    Args:
        folder: The photos.
        stopwatch: Measures the core time of each of these.
    """
    timed = (stopwatch or steps.Stopwatch()).timed
    contents = [path.read_bytes() for path in photos_of(folder)]

    def work(content: bytes) -> int:
        image: Any = Image.open(io.BytesIO(content))
        timed("decode", image.load)()
        options: dict[str, Any] = {"compress_level": PNG_LEVEL}
        if isinstance(image, JpegImagePlugin.JpegImageFile):
            options = {"qtables": image.quantization, "subsampling": JpegImagePlugin.get_sampling(image)}
        for picture in (image, timed("autocontrast", ImageOps.autocontrast)(image)):
            timed("encode", picture.save)(io.BytesIO(), "JPEG" if "qtables" in options else "PNG", **options)
        return int(image.width * image.height)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started, cpu = time.perf_counter(), time.process_time()
        total = sum(pool.map(work, contents)) / 1e6
        return Speed(total / (time.perf_counter() - started), (time.process_time() - cpu) * 1000 / total)


def crops(folder: Path) -> list[np.ndarray]:
    """The middle of each photo, at most `PEER_MEGAPIXELS`: float32 (1, height, width, 3) in [0, 1]."""
    found = []
    for path in photos_of(folder):
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        share = min(1.0, (PEER_MEGAPIXELS * 1e6 / (image.width * image.height)) ** 0.5)
        pixels = np.asarray(ImageOps.fit(image, (int(image.width * share), int(image.height * share))))
        found.append(pixels[np.newaxis].astype(np.float32) / 255)
    return found


def network_speed(photos: Path, network: Callable[[], Callable[[np.ndarray], np.ndarray]]) -> float:
    """MP/s of the network with its curves at full size on crops of photos, after one crop to warm up."""
    from zerodce.curves.tones import apply_curves

    images, maps_of = crops(photos), network()

    def work(image: np.ndarray) -> np.ndarray:
        return np.rint(apply_curves(image, maps_of(image)) * 255).astype(np.uint8)

    work(images[0])
    started = time.perf_counter()
    for image in images:
        work(image)
    return sum(image.size / 3e6 for image in images) / (time.perf_counter() - started)


def onnx_network() -> Callable[[np.ndarray], np.ndarray]:
    """The paper's network in ONNX Runtime, on all cores, with any weights."""
    import onnxruntime
    import tensorflow as tf

    from zerodce.networks.dce_net import dce_net

    signature = [tf.TensorSpec((1, None, None, 3), tf.float32)]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "network.onnx")
        dce_net().export(path, format="onnx", verbose=False, input_signature=signature)
        session = onnxruntime.InferenceSession(path)
    name = session.get_inputs()[0].name
    return lambda image: np.asarray(session.run(None, {name: image})[0])


def keras_network() -> Callable[[np.ndarray], np.ndarray]:
    """The paper's network, called as in the Keras example."""
    from zerodce.networks.dce_net import dce_net

    network = dce_net()
    return lambda image: np.asarray(network(image))


def compare(name: str, folder: Path, photos: Sequence[Path], *options: str) -> list[str]:
    """Two rows of the table: the job without start-up, and the codec floor, measured just before and after it."""
    megapixels_of_one = megapixels(one := copies_of(photos, 1, folder / f"{name} 1"))
    ten = copies_of(photos, COPIES, folder / f"{name} {COPIES}")
    codec_floor(one)
    floors = [codec_floor(ten)]
    short, long = enhance(one, *options), enhance(ten, *options)
    floors.append(codec_floor(ten))
    total = (COPIES - 1) * megapixels_of_one
    ours = Speed(total / (long.seconds - short.seconds), (long.cpu_seconds - short.cpu_seconds) * 1000 / total)
    floor = Speed(sum(each.megapixels for each in floors) / 2, sum(each.core_ms for each in floors) / 2)
    return [
        f"| {name} | {ours.megapixels:.1f} | {ours.core_ms:.1f} | {ours.megapixels / floor.megapixels:.2f} | "
        f"{floor.core_ms / ours.core_ms:.2f} | {long.peak_mb:.0f} MB |",
        f"| its codec floor | {floor.megapixels:.1f} | {floor.core_ms:.1f} | 1 | 1 | |",
    ]


def brightness(photo: Path) -> float:
    """Mean of a photo, in [0, 1]."""
    with Image.open(photo) as image:
        image.draft("RGB", (256, 256))
        return float(np.asarray(image).mean()) / 255


def speed(photos: Path, small: Path, peers: bool) -> None:
    """Prints the table of speeds."""
    lines = [
        "| what | MP/s | core-ms per MP | of the floor | the same in core-ms | peak memory |",
        "|---|---|---|---|---|---|",
    ]
    large = photos_of(photos)
    dark = [photo for photo in large if brightness(photo) < DARK]
    fifty = list(itertools.islice(itertools.cycle(photos_of(small)), SMALL_PHOTOS))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lines += compare(f"{len(large)} photos, denoise off", folder, large, "--denoise", "off")
        lines += compare(f"{len(large)} photos, denoise auto", folder, large)
        lines += compare(f"the {len(dark)} dark ones, all denoised", folder, dark)
        lines += compare(f"{SMALL_PHOTOS} small PNG, denoise off", folder, fifty, "--denoise", "off")
        if peers:
            for name, network in (("ONNX Runtime", onnx_network), ("Keras loop", keras_network)):
                # a process each: the first keeps many gigabytes that the second needs
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                    peer = process.submit(network_speed, photos, network).result()
                lines.append(f"| network at full size, {name}; no files | {peer:.2f} | | | | |")
    show(lines)


def profile(photos: Path, small: Path) -> None:
    """Prints the core time of each step, of the codec floor, and of the whole command."""
    large = photos_of(photos)
    dark = [photo for photo in large if brightness(photo) < DARK]
    kinds = {
        f"{len(large)} photos": large,
        f"the {len(dark)} dark ones": dark,
        f"{SMALL_PHOTOS} small PNG": list(itertools.islice(itertools.cycle(photos_of(small)), SMALL_PHOTOS)),
    }
    columns = []
    for paths in kinds.values():
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            one, many = (copies_of(paths, number, folder / str(number)) for number in (1, COPIES))
            columns.append(_profile(one, many, folder))
    lines = ["| core-ms per MP | " + " | ".join(f"{kind} | their floor" for kind in kinds) + " |"]
    lines.append("|---" * (1 + 2 * len(columns)) + "|")
    for step in (*steps.STEPS, "Beam and handing over", "all"):
        values = (value for ours, floor in columns for value in (ours.get(step), floor.get(step)))
        lines.append(f"| {step} | " + " | ".join("" if value is None else f"{value:.2f}" for value in values) + " |")
    show(lines)


def _profile(one: Path, many: Path, folder: Path) -> tuple[dict[str, float], dict[str, float]]:
    """Core-ms per MP by step: of the command (many copies minus one, in one process), and of the codec floor."""
    total = megapixels(many)
    scale = 1000 / total
    stopwatch = steps.Stopwatch()
    floor = {"all": codec_floor(many, stopwatch).core_ms}
    floor |= {step: seconds * scale for step, seconds in stopwatch.seconds.items()}
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:  # it changes how memory is freed
        alone.submit(steps.of_job, one, folder / "warm").result()
        few = alone.submit(steps.of_job, one, folder / "few").result()
        ours = alone.submit(steps.of_job, many, folder / "out").result()
    scale = 1000 / (total - megapixels(one))
    return {step: (seconds - few.get(step, 0.0)) * scale for step, seconds in ours.items()}, floor


def memory(photos: Path, counts: Sequence[int]) -> None:
    """Prints the peak memory of the job on copies of the largest photo, and with a panorama among them."""
    lines = ["| photos | megapixels each | peak memory |", "|---|---|---|"]
    largest = max(photos_of(photos), key=lambda path: int(np.prod(Image.open(path).size)))
    for count in (*counts, None):
        with tempfile.TemporaryDirectory() as scratch:
            folder = copies_of([largest], count or counts[0], Path(scratch) / "photos")
            size = megapixels(folder) / (count or counts[0])
            if count is None:
                panorama(largest, folder / "panorama.jpg")
            name = count or f"{counts[0]} and a panorama of {PANORAMA[0] * PANORAMA[1] / 1e6:.0f} megapixels"
            lines.append(f"| {name} | {size:.0f} | {enhance(folder).peak_mb:.0f} MB |")
    show(lines)


def panorama(photo: Path, path: Path) -> None:
    """Writes a photo enlarged to a panorama, in its own process because of the memory."""
    source = f"from PIL import Image; Image.open({str(photo)!r}).resize({PANORAMA}).save({str(path)!r}, quality=90)"
    subprocess.run([sys.executable, "-c", source], check=True)


def processor() -> str:
    """The cores of this machine, and whether they have AVX-512, which halves the time of some loops."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{os.cpu_count()} cores of {platform.machine()}"
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    wide = "with" if "avx512f" in fields.get("flags", "").split() else "without"
    return f"{os.cpu_count()} cores of {fields.get('model name', platform.machine())}, {wide} AVX-512"


def show(lines: list[str]) -> None:
    """Prints a Markdown table, rendered and as source, and the machine."""
    text = "\n".join([*lines, "", f"On {processor()}."])
    rich.console.Console(stderr=True).print(rich.markdown.Markdown(text))
    print(text)


def main() -> None:
    """Runs the benchmark that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    fast = commands.add_parser("speed")
    fast.add_argument("--photos", type=Path, required=True, help="a folder of large photos")
    fast.add_argument("--small", type=Path, required=True, help="a folder of small PNG")
    fast.add_argument("--no-peers", action="store_true", help="leave out the networks at full size")
    deep = commands.add_parser("profile")
    deep.add_argument("--photos", type=Path, required=True)
    deep.add_argument("--small", type=Path, required=True)
    light = commands.add_parser("memory")
    light.add_argument("--photos", type=Path, required=True)
    light.add_argument("--counts", type=int, nargs="+", default=[40, 400])
    arguments = parser.parse_args()
    if arguments.command == "speed":
        speed(arguments.photos, arguments.small, not arguments.no_peers)
    elif arguments.command == "profile":
        profile(arguments.photos, arguments.small)
    else:
        memory(arguments.photos, arguments.counts)


if __name__ == "__main__":
    main()
