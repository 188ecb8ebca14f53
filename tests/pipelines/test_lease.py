"""The lease on a folder of results on S3, as moto serves it: one command at a time, whatever becomes of the others."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click
import pytest
from moto.server import ThreadedMotoServer

from pipelines import folders, lease, storage
from pipelines.storage import objects
from tests.pipelines import jobs

pytestmark = pytest.mark.slow

OUT = "s3://leases/out"
LEASE = f"{OUT}/.zerodce/lease.json"
JOURNAL = ".zerodce/journal"


@pytest.fixture(autouse=True)
def bucket() -> Iterator[Any]:
    service = ThreadedMotoServer(port=0, verbose=False)
    service.start()
    host, port = service.get_host_and_port()
    with jobs.bucket(f"http://{host}:{port}", "leases") as client:
        yield client
    service.stop()


def lock(local: bool = True) -> contextlib.AbstractContextManager[Any]:
    return folders.lock(OUT, [JOURNAL], local)


def leave(host: str = "elsewhere", process: int = 1, local: bool = True) -> None:
    """A lease whose owner was killed."""
    content = {"owner": "somebody", "host": host, "process": process, "local": local}
    storage.write(LEASE, json.dumps(content).encode())


def test_a_second_command_is_refused_while_the_first_works_and_free_after_it() -> None:
    with lock() as is_held:
        assert is_held()
        with (
            pytest.raises(click.ClickException, match=rf"process {os.getpid()} on {socket.gethostname()}.*wait"),
            lock(),
        ):
            pass
        assert is_held()
    assert not storage.exists(LEASE)
    with lock():
        pass


def test_a_lease_of_another_host_is_honoured_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    leave()
    with pytest.raises(click.ClickException, match=r"process 1 on elsewhere.*try again in 1[12]\d s"), lock():
        pass
    monkeypatch.setattr(lease, "EXPIRED_SECONDS", 1.0)
    time.sleep(2.1)
    with lock() as is_held:
        assert is_held()
        assert json.loads(storage.read(LEASE))["process"] == os.getpid()


def test_clocks_of_hosts_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    leave()
    monkeypatch.setattr(lease.socket, "gethostname", lambda: "another")
    now = time.time()
    for hours in (-5, 5):
        monkeypatch.setattr(time, "time", lambda hours=hours: now + hours * 3600)
        with pytest.raises(click.ClickException, match="another command is working"), lock():
            pass


def test_a_lease_of_a_process_that_was_killed_on_this_host_is_free_at_once() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    leave(socket.gethostname(), process.pid)
    with lock():
        pass


def test_a_job_that_outlives_its_command_keeps_others_off(monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    leave(socket.gethostname(), process.pid, local=False)
    storage.write(f"{OUT}/{JOURNAL}/segment.jsonl", b"1")
    with pytest.raises(click.ClickException, match="still writes to this folder: cancel it"), lock(local=False):
        pass
    monkeypatch.setattr(lease, "EXPIRED_SECONDS", 1.0)
    time.sleep(2.1)
    with lock(local=False):
        pass


def test_of_many_that_want_an_expired_lease_one_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    leave()
    monkeypatch.setattr(lease, "EXPIRED_SECONDS", 1.0)
    monkeypatch.setattr(lease, "is_running", lambda process: True)
    time.sleep(2.1)
    monkeypatch.setattr(lease, "EXPIRED_SECONDS", 60.0)
    monkeypatch.setattr(lease, "_store_time", lambda path: time.time() + 60)  # all see it expired at the same time

    def take(number: int) -> bool:
        with contextlib.ExitStack() as stack:
            try:
                lease._taken(LEASE, f'{{"owner": "{number}", "local": true}}'.encode(), [])
            except click.ClickException:
                return False
            stack.pop_all()
            return True

    tag = objects.tag(LEASE)
    monkeypatch.setattr(objects, "tag", lambda path: tag)  # and all found the same version
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(8))) == 1


def test_an_owner_renews_its_lease_and_notices_when_it_has_lost_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEWED_SECONDS", 0.05)
    with lock() as is_held:
        first = objects.tag(LEASE)
        before = storage.stat(f"{OUT}/.zerodce", "lease.json").mtime
        time.sleep(2.2)
        assert objects.tag(LEASE) != first
        assert storage.stat(f"{OUT}/.zerodce", "lease.json").mtime > before
        assert is_held()
        leave()
        for _ in range(100):
            if not is_held():
                break
            time.sleep(0.05)
        assert not is_held()
    assert json.loads(storage.read(LEASE))["owner"] == "somebody"  # that of the other stays


def test_what_is_no_lease_is_named() -> None:
    storage.write(LEASE, b"[1]")
    with pytest.raises(click.ClickException, match=r"lease\.json is no lease: delete it"), lock():
        pass
