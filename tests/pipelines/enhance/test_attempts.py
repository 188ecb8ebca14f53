"""Photos in work: known after their process has ended, tried alone then, and given up in the end."""

import dataclasses
import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.enhance import supervisor
from pipelines.enhance.attempts import CLUSTER_LIMIT, Attempt, Attempts
from pipelines.enhance.photo import Done, Prepared
from pipelines.enhance.plan import Task

from .test_enhance_job import dark
from .test_photo import processor


@pytest.fixture
def attempts(tmp_path: Path) -> Attempts:
    return Attempts(str(tmp_path / "in work"))


def test_what_is_in_work_is_known_until_it_is_finished(attempts: Attempts) -> None:
    assert attempts.of_photo("a/ü.jpg") is None
    assert attempts.all() == []
    first, second = Attempt("a/ü.jpg"), Attempt("\udcff.jpg", 2, alone=True)
    for attempt in (first, second):
        attempts.write(attempt)
    assert attempts.of_photo("a/ü.jpg") == first
    assert sorted(attempts.all(), key=lambda attempt: attempt.times) == [first, second]
    attempts.end("a/ü.jpg")
    attempts.end("never begun")
    assert attempts.all() == [second]


def test_only_what_was_alone_is_condemned(attempts: Attempts) -> None:
    attempts.write(Attempt("together"))
    attempts.write(Attempt("alone", 2, alone=True))
    attempts.condemn()
    together, alone = attempts.of_photo("together"), attempts.of_photo("alone")
    assert together == Attempt("together")
    assert alone == Attempt("alone", 2, alone=True, crashed=True)
    assert attempts.is_hopeless(alone)
    assert not attempts.is_hopeless(together)


def test_a_file_cut_short_counts_as_begun(attempts: Attempts) -> None:
    attempts.write(Attempt("a"))
    (file,) = Path(attempts.folder).iterdir()
    file.write_bytes(file.read_bytes()[:9])
    assert attempts.of_photo("a") == Attempt()


def test_a_photo_that_is_never_finished_is_given_up_after_a_few_attempts(tmp_path: Path) -> None:
    """As on a cluster, where the job starts anew each time, and nobody sees what ended the worker."""
    dark(0).save(tmp_path / "a.png")
    worker = processor(tmp_path)
    worker = dataclasses.replace(worker, settings=dataclasses.replace(worker.settings, runner="FlinkRunner"))
    (tmp_path / "out" / ".zerodce").mkdir(parents=True)
    task = Task("a.png", (tmp_path / "a.png").stat().st_size, 1.0, "digest", "a.png", "", True)
    for times in range(1, CLUSTER_LIMIT + 1):
        prepared = worker.prepare(task)  # and no more: the worker ends
        assert isinstance(prepared, Prepared)
        prepared.share.release()
        assert worker.attempts.of_photo("a.png") == Attempt("a.png", times, alone=times > 1)
    done = worker.prepare(task)
    assert isinstance(done, Done)
    assert done.record.failure == {
        "stage": "crash",
        "error": f"it was tried {CLUSTER_LIMIT} times, and the process ended each time",
    }
    again = worker.prepare(task)  # as of a job that was begun anew
    assert isinstance(again, Done)
    assert again.record.failure == done.record.failure


def test_a_run_leaves_what_the_next_one_has_to_try_alone(attempts: Attempts) -> None:
    begun = Attempt("of a run before", 2)
    given_up = [Attempt("slow", stage="decode", error="too slow"), Attempt("crash", 2, alone=True, crashed=True)]
    for attempt in (*given_up, Attempt("in work"), begun):
        attempts.write(attempt)
    attempts.finish({"of a run before"}, ended=False)
    assert {attempt.path: attempt for attempt in attempts.all()} == {each.path: each for each in (*given_up, begun)}
    attempts.finish({"of a run before"}, ended=True)
    expected = [Attempt("slow"), Attempt("crash"), begun]
    assert {attempt.path: attempt for attempt in attempts.all()} == {each.path: each for each in expected}


def test_a_crash_that_is_no_photos_doing_ends_the_command(
    attempts: Attempts, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts.write(Attempt("of a run before"))
    monkeypatch.setattr(supervisor, "_end_of_child", lambda mask: (1, 11, False))  # SIGSEGV, as wait tells it
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        assert supervisor.watch(attempts) == 1
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert "ended by SIGSEGV, and no photo was in work" in capsys.readouterr().err


EXITING = """
import ctypes, sys
from pipelines.enhance import supervisor
from pipelines.enhance.attempts import Attempt, Attempts

attempts = Attempts(sys.argv[1])
code = supervisor.watch(attempts)
if code is None:  # the process that works
    before = attempts.of_photo("a")
    if before is None:
        attempts.write(Attempt("a"))
        ctypes.CDLL(None).exit(1)
    if not before.crashed:
        attempts.write(Attempt("a", 2, alone=True))
        ctypes.CDLL(None).exit(0)
    code = 3
sys.exit(code)
"""


def test_a_library_that_calls_exit_is_a_crash_of_its_photo(attempts: Attempts) -> None:
    done = subprocess.run([sys.executable, "-c", EXITING, attempts.folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3, done.stderr
    again = "The photos in work are tried again, one at a time."
    assert done.stderr.splitlines() == [
        f"The process was ended by a library that called exit({code}). {again}" for code in (1, 0)
    ]
    assert attempts.of_photo("a") == Attempt("a", 2, alone=True, crashed=True)


def test_where_nothing_can_be_written_it_is_no_fault_of_the_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(attempt: Attempt) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    from pipelines.folders import OutputError

    dark(0).save(tmp_path / "a.png")
    monkeypatch.setattr(Attempts, "write", lambda self, attempt: full(attempt))
    with pytest.raises(OutputError, match="No space left"):
        processor(tmp_path).prepare(Task("a.png", 1000, 1.0, "digest", "a.png", "", True))


def test_a_photo_beyond_its_time_limit_is_a_row_with_its_stage(tmp_path: Path) -> None:
    dark(0).save(tmp_path / "a.png")
    worker = processor(tmp_path)
    (tmp_path / "out" / ".zerodce").mkdir(parents=True)
    task = Task("a.png", (tmp_path / "a.png").stat().st_size, 1.0, "digest", "a.png", "", True)
    with worker._limited(task, "encode", 2_000_000) as step:
        step.expired(step)
    attempt = worker.attempts.of_photo("a.png")
    assert attempt == Attempt("a.png", stage="encode", error="it took longer than 310 s (--photo-timeout)")
    assert attempt.process == os.getpid()
    done = worker.prepare(task)
    assert isinstance(done, Done)
    assert done.record.failure == {"stage": attempt.stage, "error": attempt.error}
    assert worker.attempts.of_photo("a.png") == attempt  # no process of this run begins it again


def test_only_what_was_alone_in_a_process_that_ended_is_condemned(attempts: Attempts) -> None:
    for number in (1, 2):
        attempts.write(Attempt(f"alone in {number}", 2, alone=True, process=number))
    attempts.condemn(lambda process: process == 2)
    assert [attempts.of_photo(f"alone in {number}").crashed for number in (1, 2)] == [False, True]


@pytest.mark.parametrize(("code", "ending"), [(134, -6), (-9, -9), (3, 3), (130, 130), (-2, 130), (124, 124)])
def test_a_process_ends_as_its_worker_did(code: int, ending: int) -> None:
    script = f"from pipelines.enhance import supervisor; supervisor.end_like({code})"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60).returncode == ending
