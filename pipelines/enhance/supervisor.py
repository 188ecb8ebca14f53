"""A small process watches over the working process. If a photo crashes the worker, the job goes on without the photo.

This module imports nothing heavy, so that the watcher costs little time and memory.
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
    signal.SIGKILL,  # from the kernel, which is out of memory
}
_WATCHED = {signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP}  # all but SIGCHLD are passed on
_AT_ONCE = 130  # exit code of a worker that a second interrupt ended at once
_FROM_KERNEL = 0x80  # si_code of a signal from the terminal, which the worker gets as well
_PARENT_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG


def watch(attempts: Attempts) -> int | None:
    """Forks a worker process, and watches over it.

    If the worker crashes, or a library calls `exit` in it, the photos in work are suspects. A new worker tries each of
    them alone, and gives up a photo that ends the process again. The worker dies with its watcher.

    Args:
        attempts: The photos in work.

    Returns:
        None in the worker, and on a system that cannot watch processes. In the watcher, the exit code.
    """
    if not hasattr(signal, "sigwaitinfo"):
        return None
    before = attempts.all()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # the parent may ignore SIGCHLD, and then none arrives
    # the watcher keeps these signals blocked: it only waits for them and passes them on
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    while True:
        ended = _end_of_child(mask)
        if ended is None:
            return None
        child, status, by_itself = ended
        if os.WIFSIGNALED(status):
            number = signal.Signals(os.WTERMSIG(status))
            if number not in _CRASHES:  # the watcher ends in the same way
                signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                os.kill(os.getpid(), number)
            ended_by = number.name
        else:
            code = os.waitstatus_to_exitcode(status)
            if by_itself or code == _AT_ONCE:
                return code
            ended_by = f"a library that called exit({code})"
            if code == watchdog.EXIT_CODE:
                ended_by = "a photo that took longer than its time limit"
        attempts.condemn({0, child}.__contains__)
        after = attempts.all()
        if after == before:  # no photo was begun
            click.echo(f"Error: the process was ended by {ended_by}, and no photo was in work.", err=True)
            return 1
        before = after
        click.echo(f"The process was ended by {ended_by}. The photos in work are tried again, one at a time.", err=True)


def end_undisturbed() -> None:
    """Ignores interrupts from now on, so that they do not change the exit code. The work is done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def end_like(code: int) -> NoReturn:
    """Ends this process as another process ended, so that the watcher sees the same cause.

    Args:
        code: Exit code of the other process. For a signal, a shell gives 128 plus its number; Python gives the
            negative number.
    """
    number = -code if code < 0 else code - 128
    if number in _CRASHES:
        with contextlib.suppress(OSError):  # SIGKILL cannot be handled
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(_AT_ONCE if number == signal.SIGINT else code)


def _end_of_child(mask: set[int | signal.Signals]) -> tuple[int, int, bool] | None:
    """Forks, waits for the child, and passes signals on to it.

    Args:
        mask: The mask of signals that the child gets.

    Returns:
        In the child, None. In the parent, the child's process number, its status, and whether Python ended it: if a
        library calls `exit`, Python does not run its exit handlers.
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
