"""How everything but the pixels grows with the archive: listing, planning, journal, resume, rows and report.

    python -m benchmarks.scaling 10000 100000 1000000 --extrapolate 100000000

The photos and the images are links to small files, and the rows of the journal are made up. The code of `zerodce
enhance` lists, plans, writes, checks and reports. Each size runs in its own process, which gives its peak memory.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from pipelines import folders, storage
from pipelines.enhance import plan as planning
from pipelines.enhance import results
from pipelines.enhance.journal import Journal, PhotoRecord
from pipelines.enhance.plan import Task
from pipelines.enhance.settings import EnhanceSettings

FILES_IN_A_FOLDER = 1000
IMAGE = b"1"
"""Stands for each enhanced photo."""

_Result = TypeVar("_Result")


def make_files(folder: Path, count: int, content: bytes = b"") -> None:
    """Makes files with this content and camera-like names. The files of a folder are one file with many names."""
    for start in range(0, count, FILES_IN_A_FOLDER):
        (day := folder / f"{start // FILES_IN_A_FOLDER:05}").mkdir(parents=True)
        first = day / f"IMG_{start:07}.JPG"
        first.write_bytes(content)
        for number in range(start + 1, min(start + FILES_IN_A_FOLDER, count)):
            os.link(first, day / f"IMG_{number:07}.JPG")


def record_of(task: Task, digest: str) -> PhotoRecord:
    """The journal record of an enhanced photo."""
    row = {"path": task.path, "output": task.output, "width": 6000, "height": 4000}
    measured = {"mean_input": 0.08, "mean_enhanced": 0.31, "psnr_enhanced_db": 11.2, "psnr_autocontrast_db": 13.4}
    row |= measured | {"exposure": 0.31, "notes": ""}
    sizes, crc32 = (len(IMAGE),), (zlib.crc32(IMAGE),)
    return PhotoRecord(task.path, task.size, task.mtime, digest, row, sizes=sizes, crc32=crc32)


def measure(count: int) -> None:
    """Runs every step on an archive of `count` photos and prints a line for each.

    A line has the seconds, the core seconds, the microseconds of a core for each photo, and the peak memory.
    """

    def timed(name: str, step: Callable[[], _Result]) -> _Result:
        started, cores = time.perf_counter(), time.process_time()
        result = step()
        seconds, cores = time.perf_counter() - started, time.process_time() - cores
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        times = f"{seconds:8.2f} s {cores:8.2f} core-s {cores / count * 1e6:6.1f} us"
        print(f"{count:>11,}  {name:31} {times} {peak:6,.0f} MB", flush=True)
        return result

    with tempfile.TemporaryDirectory() as folder:
        photos, out = os.path.join(folder, "photos"), os.path.join(folder, "out")
        make_files(Path(photos), count)
        settings = EnhanceSettings(autocontrast=False)
        digest = settings.digest_with("0" * 64)
        journal = Journal(storage.join(out, f"{folders.STATE}/journal"))

        timed("start: all imports", lambda: None)
        listing = timed("list", lambda: folders.find(photos))
        plan = timed("plan", lambda: planning.make_plan(listing, out, settings, digest, {}, []))
        paths = timed("write the plan", lambda: planning.write_plan(out, plan))
        tasks = timed("read the plan (workers)", lambda: sum(1 for path in paths for _ in planning.read_plan(path)))

        def append() -> None:
            for task in plan.todo.values():
                journal.append(record_of(task, digest))
            journal.flush()

        timed("append to the journal (workers)", append)
        make_files(Path(out) / "enhanced", count, IMAGE)

        def resume() -> int:
            return planning.make_plan(listing, out, settings, digest, journal.read(), []).skipped

        resumed = timed("read the journal, plan a resume", resume)

        def finish() -> dict[str, Any]:
            return results.write_results(out, plan, journal, {}, (), plan.todo)

        result = timed("rows, compaction and report", finish)
        again = Journal(journal.folder)

        def held() -> int:
            return sum(
                again.is_done(task.version, lambda _: ("image",), lambda _: len(IMAGE)) for task in plan.todo.values()
            )

        replayed = timed("ask what is done (workers)", held)
        assert tasks == replayed == resumed == result["counts"]["enhanced"] == count
        tables = [Path(out) / name for name in ("metrics.csv", "metrics.parquet")]
        for kind, files in (("journal", list(Path(journal.folder).iterdir())), ("tables", tables)):
            size = sum(path.stat().st_size for path in files)
            print(f"{count:>11,}  bytes a photo in the {kind:13} {size / count:8.0f}", flush=True)


def extrapolated(lines: Iterable[str], count: int) -> list[str]:
    """What each step would take for more photos: the largest measured archive, scaled by the number of photos."""
    measured = {}
    for line in lines:
        if found := _LINE.fullmatch(line.rstrip()):
            measured[found["name"]] = int(found["count"].replace(",", "")), float(found["seconds"])
    return [
        f"{count:>11,}  {name:31} {seconds * count / of / 3600:8.1f} h, extrapolated from {of:,}"
        for name, (of, seconds) in measured.items()
    ]


_LINE = re.compile(r" *(?P<count>[\d,]+)  (?P<name>\S.*?) +(?P<seconds>[\d.]+) s .*")


def main() -> None:
    """Measures each size in its own process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=int, nargs="+", help="sizes of the archive")
    parser.add_argument("--extrapolate", type=int, help="a size for which the times are extrapolated from the largest")
    arguments = parser.parse_args()
    if len(arguments.photos) == 1 and not arguments.extrapolate:
        measure(arguments.photos[0])
        return
    lines: list[str] = []
    for count in sorted(arguments.photos):
        command = [sys.executable, "-m", "benchmarks.scaling", str(count)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout or ():
                print(line, end="", flush=True)
                lines.append(line)
        if process.returncode:
            sys.exit(process.returncode)
    if arguments.extrapolate:
        print("\n".join(extrapolated(lines, arguments.extrapolate)))


if __name__ == "__main__":
    main()
