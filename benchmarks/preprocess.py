"""How fast a folder becomes a data set, beside img2dataset, TFDS and the codecs alone; and how fast it is read.

    python -m benchmarks.preprocess writing --photos ../shared/data/photos --small ../shared/data/lol/our485/low
    python -m benchmarks.preprocess reading --images ../shared/data/sice/images

Speeds of whole jobs are after start-up: (images of ten copies of a folder - of one) / (difference of the times). All
write PNG of 256x256 with the same compression level. The codec floor decodes (JPEG scaled in the DCT), resizes and
encodes on all cores, and neither reads nor writes. Where this environment has no img2dataset or TFDS (they want
older OpenCV), `--peer-python` names an interpreter that has them.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dataset_peers import PNG_LEVEL, SIZE
from benchmarks.enhance import COPIES, copies_of, photos_of, show
from pipelines.resizing import load_resized
from pipelines.shards import encode

SMALL_IMAGES = 50
ROUNDS = 5
BATCH = 32


def codec_floor(folder: Path) -> float:
    """Images/s of decoding, resizing and encoding alone, on all cores."""
    files = [(path.read_bytes(), path.name) for path in photos_of(folder)]

    def work(file: tuple[bytes, str]) -> bytes:
        return encode(load_resized(*file, (SIZE, SIZE), "stretch")[0], "png")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = time.perf_counter()
        count = sum(1 for _ in pool.map(work, files))
        return count / (time.perf_counter() - started)


def whole_decode(folder: Path) -> float:
    """Images/s of what img2dataset documents that it does: OpenCV decodes all of an image, INTER_AREA, encodes."""
    import cv2

    cv2.setNumThreads(1)
    contents = [path.read_bytes() for path in photos_of(folder)]

    def work(content: bytes) -> int:
        image: Any = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        scale = SIZE / min(image.shape[:2])
        shape = max(SIZE, round(image.shape[1] * scale)), max(SIZE, round(image.shape[0] * scale))
        small = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
        top, left = (small.shape[0] - SIZE) // 2, (small.shape[1] - SIZE) // 2
        square = small[top : top + SIZE, left : left + SIZE]
        return len(cv2.imencode(".png", square, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])[1])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = time.perf_counter()
        count = sum(1 for _ in pool.map(work, contents))
        return count / (time.perf_counter() - started)


def seconds(command: Sequence[str | Path], folder: Path) -> float:
    """Time of a command that gets a folder and a new folder to write to."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as out:
        started = time.perf_counter()
        subprocess.run([*command, folder, Path(out) / "set"], check=True, capture_output=True, text=True)
        return time.perf_counter() - started


def after_start_up(command: Sequence[str | Path], one: Path, ten: Path) -> float:
    """Images/s of a command."""
    images = len(photos_of(ten)) - len(photos_of(one))
    return images / (seconds(command, ten) - seconds(command, one))


def writing(photos: Path, small: Path, peer_python: str) -> None:
    """Prints the table of writing."""
    lines = [
        "| images/s | " + " | ".join(("preprocess", "codec floor", "share", "img2dataset", "times", "TFDS", "times"))
    ]
    lines[0] += " | img2dataset's steps without it |"
    lines.append("|---" * 9 + "|")
    peers = Path(__file__).with_name("dataset_peers.py")
    with tempfile.TemporaryDirectory() as scratch:
        for name, images in (
            (
                f"{SMALL_IMAGES * COPIES} small PNG",
                list(itertools.islice(itertools.cycle(photos_of(small)), SMALL_IMAGES)),
            ),
            (f"{len(photos_of(photos)) * COPIES} large photos", photos_of(photos)),
        ):
            one = copies_of(images, 1, Path(scratch) / f"{name} 1")
            ten = copies_of(images, COPIES, Path(scratch) / f"{name} {COPIES}")
            codec_floor(one)
            floors = [codec_floor(ten)]
            ours = after_start_up([sys.executable, "-m", "pipelines.cli", "preprocess"], one, ten)
            floors.append(codec_floor(ten))
            floor = statistics.mean(floors)
            cells = [name, f"{ours:.1f}", f"{floor:.1f}", f"{ours / floor:.2f}"]
            for peer in ("img2dataset", "tfds"):
                try:
                    theirs = after_start_up([peer_python, peers, peer], one, ten)
                    cells += [f"{theirs:.1f}", f"{ours / theirs:.1f}"]
                except subprocess.CalledProcessError as error:
                    print(f"{peer} does not run here: {error.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                    cells += ["not installed", ""]
            cells.append(f"{whole_decode(ten):.1f}")
            lines.append("| " + " | ".join(cells) + " |")
    show(lines)


def bare(shards: list[str], as_float: bool = False) -> Any:
    """The least that reads the same images with TensorFlow: TFRecordDataset, parse, decode, batch."""
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

    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "set"
        command: list[str | Path] = [sys.executable, "-m", "pipelines.cli", "preprocess", images, out]
        subprocess.run([*command, "--split", "train=1"], check=True, capture_output=True)
        shards = [str(path) for path in sorted(out.glob("*.tfrecord"))]
        plain = {"batch_size": BATCH, "cache": False}
        datasets = {
            "uint8: TFRecordDataset and decode": bare(shards),
            "load": tfrecord_tools.load(out, "train", dtype="uint8", **plain),
            "load, shuffled": tfrecord_tools.load(out, "train", dtype="uint8", shuffle=True, **plain),
            "load, shuffled with a seed": tfrecord_tools.load(
                out, "train", dtype="uint8", shuffle=True, seed=1, **plain
            ),
            "load, in memory": tfrecord_tools.load(out, "train", dtype="uint8", batch_size=BATCH, cache=True),
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
    """Images per second, and per second of CPU time, of one pass; the best of several is what others leave to it."""
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
