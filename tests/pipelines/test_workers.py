"""What is told before a job goes to a cluster, and before a worker's first file."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

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
    workers.check_cluster(PipelineOptions(list(options)), [path])


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
    with pytest.raises(workers.WorkerError, match=f"cannot see {mounted} .*there is nothing"):
        workers.WorkerRequirements.of(options, str(mounted)).enter()
    with pytest.raises(workers.WorkerError, match=f"cannot see {tmp_path}/none .*share the folder"):
        workers.WorkerRequirements.of(options, str(tmp_path), f"{tmp_path}/none").enter()
    with pytest.raises(workers.WorkerError, match=r"has zerodce .*, the command 0\.0: install the same"):
        workers.WorkerRequirements({}, (), {"zerodce": "0.0"}).enter()
