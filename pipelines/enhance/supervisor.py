"""A small process that watches over the one that works: when a photo ends that, the job goes on without the photo.

It imports nothing heavy, so that it costs neither time nor memory.
"""

import atexit
import contextlib
import ctypes
import os
import signal
import sys
from typing import NoReturn

import click

from pipelines.enhance import watchdog
from pipelines.enhance.attempts import Attempts

_CRASHES = {
    *(signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGSEGV, signal.SIGSYS),
    signal.SIGKILL,  # the kernel's, out of memory
}
_WATCHED = {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP}  # all but the first are passed on
_AT_ONCE = 130  # exit code of a process that was interrupted twice, and did nothing more
_FROM_KERNEL = 0x80  # si_code of a signal of the terminal, which all its processes get
_PARENT_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


def watch(attempts: Attempts) -> int | None:
    """Forks a process that works, and watches over it.

    A crash while photos are in work is theirs, and so is the call of `exit` by a library: the work is begun again, and
    tries each of them alone; one that ends its process alone is given up. The worker dies with its watcher.

    Args:
        attempts: The photos in work.

    Returns:
        None in the process that has to work, and where there is nobody to watch: the system cannot. In the process
        that watched, the exit code.
    """
    if not hasattr(signal, "sigwaitinfo"):
        return None
    before = attempts.all()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # whoever started this may ignore it, and then no child is heard of
    # for good: nothing interrupts a process that only waits, and passes on what it gets
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    while True:
        ended = _end_of_child(mask)
        if ended is None:
            return None
        child, status, by_itself = ended
        if os.WIFSIGNALED(status):
            number = signal.Signals(os.WTERMSIG(status))
            if number not in _CRASHES:  # ends in the same way
                signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                os.kill(os.getpid(), number)
            ended_by = number.name
        else:
            code = os.waitstatus_to_exitcode(status)
            if by_itself or code == _AT_ONCE:
                return code
            ended_by = f"exit({code}) of a library"
            if code == watchdog.EXIT_CODE:
                ended_by = "a photo that took longer than its time limit"
        attempts.condemn({0, child}.__contains__)
        after = attempts.all()
        if after == before:  # none was begun
            click.echo(f"Error: the process was ended by {ended_by}, and no photo was in work.", err=True)
            return 1
        before = after
        click.echo(
            f"The process was ended by {ended_by}. What was in work is tried again, one photo at a time.", err=True
        )


def end_undisturbed() -> None:
    """Keeps an interrupt from changing the exit code of this process, which has nothing left to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_like(code: int) -> NoReturn:
    """Ends this process in the way in which another one ended, for whoever watches over it.

    Args:
        code: Exit code of that one: that of a shell, which adds 128 to the number of a signal, or Python's, which
            negates the number.
    """
    number = -code if code < 0 else code - 128
    if number in _CRASHES:
        with contextlib.suppress(OSError):  # SIGKILL has no other
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(_AT_ONCE if number == signal.SIGINT else code)


def _end_of_child(mask: set[int | signal.Signals]) -> tuple[int, int, bool] | None:
    """Forks, and waits for the child, passing signals on; None in the child, which gets the mask of signals.

    Returns:
        Its number, its status, and whether Python itself ended it: what a library ends by `exit` does not come to
        Python's end.
    """
    told, telling = os.pipe()
    os.set_blocking(told, False)
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if not child:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, int(signal.SIGKILL))
        if os.getppid() != parent:
            os._exit(1)
        atexit.register(os.write, telling, b".")
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return None
    os.close(telling)
    while True:
        arrived = signal.sigwaitinfo(_WATCHED)
        if arrived.si_signo == signal.SIGCHLD:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                with open(told, "rb", buffering=0) as pipe:
                    return child, status, bool(pipe.read(1))
        elif arrived.si_code != _FROM_KERNEL:
            os.kill(child, arrived.si_signo)
