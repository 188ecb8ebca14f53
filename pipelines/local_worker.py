"""A worker process on this machine (Beam's mode multi_processing): `python -m pipelines.local_worker PARENT`.

It ends with the process that started it, whatever ends that and whatever it is doing. Beam's own worker does not: it
waits for its work, which may hang, and for a minute or two while it starts.
"""

import contextlib
import ctypes
import os
import signal
import sys

_PARENT_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


def end_with_parent(parent: int) -> None:
    """Has the system end this process when its parent ends; where the system cannot do that, nothing happens.

    Args:
        parent: Number of the parent's process, which may have ended already.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGKILL))
    if os.getppid() != parent:
        os._exit(1)


def main(parent: int) -> None:
    """Works until the parent has nothing more to do."""
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, which the parent gets too: it says when to end

    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)


if __name__ == "__main__":
    main(int(sys.argv[1]))
