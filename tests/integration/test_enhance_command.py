"""`zerodce enhance` as a process: what it prints, and what is left when it is killed or interrupted."""

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

PHOTOS = 40


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty photos of 1.5 megapixels, in two folders."""
    folder = tmp_path_factory.mktemp("archive") / "photos"
    picture = np.random.default_rng(0).integers(0, 60, (100, 150, 3), dtype=np.uint8)
    image = Image.fromarray(picture).resize((1500, 1000), Image.Resampling.BICUBIC)
    for number in range(PHOTOS):
        path = folder / f"day{number % 2}" / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.rotate(number).save(path, quality=90)
    return folder


@pytest.fixture(scope="module")
def undisturbed(photos: Path) -> Path:
    """What a run that nothing disturbs leaves, checked to say nothing but its table."""
    out = photos.parent / "undisturbed"
    process = start("enhance", photos, out)
    said, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "enhanced" in said
    assert [line for line in errors.splitlines() if " of 40 photos, " not in line] == []
    return out


def journaled(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in (out / ".zerodce" / "journal").glob("*.jsonl"))


def wait_for_rows(process: subprocess.Popen[str], out: Path, number: int) -> None:
    deadline = time.monotonic() + 120
    while journaled(out) < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_same(out: Path, other: Path) -> None:
    """Both folders hold the same images and rows, and nothing half-written."""
    for name in ("enhanced", "autocontrast"):
        files = [{p.relative_to(o): p.read_bytes() for p in (o / name).rglob("*.*")} for o in (out, other)]
        assert files[0] == files[1]
    assert (out / "metrics.csv").read_text() == (other / "metrics.csv").read_text()


def status(out: Path) -> dict[str, Any]:
    said, errors = start("status", out, "--json").communicate(timeout=60)
    assert not errors
    return json.loads(said)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_killed_run_goes_on_where_it_stopped(photos: Path, undisturbed: Path) -> None:
    out = photos.parent / "killed"
    for number in (3, 20):
        process = start("enhance", photos, out)
        wait_for_rows(process, out, number)
        assert status(out)["state"] == "running"
        process.kill()
        process.communicate()
        wait_until(lambda: status(out)["state"] == "killed")  # the worker dies with its watcher
        for path in (out / "enhanced").rglob("*.jpg"):
            with Image.open(path) as image:
                image.load()
    finished = journaled(out)
    process = start("enhance", photos, out)
    process.communicate(timeout=300)
    assert process.returncode == 0
    counts = json.loads((out / "run.json").read_text())["counts"]
    assert counts["skipped"] == finished
    assert counts["enhanced"] == PHOTOS - finished
    assert_same(out, undisturbed)
    assert (status(out)["state"], status(out)["enhanced"]) == ("complete", PHOTOS - finished)


def test_a_dry_run_shows_names_that_the_terminal_cannot(tmp_path: Path) -> None:
    names = os.fsdecode(b"night \xff.jpg"), "n\u00e4chtlich.jpg"
    for name in names:
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / name).write_bytes(b"1")
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    process = start("enhance", tmp_path / "photos", tmp_path / "out", "--dry-run", env=strict)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    first, second, last = said.splitlines()
    assert first == rf"night \udcff.jpg -> {tmp_path}/out/enhanced/night \udcff.jpg"
    assert second.startswith("n\u00e4chtlich.jpg -> ")
    assert last.startswith("2 of 2 photos would be enhanced")
    assert not (tmp_path / "out").exists()


def test_an_impatient_interrupt_ends_at_once(photos: Path) -> None:
    out = photos.parent / "impatient"
    process = start("enhance", photos, out)
    wait_for_rows(process, out, 1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from here" in errors
    assert "Traceback" not in errors


def test_an_interrupted_run_says_so_and_goes_on(photos: Path, undisturbed: Path) -> None:
    out = photos.parent / "interrupted"
    process = start("enhance", photos, out)
    wait_for_rows(process, out, 3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on from here" in errors
    assert "Traceback" not in errors
    assert 3 <= len((out / "metrics.csv").read_text().splitlines()) - 1 < PHOTOS
    command = [sys.executable, "-m", "pipelines.enhance", "--input", photos, "--output", out, "--workers", "1"]
    quiet = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(command, check=True, timeout=300, capture_output=True, text=True, env=quiet)
    assert [line for line in done.stderr.splitlines() if " photos, " not in line] == []
    assert_same(out, undisturbed)


PLUGIN = '''
"""Pillow decoders that end their process, by themselves or as the kernel would, or hang: one with Python's lock."""
import ctypes
import os
import signal
import time

from PIL import Image, ImageFile


class Ending(ImageFile.ImageFile):
    format = format_description = "ENDING"

    def _open(self):
        self._mode, self._size = "RGB", (8, 8)
        self.tile = [("raw", (0, 0, 8, 8), 8, ("RGB", 0, 1))]
        self.kind = self.fp.read(8)[6:7]

    def load(self):
        if self.kind == b"S":
            time.sleep(1_000_000)
        if self.kind == b"L":
            ctypes.PyDLL(None).sleep(1_000_000)
        os.abort() if self.kind == b"A" else os.kill(os.getpid(), signal.SIGKILL)


Image.register_open("ENDING", Ending, lambda start: start.startswith(b"ENDING"))
Image.register_extension("ENDING", ".ending")
'''


@pytest.fixture
def with_plugin(tmp_path: Path) -> dict[str, str]:
    """An environment in which Python has a decoder that ends its process."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(PLUGIN)
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH"), os.getcwd()]))
    return {**os.environ, "PYTHONPATH": path}


def test_photos_that_end_the_process_are_rows_and_the_run_goes_on(
    photos: Path, undisturbed: Path, tmp_path: Path, with_plugin: dict[str, str]
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    shutil.copytree(photos, archive)
    (archive / "day0" / "05.ending").write_bytes(b"ENDINGA" + bytes(300))
    (archive / "day1" / "06.ending").write_bytes(b"ENDINGK" + bytes(300))
    process = start("enhance", archive, out, env=with_plugin)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert "ended by SIGABRT" in errors
    assert "ended by SIGKILL" in errors
    assert "Traceback" not in errors
    counts = json.loads((out / "run.json").read_text())["counts"]
    assert (counts["found"], counts["enhanced"] + counts["skipped"], counts["failed"]) == (PHOTOS + 2, PHOTOS, 2)
    with open(out / "failures.csv", newline="") as file:
        failures = {row["path"]: row["stage"] for row in csv.DictReader(file)}
    assert failures == {"day0/05.ending": "crash", "day1/06.ending": "crash"}
    assert_same(out, undisturbed)


PROCESSES = ("--", "--direct_running_mode=multi_processing", "--direct_num_workers=2")


def failures_of(out: Path) -> dict[str, tuple[str, str]]:
    with open(out / "failures.csv", newline="") as file:
        return {row["path"]: (row["stage"], row["error"]) for row in csv.DictReader(file)}


@pytest.mark.parametrize("mode", [(), PROCESSES], ids=["threads", "processes"])
def test_a_decoder_that_hangs_costs_one_row(
    photos: Path, undisturbed: Path, tmp_path: Path, with_plugin: dict[str, str], mode: tuple[str, ...]
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    shutil.copytree(photos, archive)
    for name in ("day0/05.ending", "day1/07.ending"):
        (archive / name).write_bytes(b"ENDINGS" + bytes(300))
    process = start("enhance", archive, out, "--photo-timeout", 5, *mode, env=with_plugin)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert "ended by a photo that took longer than its time limit" in errors
    assert "Traceback" not in errors
    failure = ("decode", "it took longer than 5 s (--photo-timeout)")
    assert failures_of(out) == {"day0/05.ending": failure, "day1/07.ending": failure}
    counts = json.loads((out / "run.json").read_text())["counts"]
    assert (counts["found"], counts["enhanced"] + counts["skipped"], counts["failed"]) == (PHOTOS + 2, PHOTOS, 2)
    assert_same(out, undisturbed)
    assert len(list((out / ".zerodce" / "in_work").iterdir())) == 2  # the next run tries them alone

    for path in archive.rglob("*.ending"):
        path.unlink()
    process = start("enhance", archive, out, *mode, env=with_plugin)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert list((out / ".zerodce" / "in_work").iterdir()) == []


def test_a_decoder_that_hangs_with_the_lock_of_the_interpreter_costs_one_row(
    photos: Path, tmp_path: Path, with_plugin: dict[str, str]
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    shutil.copytree(photos / "day0", archive)
    (archive / "05.ending").write_bytes(b"ENDINGL" + bytes(300))
    process = start("enhance", archive, out, "--photo-timeout", 2, env=with_plugin)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert failures_of(out).keys() == {"05.ending"}
    assert failures_of(out)["05.ending"][0] == "crash"
    assert json.loads((out / "run.json").read_text())["counts"]["failed"] == 1


def test_a_worker_process_that_crashes_costs_one_row(
    photos: Path, undisturbed: Path, tmp_path: Path, with_plugin: dict[str, str]
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    shutil.copytree(photos, archive)
    (archive / "day0" / "05.ending").write_bytes(b"ENDINGA" + bytes(300))
    process = start("enhance", archive, out, *PROCESSES, env=with_plugin)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1, errors
    assert "ended by SIGABRT" in errors
    assert "Traceback" not in errors
    assert {path: stage for path, (stage, _) in failures_of(out).items()} == {"day0/05.ending": "crash"}
    assert_same(out, undisturbed)


def processes_of(marker: str) -> list[int]:
    """The processes that have a variable in their environment, as all children of a process have it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if marker.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("rows", [None, 1], ids=["while it starts", "while a decoder hangs"])
def test_worker_processes_end_with_the_command(
    photos: Path, tmp_path: Path, with_plugin: dict[str, str], rows: int | None
) -> None:
    archive, out = tmp_path / "archive", tmp_path / "out"
    shutil.copytree(photos / "day0", archive)
    (archive / "01.ending").write_bytes(b"ENDINGS" + bytes(300))
    marker = f"ZERODCE_TEST={tmp_path}"
    process = start("enhance", archive, out, *PROCESSES, env=with_plugin | dict([marker.split("=")]))
    try:
        if rows is None:
            deadline = time.monotonic() + 60
            while len(processes_of(marker)) < 4:  # the command, that which works, and two workers
                assert time.monotonic() < deadline
                time.sleep(0.05)
        else:
            wait_for_rows(process, out, rows)
            time.sleep(1)
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 20
        while processes_of(marker):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        for each in processes_of(marker):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from pipelines.cli import main; main(['enhance', '--help'], standalone_mode=False);"
        "assert not {'tensorflow', 'keras', 'apache_beam', 'numpy', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_it_works_without_standard_streams(photos: Path, undisturbed: Path, tmp_path: Path, closed: str) -> None:
    """As a daemon starts it: what it says goes nowhere, and no file takes the number of a stream."""
    photo = next(photos.glob("*/*.jpg"))
    script = f'exec "$0" -m pipelines.cli enhance "$1" "$2" {closed}'
    process = subprocess.run(["bash", "-c", script, sys.executable, photo, tmp_path / "out"], timeout=300)
    assert process.returncode == 0
    (enhanced,) = (undisturbed / "enhanced").rglob(photo.name)
    assert (tmp_path / "out" / "enhanced" / photo.name).read_bytes() == enhanced.read_bytes()


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_what_keras_is_told_elsewhere_does_not_matter(
    photos: Path, undisturbed: Path, tmp_path: Path, backend: str
) -> None:
    """Another backend in the environment, and in the user's keras.json what no program can use."""
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps({"image_data_format": "channels_first", "floatx": 7}))
    photo = next(photos.glob("*/*.jpg"))
    environment = {**os.environ, "KERAS_BACKEND": backend, "HOME": str(tmp_path)}
    process = start("enhance", photo, tmp_path / "out", "--backend", "tensorflow", env=environment)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    (enhanced,) = (undisturbed / "enhanced").rglob(photo.name)
    assert (tmp_path / "out" / "enhanced" / photo.name).read_bytes() == enhanced.read_bytes()


def test_it_returns_where_whoever_started_it_ignores_its_children(photos: Path, tmp_path: Path) -> None:
    """SIG_IGN of SIGCHLD is inherited; the kernel then tells nobody of a child that has ended."""
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", ignoring, sys.executable, "-m", "pipelines.cli", "enhance"]
    done = subprocess.run([*command, str(photos / "day0"), str(tmp_path / "out")], capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out/run.json").read_text())["counts"]["enhanced"] == PHOTOS // 2


@pytest.mark.parametrize("seconds", [0.3, 0.8, 1.5])
def test_an_interrupt_of_the_whole_group_while_it_starts_is_130(photos: Path, tmp_path: Path, seconds: float) -> None:
    """As a terminal, or a supervisor that signals a group, sends it: to the watcher and to the worker."""
    process = start("enhance", photos, tmp_path / "out", start_new_session=True)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode in (130, -signal.SIGINT), errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("options", [("--json",), ()])
def test_a_reader_that_goes_ends_it_with_141(photos: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    process = start("enhance", *options, photos, tmp_path / "out")
    assert process.stdout
    process.stdout.close()
    assert process.wait(timeout=300) == 141
    assert process.stderr
    said = process.stderr.read()
    assert "Error" not in said
    assert "Traceback" not in said


def test_a_machine_of_one_gigabyte_is_enough_for_photos_of_12_megapixels(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    light = np.random.default_rng(0).integers(0, 90, (300, 400, 3), np.uint8)
    for number in range(4):
        photo = Image.fromarray(np.roll(light, 50 * number, axis=1)).resize((4000, 3000), Image.Resampling.BICUBIC)
        photo.save(tmp_path / "photos" / f"{number}.jpg", quality=90)
    command = [
        sys.executable,
        "-m",
        "pipelines.cli",
        "enhance",
        "photos",
        "out",
        "--max-memory",
        "1GB",
        "--workers",
        "4",
    ]
    measured = (  # from a small process: a child starts with the peak of its parent
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    found = subprocess.run(
        [sys.executable, "-c", measured, *command],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert json.loads((tmp_path / "out" / "run.json").read_text())["counts"]["enhanced"] == 4
    assert int(found.stdout) * 1024 < 10**9


def test_the_first_run_says_that_it_compiles_and_the_next_does_not(tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 60, (200, 300, 3), np.uint8)).save(photo)
    said = []
    for out in ("first", "second"):
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
        process = start("enhance", photo, tmp_path / out, env=environment)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        said.append("Compiling for this processor. Only the first run does that." in errors)
    assert said == [True, False]
    assert (tmp_path / "first/enhanced/a.png").read_bytes() == (tmp_path / "second/enhanced/a.png").read_bytes()
