"""What is told before a job goes to a cluster, and before a worker's first file."""

import http.server
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import click
import grpc
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from pipelines import workers

EXTERNAL = "--environment_type=EXTERNAL"


@pytest.fixture(scope="module")
def flink() -> Iterator[str]:
    """Address of what answers as Flink 1.20.1 does."""

    class Flink(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"refresh-interval": 3000, "flink-version": "1.20.1"}')

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("localhost", 0), Flink) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"localhost:{server.server_port}"
        server.shutdown()


def check(*options: str, path: str = "/photos") -> None:
    workers.check_cluster(PipelineOptions(list(options)), options, [path])


def test_the_version_of_flink_has_to_be_named(flink: str) -> None:
    check(EXTERNAL, f"--flink_master={flink}", "--flink_version=1.20")
    with pytest.raises(click.UsageError, match=r"is Flink 1\.20\.1, not 1\.19: .*--flink_version"):
        check(EXTERNAL, f"--flink_master=http://{flink}", "--flink_version=1.19")


def test_a_cluster_has_to_answer(flink: str) -> None:
    check(EXTERNAL, f"--job_endpoint={flink}")
    for options, fix in (
        (("--flink_master=localhost:1",), "no Flink answers at localhost:1 .*correct --flink_master"),
        (("--job_endpoint=localhost:1",), "no job server answers at localhost:1 .*correct --job_endpoint"),
        (("--job_endpoint=localhost",), "no job server answers at localhost "),
    ):
        with pytest.raises(click.UsageError, match=fix):
            check(EXTERNAL, *options)


def test_containers_see_no_local_folder() -> None:
    check(path="s3://bucket/photos")
    with pytest.raises(click.UsageError, match="cannot see /photos: use s3://"):
        check()


def test_a_worker_enters_only_with_what_it_needs(tmp_path: Path) -> None:
    options = PipelineOptions(["--s3_endpoint_url=http://localhost:1"])
    (mounted := tmp_path / "photos").mkdir()
    workers.WorkerRequirements.of(options, str(tmp_path)).enter()
    with pytest.raises(workers.WorkerError, match=f"cannot see {mounted} .*it is missing or empty"):
        workers.WorkerRequirements.of(options, str(mounted)).enter()
    with pytest.raises(workers.WorkerError, match=f"cannot see {tmp_path}/none .*share the folder"):
        workers.WorkerRequirements.of(options, str(tmp_path), f"{tmp_path}/none").enter()
    with pytest.raises(workers.WorkerError, match=r"has zerodce .*, the command has 0\.0: install the same"):
        workers.WorkerRequirements({}, (), {"zerodce": "0.0"}).enter()


def test_a_job_server_says_which_options_it_knows(flink: str) -> None:
    class Service(beam_job_api_pb2_grpc.JobServiceServicer):
        def DescribePipelineOptions(self, request: object, context: object) -> object:  # noqa: N802
            names = ("max_bundle_size", "executionRetryDelay")
            options = [beam_job_api_pb2.PipelineOptionDescriptor(name=name) for name in names]
            return beam_job_api_pb2.DescribePipelineOptionsResponse(options=options)

    server = grpc.server(futures.ThreadPoolExecutor(1))
    beam_job_api_pb2_grpc.add_JobServiceServicer_to_server(Service(), server)
    endpoint = f"--job_endpoint=localhost:{server.add_insecure_port('localhost:0')}"
    server.start()
    try:
        check(EXTERNAL, endpoint, "--max_bundle_size=16", "--parallelism=4")
        check(EXTERNAL, endpoint, "--max_bundle_size", "16", "--execution_retry_delay=1000")
        with pytest.raises(click.UsageError, match=r"knows --max_bundel_size$"):
            check(EXTERNAL, endpoint, "--max_bundel_size=16")
    finally:
        server.stop(0)


def test_without_a_job_server_only_what_looks_like_a_mistake_is_refused() -> None:
    check(EXTERNAL, "--max_bundle_size=16")
    for mistake in ("--paralellism=64", "--max-failure", "word"):
        with pytest.raises(click.UsageError, match=f"neither zerodce nor Beam knows {mistake.split('=')[0]}"):
            check(EXTERNAL, mistake)
