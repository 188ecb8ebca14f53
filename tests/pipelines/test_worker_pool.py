"""The pool of workers: a stop ends the worker of the job that has ended, also if several have its name."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import grpc
import pytest
from apache_beam.portability.api import beam_fn_api_pb2 as messages
from apache_beam.portability.api import beam_fn_api_pb2_grpc as services

from pipelines import worker_pool
from pipelines.worker_pool import WorkerPool, serve

Stub = services.BeamFnExternalWorkerPoolStub
SLEEPER = "import sys, time\nprint(sys.argv[1:], flush=True)\ntime.sleep(600)"


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    monkeypatch.setattr(worker_pool, "_HARNESS", SLEEPER)
    monkeypatch.setattr(worker_pool, "POLL_SECONDS", 0.02)
    yield (made := WorkerPool())
    made.close()


@pytest.fixture
def ask(pool: WorkerPool) -> Iterator[Stub]:
    """What a job says to the service."""
    server, port = serve(pool, 0)
    with grpc.insecure_channel(f"localhost:{port}") as channel:
        yield Stub(channel)
    server.stop(None)


class Job:
    """A job, which listens at an address as long as it goes on."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("localhost", 0))
        self.address = f"localhost:{self._listener.getsockname()[1]}"

    def end(self) -> None:
        self._listener.close()


def start(ask: Stub, job: Job, name: str = "1-1") -> None:
    request = messages.StartWorkerRequest(worker_id=name)
    request.control_endpoint.url = job.address
    assert ask.StartWorker(request).error == ""


def stop(ask: Stub, name: str = "1-1") -> None:
    assert ask.StopWorker(messages.StopWorkerRequest(worker_id=name)).error == ""


def processes(pool: WorkerPool, name: str = "1-1") -> list[subprocess.Popen[bytes]]:
    return [worker.process for worker in pool._workers[name]]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_worker_is_told_where_its_job_is_and_is_stopped(pool: WorkerPool, ask: Stub) -> None:
    job = Job()
    start(ask, job)
    (process,) = processes(pool)
    assert process.args == [sys.executable, "-c", SLEEPER, job.address, "1-1"]
    assert process.poll() is None
    stop(ask)
    assert process.poll() is not None
    job.end()


def test_of_two_workers_with_a_name_the_one_of_the_ended_job_stops(pool: WorkerPool, ask: Stub) -> None:
    first, second = Job(), Job()
    start(ask, first)
    start(ask, second)
    of_first, of_second = processes(pool)
    stop(ask)
    time.sleep(0.3)
    assert (of_first.poll(), of_second.poll()) == (None, None)  # nobody knows yet which job it was
    second.end()
    until(lambda: of_second.poll() is not None)
    assert of_first.poll() is None
    stop(ask)
    assert of_first.poll() is not None
    first.end()


def test_a_name_that_is_unknown_is_no_error(ask: Stub) -> None:
    stop(ask, "2-1")


def test_a_worker_that_cannot_start_is_an_error_of_the_answer(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/there/is/no/python")
    request = SimpleNamespace(worker_id="1-1", control_endpoint=SimpleNamespace(url="localhost:1"))
    assert "No such file" in pool.StartWorker(request, None).error
