"""The time limit on a step of a photo: it grows with the photo, counts only work, and ends the process."""

import os
import subprocess
import sys
import time

import pytest

from pipelines.enhance import watchdog


def test_the_limit_grows_with_the_photo_unless_one_is_given() -> None:
    assert watchdog.seconds_for(None, 0) == 300
    assert watchdog.seconds_for(None, 10_000_000, 24_000_000) == 300 + 20 + 120
    assert watchdog.seconds_for(7, 10_000_000, 24_000_000) == 7


SLEEPING = """
import sys, time
from pipelines.enhance import watchdog

def tell(step):
    print(step.stage, step.limit, flush=True)

with watchdog.limited("read", float(sys.argv[1]), tell) as step:
    with step.waiting():
        time.sleep(1.5)
    step.stage = "decode"
    time.sleep(float(sys.argv[2]))
with watchdog.limited("encode", 0.0, tell):
    pass  # it is over before it is looked at
time.sleep(1.5)
print("done")
"""


@pytest.mark.parametrize(
    ("limit", "seconds", "said", "code"),
    [(1, 0.1, "done\n", 0), (1, 30, "decode 1.0\n", watchdog.EXIT_CODE), (3, 1, "done\n", 0)],
)
def test_a_step_that_takes_too_long_ends_its_process(limit: float, seconds: float, said: str, code: int) -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SLEEPING, str(limit), str(seconds)], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.returncode, done.stderr) == (said, code, "")
    assert time.monotonic() - started < 25


def test_time_in_which_the_process_was_stopped_does_not_count() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPING, "3", "1"], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    time.sleep(2)
    process.send_signal(19)  # SIGSTOP
    time.sleep(5)
    process.send_signal(18)  # SIGCONT
    assert process.communicate(timeout=60) == ("done\n", None)
    assert process.returncode == 0


HOLDING = """
import ctypes, faulthandler, sys
from pipelines.enhance import watchdog

watchdog._SLACK_SECONDS = 1.0
hang = ctypes.PyDLL(None).sleep  # which keeps the interpreter's lock
with watchdog.limited("decode", 0.5, print) as step:
    if sys.argv[1] == "later":
        with step.waiting():
            __import__("time").sleep(1.2)
    hang(30)
"""


@pytest.mark.parametrize("begins", ["at once", "later"])
def test_a_step_that_keeps_the_lock_of_the_interpreter_from_its_start_ends_its_process(begins: str) -> None:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", HOLDING, begins], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode, done.stderr) == ("", 1, "")
    assert time.monotonic() - started < 20
