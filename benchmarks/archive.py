"""An archive of many small photos, all real files: both jobs over all of it, killed on the way.

    python -m benchmarks.archive enhance 100000 --photos photos
    python -m benchmarks.archive preprocess 100000 --photos photos
    python -m benchmarks.archive cluster 10000 --photos photos
    python -m benchmarks.archive workers 960 --photos photos

`enhance` kills the command twice, after a third and after two thirds. `cluster` runs on the cluster of
`scripts/local-cluster`, which must be up: from a folder to a folder, from S3 to S3, and once more with one of the two
workers killed. `workers` compares one worker process of the local runner with two. Each photo is a part of a sample
photo, of 160x120 pixels, for `workers` of 1200x900. Every third one is a PNG file.
"""

import argparse
import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from benchmarks.enhance import photos_of, show
from pipelines import storage
from pipelines.enhance import status

SMALL, LARGE = (160, 120), (1200, 900)
FILES_IN_A_FOLDER = 1000
ZERODCE = (sys.executable, "-m", "pipelines.cli")
CLUSTER = Path(__file__).resolve().parents[1] / "scripts" / "local-cluster"
SERVER = "http://10.77.0.1:5000"
S3 = {
    "AWS_ENDPOINT_URL": SERVER,
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Part(NamedTuple):
    """One start of a command until its end: seconds, core seconds, and the peak of its largest process in MB."""

    seconds: float
    core_seconds: float
    peak_mb: float


def make_photos(samples: Sequence[Path], folder: Path, count: int, size: tuple[int, int]) -> None:
    """Writes photos of this width and height: parts of the samples, each at another place."""
    width, height = size
    images: list[Image.Image] = []
    for path in samples:
        with Image.open(path) as file:
            file.draft("RGB", (4 * width, 4 * height))
            small = file.convert("RGB")
            small.thumbnail((4 * width, 4 * width))
            images.append(small)
    places = np.random.default_rng(0)
    for number in range(count):
        image = images[number % len(images)]
        left, top = (int(places.integers(max(1, side))) for side in (image.width - width, image.height - height))
        path = folder / f"{number // FILES_IN_A_FOLDER:05}" / f"IMG_{number:07}.{'png' if number % 3 == 0 else 'jpg'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.crop((left, top, left + width, top + height)).save(path, quality=85, compress_level=1)


def processes_of(session: int) -> list[int]:
    """The processes of a session."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getsid(int(name)) == session:
                found.append(int(name))
    return found


class Watch:
    """Adds up what processes take, also those that end meanwhile.

    Args:
        processes: Gives the processes that are there now.
    """

    def __init__(self, processes: Callable[[], list[int]]) -> None:
        self._processes = processes
        self._cores: dict[int, float] = {}
        self.peak_mb = 0.0

    def look(self) -> None:
        """Looks at the processes. What one takes between the last look and its end is lost."""
        for process in self._processes():
            with contextlib.suppress(OSError, KeyError, ValueError):
                fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
                self._cores[process] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
                lines = Path(f"/proc/{process}/status").read_text().splitlines()
                peak = dict(line.split(":", 1) for line in lines)["VmHWM"]
                self.peak_mb = max(self.peak_mb, int(peak.split()[0]) / 1024)

    @property
    def core_seconds(self) -> float:
        """Core seconds of all processes, up to the last look."""
        return sum(self._cores.values())


def run(command: Sequence[object], until: Callable[[], bool] = lambda: False) -> Part:
    """Runs a command to its end, or kills it and all its processes when a condition holds.

    Raises:
        RuntimeError: It failed.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            list(map(str, command)), stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
        watch = Watch(lambda: processes_of(process.pid))
        while process.poll() is None:
            watch.look()
            if until():
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                return Part(time.perf_counter() - started, watch.core_seconds, watch.peak_mb)
            time.sleep(0.5)
        said.seek(0)
        if process.returncode:
            raise RuntimeError(said.read().decode())
    return Part(time.perf_counter() - started, watch.core_seconds, watch.peak_mb)


def journaled(out: Path | str) -> int:
    """The number of records that this run has added to the journal."""
    try:
        return int(status.of(str(out))["enhanced"])
    except (OSError, ValueError):
        return 0


def checked(out: Path | str, count: int) -> dict[str, Any]:
    """The content of run.json, once it and the tables are found to account for each photo once.

    Raises:
        RuntimeError: They do not.
    """
    content: dict[str, Any] = json.loads(storage.read(storage.join(str(out), "run.json")))
    counts = content["counts"]
    table = io.StringIO(storage.read(storage.join(str(out), "metrics.csv")).decode())
    paths = [row["path"] for row in csv.DictReader(table)]
    images = sum(1 for _ in storage.walk(storage.join(str(out), "enhanced")))
    done = counts["enhanced"] + counts["skipped"]
    if not count == counts["found"] == done == len(paths) == len(set(paths)) == images or counts["failed"]:
        raise RuntimeError(f"{count} photos, {counts}, {len(paths)} rows, {images} images")
    return content


def journal_bytes(out: Path | str) -> int:
    """Bytes of the journal."""
    return sum(entry.size for entry in storage.walk(storage.join(str(out), ".zerodce/journal")))


def images_in(out: Path) -> int:
    """The number of enhanced photos in a folder of results."""
    folder = str(out / "enhanced")
    return sum(1 for _ in storage.walk(folder)) if storage.exists(folder) else 0


def enhance(folder: Path, photos: Path, count: int) -> list[str]:
    """The table of `zerodce enhance`, killed twice."""
    out = folder / "out"
    lines = ["| start | ended by | seconds | core seconds | peak memory | photos done |", "|---|---|---|---|---|---|"]
    for start, share in enumerate((1, 2, 3), 1):
        begun = time.monotonic()

        def reached(share: int = share, begun: float = begun) -> bool:
            if share == 3 or (time.monotonic() - begun) % 5 > 0.6:  # to ask takes time too
                return False
            return images_in(out) > share * count / 3

        part = run([*ZERODCE, "enhance", photos, out], reached)
        done = images_in(out)
        numbers = f"{part.seconds:.0f} | {part.core_seconds:.0f} | {part.peak_mb:.0f} MB | {done:,}"
        lines.append(f"| {start} | {'SIGKILL' if share < 3 else 'itself'} | {numbers} |")
    counts = checked(out, count)["counts"]
    again = run([*ZERODCE, "enhance", photos, out])
    lines.append(f"| 4 | nothing to do | {again.seconds:.0f} | {again.core_seconds:.0f} | {again.peak_mb:.0f} MB | - |")
    lines += ["", f"The last start that worked found {counts['skipped']:,} photos done and did {counts['enhanced']:,}."]
    return [*lines, f"The journal has {journal_bytes(out) / count:.0f} bytes a photo."]


def preprocess(folder: Path, photos: Path, count: int) -> list[str]:
    """The table of `zerodce preprocess`."""
    out = folder / "shards"
    part = run([*ZERODCE, "preprocess", photos, out])
    manifest = json.loads((out / "manifest.json").read_text())
    records = sum(split["records"] for split in manifest["splits"].values())
    if records != count:
        raise RuntimeError(f"{records} records of {count} photos")
    size = sum(path.stat().st_size for path in out.rglob("*.tfrecord*"))
    lines = ["| records | shards | seconds | core seconds | peak memory | size |", "|---|---|---|---|---|---|"]
    shards = sum(1 for _ in out.rglob("*.tfrecord*"))
    numbers = f"{part.seconds:.0f} | {part.core_seconds:.0f} | {part.peak_mb:.0f} MB | {size / 1e9:.2f} GB"
    return [*lines, f"| {records:,} | {shards} | {numbers} |"]


def workers(folder: Path, photos: Path, count: int) -> list[str]:
    """The table of one and of two worker processes. The start of the processes is taken off."""
    few = folder / "few"
    few.mkdir()
    for path in photos_of(photos)[: count // 4]:
        os.link(path, few / path.name)
    lines = ["| worker processes | seconds | of these without the start | core seconds |", "|---|---|---|---|"]
    taken = []
    for number in (1, 2):
        parts = []
        for source, size in ((few, count // 4), (photos, count)):
            out = folder / f"{number}-{size}"
            processes = ["--direct_running_mode=multi_processing", f"--direct_num_workers={number}"]
            parts.append(run([*ZERODCE, "enhance", source, out, "--workers", "1", "--", *processes]))
            checked(out, size)
        taken.append((parts[1].seconds - parts[0].seconds) * 4 / 3)  # the start is in both
        lines.append(f"| {number} | {parts[1].seconds:.0f} | {taken[-1]:.0f} | {parts[1].core_seconds:.0f} |")
    return [*lines, "", f"Two worker processes are {taken[0] / taken[1]:.2f} times as fast as one."]


def workers_of_cluster() -> list[int]:
    """The Python processes on the hosts of the workers."""
    found = []
    for host in ("worker1", "worker2"):
        listed = subprocess.run(["ip", "netns", "pids", f"zerodce-{host}"], capture_output=True, text=True, check=False)
        for process in map(int, listed.stdout.split()):
            with contextlib.suppress(OSError):
                if "python" in os.path.basename(os.readlink(f"/proc/{process}/exe")):
                    found.append(process)
    return found


def requests() -> int:
    """The number of requests that the S3 server has got."""
    log = Path(os.environ.get("ZERODCE_CLUSTER_LOGS", "/tmp/zerodce-cluster"), "head-s3.log")
    return log.read_bytes().count(b" HTTP/1.1")


def cluster(folder: Path, photos: Path, count: int) -> list[str]:
    """The table of the cluster. Core seconds are those of the workers, without the S3 server and without Flink."""
    os.environ.update(S3)
    urllib.request.urlopen(urllib.request.Request(f"{SERVER}/archive", method="PUT"), timeout=10).close()
    for entry in storage.walk(str(photos)):
        content = storage.read(storage.join(str(photos), entry.path))
        storage.write(f"s3://archive/photos/{entry.path}", content)
    rows = [
        "| from, to | worker killed | seconds | core seconds of the workers | requests a photo |",
        "|---|---|---|---|---|",
    ]
    taken = []
    for source, out, kill in (
        (photos, folder / "out", False),
        ("s3://archive/photos", "s3://archive/out", False),
        ("s3://archive/photos", "s3://archive/again", True),
    ):
        watch, before, killed = Watch(workers_of_cluster), requests(), False
        watch.look()
        idle = watch.core_seconds

        def look(watch: Watch = watch, out: Path | str = out, kill: bool = kill) -> bool:
            nonlocal killed
            watch.look()
            if kill and not killed and journaled(out) > count / 3:
                subprocess.run([CLUSTER, "kill", "worker1"], check=True)
                killed = True
            return False

        part = run([CLUSTER, "run", "enhance", source, out], look)
        asked = requests() - before  # before the checks ask for more
        checked(out, count)
        taken.append(watch.core_seconds - idle)
        name = "folder, folder" if source == photos else "S3, S3"
        per_photo = f"{asked / count:.1f}" if source != photos else "-"
        rows.append(f"| {name} | {'yes' if killed else 'no'} | {part.seconds:.0f} | {taken[-1]:.0f} | {per_photo} |")
    return [*rows, "", f"Folder to folder takes {taken[0] / taken[1]:.2f} of the core time of S3 to S3."]


JOBS = {
    "enhance": (enhance, SMALL),
    "preprocess": (preprocess, SMALL),
    "cluster": (cluster, SMALL),
    "workers": (workers, LARGE),
}


def main() -> None:
    """Makes the photos, runs the job, and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=tuple(JOBS))
    parser.add_argument("count", type=int, help="number of photos")
    parser.add_argument("--photos", type=Path, required=True, help="folder of sample photos")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos = Path(folder) / "photos"
        job, size = JOBS[arguments.job]
        make_photos(photos_of(arguments.photos)[:40], photos, arguments.count, size)
        lines = job(Path(folder), photos, arguments.count)
        show([f"{arguments.count:,} photos, {size[0]}x{size[1]}.", "", *lines])


if __name__ == "__main__":
    main()
