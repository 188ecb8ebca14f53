"""A pool of Beam workers on a host of a cluster, for `--environment_type=EXTERNAL`.

    python -m pipelines.worker_pool --port 50000

It starts worker processes for any number of jobs at a time. Beam's own pool
(`apache_beam.runners.worker.worker_pool_main`) serves one job at a time: it knows workers by their names alone, Flink
calls the first worker of every job `1-1`, and so the end of one job stops the worker of another, which then waits for
ever.
"""

import argparse
import contextlib
import logging
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import grpc
from apache_beam.portability.api import beam_fn_api_pb2 as messages
from apache_beam.portability.api import beam_fn_api_pb2_grpc as services
from apache_beam.runners.worker.worker_pool_main import kill_process_gracefully

POLL_SECONDS = 0.5
"""Seconds between two looks at workers of which one has to end."""

_HARNESS = """
import sys
from apache_beam.runners.worker.sdk_worker import SdkHarness
SdkHarness(sys.argv[1], worker_id=sys.argv[2], state_cache_size=0, data_buffer_time_limit_ms=-1).run()
"""

_log = logging.getLogger(__name__)


class Worker(NamedTuple):
    """A worker process, and the address at which its job controls it."""

    process: subprocess.Popen[bytes]
    control: str

    def is_needed(self) -> bool:
        """Whether it runs, and its job still answers."""
        if self.process.poll() is not None:
            return False
        host, _, port = self.control.rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=5):
            return True
        return False


class WorkerPool(services.BeamFnExternalWorkerPoolServicer):
    """Starts and stops worker processes, as Beam's Fn API asks it to (`beam_fn_api.proto`).

    What a worker prints goes to the output of this process.
    """

    def __init__(self) -> None:
        self._workers: dict[str, list[Worker]] = {}
        self._lock = threading.Lock()

    def StartWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name is that of the interface
        """Starts a worker for a job."""
        control = request.control_endpoint.url
        command = [sys.executable, "-c", _HARNESS, control, request.worker_id]
        try:
            worker = Worker(subprocess.Popen(command), control)
        except OSError as error:
            return messages.StartWorkerResponse(error=str(error))
        _log.info("worker %s of the job at %s has started", request.worker_id, control)
        with self._lock:
            self._workers.setdefault(request.worker_id, []).append(worker)
        return messages.StartWorkerResponse()

    def StopWorker(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name is that of the interface
        """Stops the worker with a name. If workers of several jobs have it, the one stops whose job has ended."""
        with self._lock:
            running = [each for each in self._workers.pop(request.worker_id, []) if each.process.poll() is None]
            if len(running) > 1:
                self._workers[request.worker_id] = running
        if len(running) == 1:
            kill_process_gracefully(running[0].process)
        elif running:  # a job closes the address after this call
            threading.Thread(target=self._end_unneeded, args=(running,), daemon=True).start()
        return messages.StopWorkerResponse()

    def _end_unneeded(self, workers: list[Worker]) -> None:
        """Waits until a worker is no longer needed, and ends it. Most of them end by themselves."""
        while all(worker.is_needed() for worker in workers):
            time.sleep(POLL_SECONDS)
        for worker in workers:
            if worker.process.poll() is None and not worker.is_needed():
                kill_process_gracefully(worker.process)

    def close(self) -> None:
        """Ends all workers."""
        for workers in self._workers.values():
            for worker in workers:
                kill_process_gracefully(worker.process)


def serve(pool: WorkerPool, port: int) -> tuple[grpc.Server, int]:
    """Starts the service of a pool on all addresses of this host.

    Args:
        pool: The pool.
        port: The port; 0 for a free one.

    Returns:
        The server and its port.
    """
    server = grpc.server(ThreadPoolExecutor(), options=[("grpc.http2.max_ping_strikes", 0)])
    services.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    port = server.add_insecure_port(f"[::]:{port}")
    server.start()
    return server, port


def main() -> None:
    """Serves until it is interrupted or terminated."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--port", type=int, default=50000, help="the port at which it listens")
    logging.basicConfig(level=logging.INFO)
    pool = WorkerPool()
    server, port = serve(pool, parser.parse_args().port)
    _log.info("workers can be asked for at port %d", port)
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(None)
    finally:
        pool.close()


if __name__ == "__main__":
    main()
