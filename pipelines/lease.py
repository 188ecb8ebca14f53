"""The lease on a folder of results on an object store: it keeps a second command off the folder while the first works.

The owner writes the lease again and again. The age of the lease is the difference of two times of the store, so the
clocks of the hosts do not matter. A new owner replaces exactly the version that it found (a conditional put), so only
one of several succeeds.
"""

import contextlib
import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import click

from pipelines import storage
from pipelines.processes import is_running

RENEWED_SECONDS = 20.0
"""The owner writes its lease at least once in these seconds."""

EXPIRED_SECONDS = 120.0
"""A lease that is older than this has no owner any more, and a job that has written nothing for so long has ended."""


_held_here: set[str] = set()  # owners in this process


@contextlib.contextmanager
def held(path: str, signs: list[str], local: bool) -> Iterator[Callable[[], bool]]:
    """Holds a lease.

    Args:
        path: Path of the lease.
        signs: Folders into which a job on a cluster writes while it works, even if its command was killed.
        local: Whether the job ends with the command.

    Yields:
        Says whether the lease is still held. It is not if this command was halted for too long, and another took over.

    Raises:
        click.ClickException: Another command or its job is working.
    """
    objects = _objects()
    lease: dict[str, Any] = {"owner": uuid.uuid4().hex, "host": socket.gethostname(), "process": os.getpid()}
    lease |= {"local": local, "writes": 0}
    tag = _taken(path, json.dumps(lease).encode(), signs)
    _held_here.add(lease["owner"])
    ended, lost = threading.Event(), threading.Event()

    def renew() -> None:
        nonlocal tag
        while not ended.wait(RENEWED_SECONDS):
            lease["writes"] += 1  # so that each version has a tag of its own
            with contextlib.suppress(OSError):
                tag = objects.replace(path, json.dumps(lease).encode(), tag)
                continue
            with contextlib.suppress(OSError):
                if json.loads(storage.read(path))["owner"] == lease["owner"]:  # an answer was lost
                    tag = objects.tag(path)
                else:
                    lost.set()
                    return

    thread = threading.Thread(name="lease", target=renew, daemon=True)
    thread.start()
    try:
        yield lambda: not lost.is_set()
    finally:
        ended.set()
        thread.join()
        _held_here.discard(lease["owner"])
        if not lost.is_set():
            with contextlib.suppress(OSError):  # it expires by itself
                storage.delete([path])


def _objects() -> Any:
    from pipelines.storage import objects

    return objects


def _taken(path: str, content: bytes, signs: list[str]) -> str:
    """Takes the lease. Returns the tag of its version."""
    objects = _objects()
    folder = storage.split(path)[0]
    with contextlib.suppress(FileExistsError):
        return str(objects.replace(path, content, None))
    try:
        tag, other = objects.tag(path), dict(json.loads(storage.read(path)))
        now = _store_time(f"{folder}/clock")
        age = now - storage.stat(folder, storage.split(path)[1]).mtime
    except FileNotFoundError:  # it was given back in this moment
        return _taken(path, content, signs)
    except (ValueError, TypeError):
        raise click.ClickException(f"{path} is no lease: delete it if no command works on this folder") from None
    who = f"process {other.get('process')} on {other.get('host')}"
    if age < EXPIRED_SECONDS and not _has_ended_here(other):
        raise click.ClickException(
            f"another command is working on this folder ({who}): wait for it, or choose another. If it was killed, "
            f"try again in {EXPIRED_SECONDS - age:.0f} s"
        )
    if not other.get("local"):
        newest = max((entry.mtime for sign in signs for entry in storage.walk(sign)), default=0.0)
        if now - newest < EXPIRED_SECONDS:
            raise click.ClickException(
                f"the job of a command that has ended ({who}) still writes to this folder: cancel it on the cluster, "
                f"or wait for its end. A job that has written nothing for {EXPIRED_SECONDS:.0f} s counts as ended"
            )
    try:
        return str(objects.replace(path, content, tag))
    except FileExistsError:
        raise click.ClickException("another command has just taken over this folder: wait for it") from None


def _has_ended_here(lease: dict[str, Any]) -> bool:
    """Whether the owner of a lease was a process of this host that has ended."""
    if lease.get("host") != socket.gethostname():
        return False
    process = int(lease.get("process", 0))
    return lease.get("owner") not in _held_here if process == os.getpid() else not is_running(process)


def _store_time(path: str) -> float:
    """The present time of the store: that of a file which is written now."""
    storage.write(path, b"now")
    time = storage.stat(*storage.split(path)).mtime
    storage.delete([path])
    return time
