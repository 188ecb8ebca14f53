"""Cost of files on an object store: `pipelines.storage`, beside Beam's file system and s3fs, against a local S3 server.

    pip install '.[aws]' 'apache-beam[aws]' s3fs 'moto[server]'
    python -m benchmarks.object_store
    python -m benchmarks.object_store --journal 1000000

Core time is that of the client alone. The server's log says how many requests it got. With `--journal`, it writes the
journal of a job that was killed, segments merged as the command merges them, and reads it back.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.enhance import show

FOLDER = "s3://archive/files"


class Client(NamedTuple):
    """How a library writes a file, reads it, and lists a folder."""

    write: Callable[[str, bytes], object]
    read: Callable[[str], bytes]
    count: Callable[[str], int]


def ours() -> Client:
    from pipelines import storage

    return Client(storage.write, storage.read, lambda folder: sum(1 for _ in storage.walk(folder)))


def beams() -> Client:
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    FileSystems.set_options(PipelineOptions([]))

    def write(path: str, content: bytes) -> None:
        with FileSystems.create(path, "application/octet-stream") as file:
            file.write(content)

    def read(path: str) -> bytes:
        with FileSystems.open(path) as file:
            return bytes(file.read())

    return Client(write, read, lambda folder: len(FileSystems.match([f"{folder}/**"])[0].metadata_list))


def s3fs() -> Client:
    import s3fs as library

    files = library.S3FileSystem(endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    return Client(files.pipe_file, files.cat_file, lambda folder: len(files.find(folder, refresh=True)))


@contextlib.contextmanager
def server() -> Iterator[Path]:
    """An S3 server in another process. The path of its log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "local")
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    with tempfile.NamedTemporaryFile("wb", suffix=".log") as log:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.1)
            yield Path(log.name)
        finally:
            process.kill()
            process.wait()


def measured(log: Path, count: int, work: Callable[[], object]) -> str:
    """Two cells of the table: core-ms and requests, for one of `count` pieces of work."""
    requests, started = log.read_bytes().count(b" HTTP/1.1"), time.process_time()
    work()
    spent = time.process_time() - started
    return f"{spent * 1000 / count:.2f} | {(log.read_bytes().count(b' HTTP/1.1') - requests) / count:.2f}"


def rows(name: str, client: Client, log: Path, files: int, size: int) -> str:
    """The row of a library."""
    content = os.urandom(size)
    paths = [f"{FOLDER}/{name}/{number:05}.jpg" for number in range(files)]
    client.write(paths[0], content)  # connects
    client.read(paths[0])
    client.count(f"{FOLDER}/{name}")
    cells = [
        measured(log, files, lambda: [client.write(path, content) for path in paths]),
        measured(log, files, lambda: [client.read(path) for path in paths]),
        measured(log, files, lambda: client.count(f"{FOLDER}/{name}")),
    ]
    return f"| {name} | {' | '.join(cells)} |"


def read_journal(log: Path, photos: int) -> list[str]:
    """Writes a journal of made-up records, and reads it back: a table of one row."""
    from benchmarks.scaling import record_of
    from pipelines import storage
    from pipelines.enhance.following import MERGED
    from pipelines.enhance.journal import SEGMENT_RECORDS, SUFFIX, Journal
    from pipelines.enhance.plan import Task

    journal, size = Journal("s3://archive/journal"), MERGED * SEGMENT_RECORDS
    for start in range(0, photos, size):
        tasks = (
            Task(f"{number // 1000:05}/IMG_{number:07}.JPG", 3_000_000, 1.7e9, "digest", "", "", False)
            for number in range(start, min(start + size, photos))
        )
        storage.write(f"{journal.folder}/{start}{SUFFIX}", b"".join(record_of(task, "digest").line() for task in tasks))
    started, requests = time.perf_counter(), log.read_bytes().count(b" HTTP/1.1")
    found = len(journal.read())
    if found != photos:
        raise RuntimeError(f"{found} of {photos} records were read")
    seconds = time.perf_counter() - started
    requests = log.read_bytes().count(b" HTTP/1.1") - requests
    lines = ["| records | read back in | requests |", "|---|---|---|"]
    return [*lines, f"| {photos:,} | {seconds:.1f} s | {requests} |"]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--bytes", type=int, default=1_000_000)
    parser.add_argument("--journal", type=int, metavar="RECORDS", help="read a journal of so many photos instead")
    options = parser.parse_args()
    lines = [
        "| | write a file, core-ms | requests | read it, core-ms | requests | list it, core-ms | requests |",
        "|---|---|---|---|---|---|---|",
    ]
    with server() as log:
        import boto3

        boto3.client("s3").create_bucket(Bucket="archive")
        if options.journal:
            show(read_journal(log, options.journal))
            return
        for name, make in (("zerodce (obstore)", ours), ("Beam", beams), ("s3fs", s3fs)):
            try:
                client = make()
            except ImportError as error:
                lines.append(f"| {name}: {error} | | | | | | |")
                continue
            lines.append(rows(name, client, log, options.files, options.bytes))
    show(lines)


if __name__ == "__main__":
    main()
