"""A worker process on this machine (Beam's mode multi_processing): `python -m pipelines.local_worker PARENT`.

It always ends with its parent process, even if the parent is killed. Beam's own worker does not: it first finishes its
work, which may hang, and it takes a minute or two to notice while it starts.
"""

import contextlib
import ctypes
import os
import signal
import sys

_PARENT_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


def end_with_parent(parent: int) -> None:
    """Asks the system to end this process when its parent ends. Does nothing if the system cannot do that.

    Args:
        parent: Process number of the parent, which may have ended already.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def main(parent: int) -> None:
    """Works until the parent has no more work."""
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to the parent too, which ends the workers

    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main(int(sys.argv[1]))
