"""Speed of making a data set, beside img2dataset, TFDS and the codecs alone; and of reading it.

    python -m benchmarks.preprocess writing --photos photos --small lol/our485/low
    python -m benchmarks.preprocess reading --images sice

Speeds do not count start-up: (images of ten copies of a folder - of one) / (difference of the times). All tools write
PNG of 256x256 of about the same size. The codec floor decodes (JPEG scaled in the DCT), resizes and encodes on all
cores, and writes nothing. If this environment has no img2dataset or TFDS (they need an older OpenCV), `--peer-python`
names an interpreter that has them.
"""

import argparse
import collections
import dataclasses
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dataset_peers import PNG_LEVEL, SIZE
from benchmarks.enhance import COPIES, copies_of, photos_of, show
from pipelines.preprocess.resizing import load_resized
from pipelines.preprocess.shards import encode

SMALL_IMAGES = 50
ROUNDS = 5
BATCH = 32


@dataclasses.dataclass(frozen=True)
class Cost:
    """Wall time and CPU time in seconds. CPU time is more reliable on a shared machine."""

    wall: float
    cpu: float

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.wall - other.wall, self.cpu - other.cpu)


def alone(work: Callable[[Path], object], folder: Path) -> Cost:
    """Cost of a function on every image, in this process, on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        wall, cpu = time.perf_counter(), time.process_time()
        collections.deque(pool.map(work, photos_of(folder)), maxlen=0)
        return Cost(time.perf_counter() - wall, time.process_time() - cpu)


def codecs(path: Path) -> bytes:
    """The codec floor: decodes (JPEG scaled in the DCT), resizes, encodes."""
    return encode(load_resized(path.read_bytes(), path.name, (SIZE, SIZE), "stretch")[0], "png")


def whole_decode(path: Path) -> int:
    """The documented steps of img2dataset: OpenCV decodes all of an image, resizes by area, crops, encodes."""
    import cv2

    cv2.setNumThreads(1)
    image: Any = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    scale = SIZE / min(image.shape[:2])
    shape = max(SIZE, round(image.shape[1] * scale)), max(SIZE, round(image.shape[0] * scale))
    small = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
    top, left = (small.shape[0] - SIZE) // 2, (small.shape[1] - SIZE) // 2
    square = small[top : top + SIZE, left : left + SIZE]
    return len(cv2.imencode(".png", square, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])[1])


def command_cost(command: Sequence[str | Path], folder: Path) -> Cost:
    """Cost of a command and its child processes. Its arguments are a folder and a new folder to write to."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([*command, folder, Path(out) / "set"], check=True, capture_output=True, text=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return Cost(time.perf_counter() - wall, cpu)


def writing(photos: Path, small: Path, peer_python: str) -> None:
    """Prints a table for each kind of image."""
    with tempfile.TemporaryDirectory() as scratch:
        few = list(itertools.islice(itertools.cycle(photos_of(small)), SMALL_IMAGES))
        for name, images in (("small PNG", few), ("large photos", photos_of(photos))):
            one = copies_of(images, 1, Path(scratch) / f"{name} 1")
            ten = copies_of(images, COPIES, Path(scratch) / f"{name} {COPIES}")
            compare(f"{len(photos_of(ten))} {name}", one, ten, peer_python)


def compare(name: str, one: Path, ten: Path, peer_python: str) -> None:
    """Prints the table for one folder and its ten copies."""
    peers = Path(__file__).with_name("dataset_peers.py")
    commands: dict[str, list[str | Path]] = {
        "preprocess": [sys.executable, "-m", "pipelines.cli", "preprocess"],
        "img2dataset": [peer_python, peers, "img2dataset"],
        "TFDS": [peer_python, peers, "tfds"],
    }
    costs = {"codecs alone": alone(codecs, ten) - alone(codecs, one)}
    for peer, command in commands.items():
        try:
            costs[peer] = command_cost(command, ten) - command_cost(command, one)
        except subprocess.CalledProcessError as error:
            print(f"{peer} does not run here: {error.stderr.strip().splitlines()[-1]}", file=sys.stderr)
    costs["img2dataset's steps alone"] = alone(whole_decode, ten) - alone(whole_decode, one)
    images = len(photos_of(ten)) - len(photos_of(one))
    ours = costs["preprocess"]
    lines = [
        f"| {name} | images/s | preprocess to it | images per CPU second | preprocess to it |",
        "|---|---|---|---|---|",
    ]
    for what, cost in costs.items():
        lines.append(
            f"| {what} | {images / cost.wall:.1f} | {cost.wall / ours.wall:.2f} "
            f"| {images / cost.cpu:.1f} | {cost.cpu / ours.cpu:.2f} |"
        )
    show(lines)


def bare(shards: list[str], as_float: bool = False) -> Any:
    """The shortest way to read the same images in TensorFlow: TFRecordDataset, parse, decode, batch."""
    import tensorflow as tf

    def decode(record: tf.Tensor) -> tf.Tensor:
        features = {"image/encoded": tf.io.FixedLenFeature((), tf.string)}
        image = tf.io.decode_png(tf.io.parse_single_example(record, features)["image/encoded"], channels=3)
        return tf.image.convert_image_dtype(image, tf.float32) if as_float else image

    data = tf.data.TFRecordDataset(shards, num_parallel_reads=tf.data.AUTOTUNE)
    return data.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(tf.data.AUTOTUNE)


def reading(images: Path) -> None:
    """Prints the table of reading, nothing cached."""
    import tfrecord_tools
    from tfrecord_tools import dataset

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "set"
        command: list[str | Path] = [sys.executable, "-m", "pipelines.cli", "preprocess", images, out]
        subprocess.run([*command, "--split", "train=1"], check=True, capture_output=True)
        shards = [str(path) for path in sorted(out.glob("*.tfrecord"))]
        plain = {"batch_size": BATCH}
        in_memory = tfrecord_tools.load(out, "train", dtype="uint8", batch_size=BATCH)
        dataset.CACHE_BYTES = 0
        datasets = {
            "uint8: TFRecordDataset and decode": bare(shards),
            "load": tfrecord_tools.load(out, "train", dtype="uint8", **plain),
            "load, shuffled": tfrecord_tools.load(out, "train", dtype="uint8", shuffle=True, **plain),
            "load, shuffled with a seed": tfrecord_tools.load(
                out, "train", dtype="uint8", shuffle=True, seed=1, **plain
            ),
            "load, in memory": in_memory,
            "float32: TFRecordDataset and decode": bare(shards, as_float=True),
            "load in float32": tfrecord_tools.load(out, "train", **plain),
        }
        speeds: dict[str, list[tuple[float, float]]] = {name: [] for name in datasets}
        for _ in range(ROUNDS + 1):
            for name, data in datasets.items():
                speeds[name].append(passed(data))
    lines = [
        "| reading | images/s | of the bare one | images per CPU second | of the bare one |",
        "|---|---|---|---|---|",
    ]
    floors = (1.0, 1.0)
    for name, passes in speeds.items():
        best = max(wall for wall, _ in passes), max(cpu for _, cpu in passes)
        if "TFRecordDataset" in name:
            floors = best
        lines.append(
            f"| {name} | {best[0]:.0f} | {best[0] / floors[0]:.2f} | {best[1]:.0f} | {best[1] / floors[1]:.2f} |"
        )
    show(lines)


def passed(data: Any) -> tuple[float, float]:
    """Images per second, and per second of CPU time, of one pass. Other load slows some passes, so the best counts."""
    wall, cpu = time.perf_counter(), time.process_time()
    count = sum(len(batch) for batch in data)
    return count / (time.perf_counter() - wall), count / (time.process_time() - cpu)


def main() -> None:
    """Runs the benchmark that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("writing")
    write.add_argument("--photos", type=Path, required=True, help="a folder of large photos")
    write.add_argument("--small", type=Path, required=True, help="a folder of small PNG")
    write.add_argument("--peer-python", default=sys.executable, help="an interpreter that has img2dataset and TFDS")
    read = commands.add_parser("reading")
    read.add_argument("--images", type=Path, required=True, help="a folder of many images")
    arguments = parser.parse_args()
    if arguments.command == "writing":
        writing(arguments.photos, arguments.small, arguments.peer_python)
    else:
        reading(arguments.images)


if __name__ == "__main__":
    main()
