"""`zerodce enhance --watch` as a process: files come, grow and change, and the process is ended in several ways."""

import csv
import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow


class Watch:
    """The command with `--watch`, and its folders `photos` and `out`."""

    def __init__(self, folder: Path) -> None:
        self.photos, self.out = folder / "photos", folder / "out"
        self.photos.mkdir(exist_ok=True)
        self.start()

    def start(self, *options: str) -> None:
        command = [sys.executable, "-m", "pipelines.cli", "enhance", self.photos, self.out, "--watch", *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def has_begun(self) -> bool:
        """Whether the next line that it prints says that it watches."""
        assert self.process.stderr is not None
        return self.process.stderr.readline().startswith("Watching")

    def rows(self, table: str = "metrics.csv") -> dict[str, dict[str, str]]:
        try:
            content = (self.out / table).read_text()
        except FileNotFoundError:
            return {}
        return {row["path"]: row for row in csv.DictReader(io.StringIO(content))}

    def wait(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 90
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, (self.rows(), self.rows("failures.csv"))
            time.sleep(0.02)

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        self.process.send_signal(number)
        said, errors = self.process.communicate(timeout=60)
        assert "Traceback" not in errors
        return self.process.returncode, said, errors

    def image(self, name: str) -> tuple[int, bytes]:
        """Inode, which is new for each written file, and content of an enhanced photo."""
        path = self.out / "enhanced" / name
        return path.stat().st_ino, path.read_bytes()

    @property
    def run(self) -> dict[str, Any]:
        """Content of run.json, which a batch writes after the tables."""
        try:
            return json.loads((self.out / "run.json").read_text())
        except FileNotFoundError:
            return {"counts": {}}

    def wait_for(self, **counts: int) -> None:
        self.wait(lambda: counts.items() <= self.run["counts"].items())


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    watch = Watch(tmp_path)
    yield watch
    if watch.process.poll() is None:
        watch.process.kill()
        watch.process.communicate()


def photo(seed: int, side: int = 64) -> bytes:
    values = np.random.default_rng(seed).integers(0, 40, (side, side, 3), dtype=np.uint8)
    content = io.BytesIO()
    Image.fromarray(values).save(content, "PNG")
    return content.getvalue()


def write_slowly(path: Path, content: bytes, parts: int = 9) -> None:
    """Writes a file in parts, one each second."""
    size = -(-len(content) // parts)
    with open(path, "wb") as file:
        for start in range(0, len(content), size):
            file.write(content[start : start + size])
            file.flush()
            time.sleep(1)


def test_files_are_done_once_as_they_come(watch: Watch) -> None:
    watch.wait(watch.has_begun)
    writer = threading.Thread(target=write_slowly, args=(watch.photos / "slow.png", photo(1)))
    writer.start()
    (watch.photos / "day").mkdir()
    (watch.photos / "day" / "a.png").write_bytes(photo(2))
    (watch.photos / "bad.png").write_bytes(b"this is no photo")
    (watch.photos / "notes.txt").write_text("no photo by its name")
    watch.wait_for(found=2, enhanced=1, failed=1)
    assert set(watch.rows()) == {"day/a.png"}  # the other photo still grows
    assert set(watch.rows("failures.csv")) == {"bad.png"}
    first = watch.image("day/a.png")
    writer.join()
    watch.wait_for(found=3, enhanced=2, skipped=0, failed=1, ignored=1)
    assert set(watch.rows()) == {"day/a.png", "slow.png"}
    slow = watch.image("slow.png")
    with Image.open(watch.out / "enhanced" / "slow.png") as image:
        image.load()
    assert set(watch.rows("failures.csv")) == {"bad.png"}
    assert watch.image("day/a.png") == first

    (watch.photos / "day" / "a.png").write_bytes(photo(3))  # replaced
    (watch.photos / "bad.png").write_bytes(photo(4))  # mended
    watch.wait(lambda: "bad.png" in watch.rows() and watch.image("day/a.png") != first)
    code, said, errors = watch.end()
    assert code == 0
    assert errors == ""
    assert "2 photos enhanced, 0 done before, 1 failed" in said
    assert set(watch.rows()) == {"bad.png", "day/a.png", "slow.png"}
    assert not watch.rows("failures.csv")
    assert watch.image("slow.png") == slow
    counts = watch.run["counts"]
    assert (counts["found"], counts["enhanced"], counts["failed"]) == (3, 3, 0)
    assert watch.run["interrupted"] is False
    assert "day/a.png" in (watch.out / "report" / "data" / "rows-00000.js").read_text()


def test_after_a_kill_it_goes_on_and_does_nothing_twice(watch: Watch) -> None:
    (watch.photos / "a.png").write_bytes(photo(1))
    (watch.photos / "bad.png").write_bytes(b"this is no photo")
    watch.wait_for(enhanced=1, failed=1)
    before = watch.image("a.png")
    watch.end(signal.SIGKILL)
    (watch.photos / "b.png").write_bytes(photo(2))
    watch.start()
    watch.wait_for(enhanced=1, skipped=1, failed=1)
    other = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "enhance", watch.photos, watch.out],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert other.returncode == 1
    assert "another process is working on" in other.stderr
    code, _, _ = watch.end()
    assert code == 1  # a failure is left
    assert watch.image("a.png") == before
    counts = watch.run["counts"]
    assert {name: counts[name] for name in ("found", "enhanced", "skipped", "failed")} == {
        "found": 3,
        "enhanced": 1,
        "skipped": 1,
        "failed": 1,
    }
    assert set(watch.rows("failures.csv")) == {"bad.png"}


def test_ctrl_c_during_a_batch_leaves_complete_tables_and_130(watch: Watch) -> None:
    content = photo(1, 1500)
    for number in range(40):
        (watch.photos / f"{number:02}.png").write_bytes(content)
    journal = watch.out / ".zerodce" / "journal"
    watch.wait(lambda: any(b"\n" in path.read_bytes() for path in journal.glob("*.jsonl")))
    code, _, errors = watch.end()
    assert code == 130
    assert "the same command goes on from here" in errors
    rows = watch.rows()
    assert 1 <= len(rows) < 40
    assert watch.run["counts"]["enhanced"] == len(rows)
    assert watch.run["interrupted"] is True
    for name in rows:
        with Image.open(watch.out / "enhanced" / name) as image:
            image.load()


def test_without_photos_it_waits_and_ends_well(watch: Watch) -> None:
    watch.wait(watch.has_begun)
    code, said, _ = watch.end()
    assert (code, said) == (0, "")
    assert not (watch.out / "metrics.csv").exists()
