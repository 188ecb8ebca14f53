"""S3, as moto serves it in this process: the same code as on disk, its errors in a line, a full bucket survived."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from apache_beam.io.aws.clients.s3 import boto3_client, messages
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from moto.server import ThreadedMotoServer
from PIL import Image

from pipelines import cli, storage
from pipelines.enhance import command
from pipelines.enhance.journal import Journal, PhotoRecord, Version
from pipelines.enhance.settings import EnhanceSettings

BUCKET = "s3://archive"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of an S3 service."""
    service = ThreadedMotoServer(port=0, verbose=False)
    service.start()
    host, port = service.get_host_and_port()
    yield f"http://{host}:{port}"
    service.stop()


@pytest.fixture(autouse=True)
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty bucket that this process may use."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    FileSystems.set_options(PipelineOptions([]))
    client = boto3.client("s3")
    client.create_bucket(Bucket="archive")
    yield client
    storage.delete(f"{BUCKET}/{entry.path}" for entry in storage.walk(BUCKET))
    client.delete_bucket(Bucket="archive")


def test_files_are_found_as_on_a_disk() -> None:
    storage.write(f"{BUCKET}/a/ü 1.jpg", b"123")
    assert storage.read(f"{BUCKET}/a/ü 1.jpg") == b"123"
    assert [(entry.path, entry.size) for entry in storage.walk(BUCKET)] == [("a/ü 1.jpg", 3)]
    (entry,) = storage.walk(f"{BUCKET}/a/")
    assert entry == storage.stat(f"{BUCKET}/a", "ü 1.jpg")
    assert storage.exists(f"{BUCKET}/a")
    assert storage.exists(f"{BUCKET}/a/ü 1.jpg")
    assert not storage.exists(f"{BUCKET}/b")
    assert not storage.is_file(f"{BUCKET}/a")
    storage.delete([f"{BUCKET}/a/ü 1.jpg", f"{BUCKET}/a/none"])
    assert list(storage.walk(BUCKET)) == []


def test_a_copy_within_the_store_is_made_by_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    storage.write(f"{BUCKET}/in/a [1].jpg", b"123")
    (entry,) = storage.walk(f"{BUCKET}/in")
    with monkeypatch.context() as patch:
        patch.delattr(boto3_client.Client, "upload_part")
        patch.delattr(boto3_client.Client, "get_range")
        storage.copy(f"{BUCKET}/in", entry, f"{BUCKET}/out/a.jpg")
    assert storage.read(f"{BUCKET}/out/a.jpg") == b"123"
    storage.copy(f"{BUCKET}/in", entry, str(tmp_path / "a.jpg"))
    assert (tmp_path / "a.jpg").read_bytes() == b"123"
    assert (tmp_path / "a.jpg").stat().st_mtime == entry.mtime

    storage.write(f"{BUCKET}/in/a [1].jpg", b"1234")
    with pytest.raises(storage.SourceError, match="changed"):
        storage.copy(f"{BUCKET}/in", entry, f"{BUCKET}/out/b.jpg")
    assert not storage.exists(f"{BUCKET}/out/b.jpg")


def test_names_are_no_patterns() -> None:
    for folder in ("trip [1]", "trip 1", "what?", "whats", "a*", "ab"):
        storage.write(f"{BUCKET}/{folder}/a.jpg", folder.encode())
    for folder in ("trip [1]", "what?", "a*"):
        (entry,) = storage.walk(f"{BUCKET}/{folder}")
        assert entry.path == "a.jpg"
        assert storage.exists(f"{BUCKET}/{folder}")
        assert storage.stat(f"{BUCKET}/{folder}", "a.jpg").size == len(folder)
    assert not storage.exists(f"{BUCKET}/wha[t]s")


def test_errors_are_oserrors_of_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read(f"{BUCKET}/none")
    with pytest.raises(OSError, match="NoSuchBucket") as caught:
        storage.write("s3://not-there/a", b"1")
    assert "\n" not in str(caught.value)
    with pytest.raises(OSError, match=r"apache-beam\[gcp\]|google"):
        storage.read("gs://bucket/a")
    with pytest.raises(OSError, match="404"):
        list(storage.walk("s3://not-there/a"))
    with monkeypatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with pytest.raises(OSError, match="credentials"):
            storage.reach(BUCKET)


def test_a_journal_is_an_object_a_photo() -> None:
    journal = Journal(f"{BUCKET}/out/.zerodce/journal")
    assert journal.read() == {}
    record = PhotoRecord("a.jpg", 1, 2.0, "settings", row={"path": "a.jpg"})
    failed = PhotoRecord("b.jpg", 1, 2.0, "settings", failure={"stage": "decode", "error": "broken"})
    for each in (record, record, failed):
        journal.append(each)
    assert len(list(storage.walk(journal.folder))) == 2
    assert journal.read() == {"a.jpg": record, "b.jpg": failed}
    assert journal.is_done(Version("a.jpg", 1, 2.0, "settings"), lambda _: (), storage.exists)
    assert not journal.is_done(Version("a.jpg", 1, 2.0, "other settings"), lambda _: (), storage.exists)
    assert not journal.is_done(Version("b.jpg", 1, 2.0, "settings"), lambda _: (), storage.exists)
    assert not journal.is_done(Version("c.jpg", 1, 2.0, "settings"), lambda _: (), storage.exists)
    journal.compact([record])
    assert len(list(storage.walk(journal.folder))) == 1
    assert journal.read() == {"a.jpg": record}


def enhance(*arguments: str) -> int:
    params = cli.enhance.make_context("enhance", list(arguments)).params
    return command.enhance(params.pop("photos"), params.pop("out"), EnhanceSettings(**params))


def test_a_bucket_that_fills_up_ends_the_job_and_the_next_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 60, (40, 60, 3), dtype=np.uint8)
    for number in range(8):
        Image.fromarray(np.roll(pixels, number)).save(photos / f"{number}.png")
    upload, left = boto3_client.Client.upload_part, 20

    def until_full(client: boto3_client.Client, request: Any) -> Any:
        nonlocal left
        left -= "/enhanced/" in f"/{request.object}" or "/autocontrast/" in f"/{request.object}"
        if left < 10 and request.object.endswith(".png"):
            raise messages.S3ClientError("An error occurred (QuotaExceeded): the bucket is full", 507)
        return upload(client, request)

    with monkeypatch.context() as patch:
        patch.setattr(boto3_client.Client, "upload_part", until_full)
        assert enhance(str(photos), f"{BUCKET}/out") == 1
    assert "the bucket is full" in capsys.readouterr().err
    counts = json.loads(storage.read(f"{BUCKET}/out/run.json"))["counts"]
    assert counts["found"] == 8
    assert 0 < counts["enhanced"] <= 5
    written = counts["enhanced"]

    assert enhance(str(photos), f"{BUCKET}/out") == 0
    counts = json.loads(storage.read(f"{BUCKET}/out/run.json"))["counts"]
    assert (counts["enhanced"], counts["skipped"], counts["failed"]) == (8 - written, written, 0)
    assert storage.read(f"{BUCKET}/out/metrics.csv").count(b"\n") == 9
