"""Both jobs on Prism, a second engine beside Flink: the results of one process, also from two jobs at once."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.prism

ROOT = Path(__file__).resolve().parents[2]
PRISM = ROOT / "scripts" / "prism"
ZERODCE = (sys.executable, "-m", "pipelines.cli")
PHOTOS = 24
PATIENCE = 300


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def serving(command: list[object], port: int) -> Iterator[None]:
    """A service, as long as it is needed."""
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("localhost", port)):
                    break
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def runner() -> Iterator[tuple[str, ...]]:
    """The options of a job on Prism, whose workers are processes of a pool."""
    if subprocess.run([PRISM, "fetched"]).returncode:
        pytest.skip("Prism is not here yet: scripts/prism fetch")
    prism, pool = free_port(), free_port()
    with (
        serving([PRISM, "serve", prism], prism),
        serving([sys.executable, "-m", "pipelines.worker_pool", "--port", pool], pool),
    ):
        yield (
            *("--runner", "PortableRunner", "--", f"--job_endpoint=localhost:{prism}"),
            *("--environment_type=EXTERNAL", f"--environment_config=localhost:{pool}"),
        )


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small photos, and one that is broken."""
    folder = tmp_path_factory.mktemp("archive") / "photos"
    picture = np.random.default_rng(0).integers(0, 60, (60, 90, 3), dtype=np.uint8)
    for number in range(PHOTOS):
        path = folder / f"day{number % 3}" / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).resize((300, 200)).rotate(number).save(path, quality=90)
    (folder / "day0" / "broken.jpg").write_bytes(b"no photo")
    return folder


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [*ZERODCE, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)


def ended(process: subprocess.Popen[str], code: int) -> str:
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, said
    return said


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of each result, without what tells of the run itself."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_file() and not name.startswith((".zerodce/", "report.html")) and name != "run.json":
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.fixture(scope="module")
def expected(photos: Path) -> Path:
    """What the jobs leave when they run in one process; 1 is their exit code because of the broken photo."""
    out = photos.parent / "expected"
    ended(start("enhance", photos, out / "enhance"), 1)
    ended(start("preprocess", photos, out / "preprocess", "--shard-records", "3"), 1)
    return out


def test_two_jobs_at_once_give_what_one_process_gives(
    photos: Path, expected: Path, runner: tuple[str, ...], tmp_path: Path
) -> None:
    jobs = [
        start("enhance", photos, tmp_path / "enhance", *runner),
        start("preprocess", photos, tmp_path / "preprocess", "--shard-records", "3", *runner),
    ]
    for job in jobs:
        ended(job, 1)
    for name in ("enhance", "preprocess"):
        assert digests(tmp_path / name) == digests(expected / name)
    assert len((tmp_path / "enhance" / "metrics.csv").read_text().splitlines()) == 1 + PHOTOS


def test_a_finished_run_goes_on_with_what_is_missing(
    photos: Path, expected: Path, runner: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(photos, more := tmp_path / "photos", copy_function=shutil.copy2)
    (more / "day1" / "01.jpg").rename(tmp_path / "later.jpg")
    ended(start("enhance", more, out, *runner), 1)
    os.rename(tmp_path / "later.jpg", more / "day1" / "01.jpg")
    ended(start("enhance", more, out, *runner), 1)
    counts = json.loads((out / "run.json").read_text())["counts"]
    assert (counts["enhanced"], counts["skipped"], counts["failed"]) == (1, PHOTOS - 1, 1)
    assert digests(out) == digests(expected / "enhance")
