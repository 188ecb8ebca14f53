"""A small process that watches over the one that works: when a photo ends that, the job goes on without the photo.

It imports nothing heavy, so that it costs neither time nor memory.
"""

import contextlib
import ctypes
import os
import signal
import sys

import click

from pipelines.enhance.attempts import Attempts

_CRASHES = {
    *(signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS),
    signal.SIGKILL,  # the kernel's, out of memory
}
_WATCHED = {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP}  # all but the first are passed on
_FROM_KERNEL = 0x80  # si_code of a signal of the terminal, which all its processes get
_PARENT_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


def watch(attempts: Attempts) -> int | None:
    """Forks a process that works, and watches over it.

    A crash while photos are in work is theirs: the work is begun again, and tries each of them alone; one that ends
    its process alone is given up. The worker dies with its watcher.

    Args:
        attempts: The photos in work.

    Returns:
        None in the process that has to work, and where there is nobody to watch: the system cannot. In the process
        that watched, the exit code.
    """
    if not hasattr(signal, "sigwaitinfo"):
        return None
    before = attempts.all()
    # for good: nothing interrupts a process that only waits, and passes on what it gets
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    while True:
        status = _status_of_child(mask)
        if status is None:
            return None
        if not os.WIFSIGNALED(status):
            return os.waitstatus_to_exitcode(status)
        ended_by = signal.Signals(os.WTERMSIG(status))
        if ended_by not in _CRASHES:  # ends in the same way
            signal.signal(ended_by, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.kill(os.getpid(), ended_by)
        attempts.condemn()
        after = attempts.all()
        if after == before:  # none was begun
            click.echo(f"Error: the process was ended by {ended_by.name}, and no photo was in work.", err=True)
            return 1
        before = after
        click.echo(
            f"The process was ended by {ended_by.name}. What was in work is tried again, one photo at a time.", err=True
        )


def end_undisturbed() -> None:
    """Keeps an interrupt from changing the exit code of this process, which has nothing left to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _status_of_child(mask: set[int | signal.Signals]) -> int | None:
    """Forks, and waits for the child, passing signals on; None in the child, which gets the mask of signals."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if not child:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return None
    while True:
        arrived = signal.sigwaitinfo(_WATCHED)
        if arrived.si_signo == signal.SIGCHLD:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return status
        elif arrived.si_code != _FROM_KERNEL:
            os.kill(child, arrived.si_signo)
