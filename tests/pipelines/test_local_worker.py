"""A worker process on this machine ends with its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

WORKER = "import sys, time; from pipelines import local_worker; local_worker.end_with_parent(int(sys.argv[1]));"
HANGING = WORKER + "print('begun', flush=True); import ctypes; ctypes.PyDLL(None).sleep(1000)"
PARENT = (
    "import os, subprocess, sys; child = subprocess.Popen([sys.executable, '-c', sys.argv[1], str(os.getpid())]);"
    "print(child.pid, flush=True); child.wait()"
)


def is_there(process: int) -> bool:
    """Whether a process works, or waits; not if it has ended and nobody has asked how."""
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_it_ends_with_its_parent_even_where_a_decoder_keeps_the_lock_of_the_interpreter() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, HANGING], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    try:
        assert parent.stdout.readline() == "begun\n"
        assert is_there(worker)
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 10
        while is_there(worker):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        if is_there(worker):
            os.kill(worker, signal.SIGKILL)


def test_one_whose_parent_has_ended_already_ends_at_once() -> None:
    assert subprocess.run([sys.executable, "-c", HANGING, "1"], timeout=60, capture_output=True).returncode == 1
