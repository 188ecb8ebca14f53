"""S3, as moto serves it in this process: the same code as on disk, its errors in a line, a full bucket survived."""

import collections
import dataclasses
import io
import json
import pickle
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.exceptions import GenericError
from PIL import Image

from pipelines import runners, storage
from pipelines.enhance import command, following, report
from pipelines.enhance import journal as journal_module
from pipelines.enhance.attempts import Attempts
from pipelines.enhance.journal import _NUMBERS, Journal, PhotoRecord, Version
from pipelines.preprocess.shards import ShardResult, ShardWriter
from pipelines.storage import objects
from tests.pipelines import jobs
from tests.pipelines.jobs import enhance, preprocess

pytestmark = pytest.mark.slow

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
def bucket(server: str) -> Iterator[Any]:
    """An empty bucket that this process may use."""
    with jobs.bucket(server, "archive") as client:
        yield client


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
        patch.delattr(obstore, "put")
        patch.delattr(obstore, "get")
        storage.copy(f"{BUCKET}/in", entry, f"{BUCKET}/out/a.jpg", zlib.crc32(b"123"))
    assert storage.read(f"{BUCKET}/out/a.jpg") == b"123"
    storage.copy(f"{BUCKET}/in", entry, str(tmp_path / "a.jpg"), zlib.crc32(b"123"))
    assert (tmp_path / "a.jpg").read_bytes() == b"123"
    assert (tmp_path / "a.jpg").stat().st_mtime == entry.mtime

    storage.write(f"{BUCKET}/in/a [1].jpg", b"1234")
    with pytest.raises(storage.SourceError, match="changed"):
        storage.copy(f"{BUCKET}/in", entry, f"{BUCKET}/out/b.jpg", zlib.crc32(b"123"))
    assert not storage.exists(f"{BUCKET}/out/b.jpg")
    storage.delete([f"{BUCKET}/in/a [1].jpg"])
    with pytest.raises(storage.SourceError, match="it was gone"):
        storage.copy(f"{BUCKET}/in", entry, f"{BUCKET}/out/b.jpg", zlib.crc32(b"123"))


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
    with pytest.raises(OSError, match="Account must be specified"):
        storage.read("az://box/a")
    with pytest.raises(OSError, match="404"):
        list(storage.walk("s3://not-there/a"))
    with monkeypatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        objects._client.cache_clear()
        with pytest.raises(OSError, match="no credentials for S3"):
            storage.reach(BUCKET)


def test_the_answer_of_a_store_is_a_line() -> None:
    """As Azure words it, over several lines."""
    answer = (
        "Object at location a not found: Error performing PUT http://x/box/a in 1ms - Server returned non-2xx status "
        "code: 404 Not Found: <?xml ?>\n<Error>\n  <Code>ContainerNotFound</Code>\n  <Message>The specified container "
        "does not exist.\nRequestId:d5d3156e\nTime:2026-11-27</Message>\n</Error>\n\nDebug source:\nNotFound {}"
    )
    with (
        pytest.raises(OSError, match=r"does not exist \(ContainerNotFound, 404\)") as caught,
        objects._asking("az://box"),
    ):
        raise FileNotFoundError(answer)
    assert not isinstance(caught.value, FileNotFoundError)  # it is the container that is missing
    assert "\n" not in str(caught.value)


def test_credentials_come_from_where_boto3_finds_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text("[archive]\naws_access_key_id = local\naws_secret_access_key = local\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "archive")
    objects._client.cache_clear()
    storage.write(f"{BUCKET}/a", b"1")
    assert storage.read(f"{BUCKET}/a") == b"1"


def test_options_of_beam_come_before_the_environment(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    runners.pipeline_options("DirectRunner", [f"--s3_endpoint_url={server}", "--s3_region_name=us-east-1"])
    storage.write(f"{BUCKET}/a", b"1")
    assert storage.read(f"{BUCKET}/a") == b"1"
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    runners.pipeline_options("DirectRunner")
    assert storage.read(f"{BUCKET}/a") == b"1"


def test_a_file_is_one_put_and_a_long_one_comes_in_parts(bucket: Any) -> None:
    for size in (0, 1, objects.ONE_PUT, objects.ONE_PUT + 1):
        content = bytes(size)
        storage.write(f"{BUCKET}/a", content)
        assert storage.read(f"{BUCKET}/a") == content
        tag = bucket.head_object(Bucket="archive", Key="a")["ETag"]
        assert ("-" in tag) == (size > objects.ONE_PUT)  # as S3 marks multipart uploads


def test_a_file_is_replaced_only_in_the_version_that_is_known() -> None:
    path = f"{BUCKET}/lease"
    first = objects.replace(path, b"first", None)
    with pytest.raises(FileExistsError):
        objects.replace(path, b"second", None)
    assert objects.tag(path) == first
    second = objects.replace(path, b"second", first)
    with pytest.raises(FileExistsError):
        objects.replace(path, b"third", first)
    assert storage.read(path) == b"second"
    assert objects.tag(path) == second


def test_a_listing_of_many_pages_is_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PAGE", 7)
    names = {f"{number:03}.jpg" for number in range(50)}
    for name in names:
        storage.write(f"{BUCKET}/in/{name}", b"1")
        storage.write(f"{BUCKET}/in2/{name}", b"1")
    assert {entry.path for entry in storage.walk(f"{BUCKET}/in")} == names


def test_a_key_that_cannot_be_a_path_is_named(bucket: Any) -> None:
    bucket.put_object(Bucket="archive", Key="in//a.jpg", Body=b"1")
    with pytest.raises(OSError, match=r"in//a\.jpg"):
        list(storage.walk(f"{BUCKET}/in"))
    bucket.delete_object(Bucket="archive", Key="in//a.jpg")


JOURNAL = f"{BUCKET}/out/.zerodce/journal"


def a_record(path: str, **changes: Any) -> PhotoRecord:
    texts: dict[str, Any] = {"path": path, "output": path, "notes": ""}
    record = PhotoRecord(path, 1, 2.0, "settings", row=texts | dict.fromkeys(_NUMBERS, 1.0))
    return dataclasses.replace(record, **changes)


def test_a_journal_is_written_in_segments() -> None:
    journal = Journal(JOURNAL)
    assert journal.read() == {}
    record, failed = a_record("a.jpg"), a_record("b.jpg", row=None, failure={"stage": "decode", "error": "broken"})
    for each in (record, record, failed):
        journal.append(each)
    assert list(storage.walk(journal.folder)) == []  # not yet safe
    journal.flush()
    assert len(list(storage.walk(journal.folder))) == 1
    assert journal.read() == {"a.jpg": record, "b.jpg": failed}
    other = pickle.loads(pickle.dumps(journal))
    assert other.is_done(Version("a.jpg", 1, 2.0, "settings"), lambda _: (), len)
    assert not other.is_done(Version("a.jpg", 1, 2.0, "other settings"), lambda _: (), len)
    assert not other.is_done(Version("b.jpg", 1, 2.0, "settings"), lambda _: (), len)
    assert not other.is_done(Version("c.jpg", 1, 2.0, "settings"), lambda _: (), len)
    journal.compact([record])
    assert len(list(storage.walk(journal.folder))) == 1
    assert journal.read() == {"a.jpg": record}


def test_a_segment_is_written_when_it_is_full_or_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "SEGMENT_RECORDS", 3)
    journal = Journal(JOURNAL)
    for number in range(7):
        journal.append(a_record(f"{number}.jpg"))
        journal._writer.submit(int).result()
    assert len(Journal(JOURNAL).read()) == 6
    monkeypatch.setattr(journal_module, "SEGMENT_SECONDS", 0.0)
    journal.append(a_record("7.jpg"))
    journal._writer.submit(int).result()
    assert len(Journal(JOURNAL).read()) == 8
    assert len(list(storage.walk(JOURNAL))) == 3


def test_what_says_that_a_photo_is_in_work_goes_when_its_record_is_safe() -> None:
    journal = Journal(JOURNAL)
    marks = [f"{BUCKET}/out/.zerodce/in_work/{number}.json" for number in range(2)]
    for number, mark in enumerate(marks):
        storage.write(mark, b"{}")
        journal.append(a_record(f"{number}.jpg"), mark=mark)
    assert all(map(storage.exists, marks))
    journal.flush()
    assert not any(map(storage.exists, marks))


def test_workers_skip_what_was_there_before_the_job() -> None:
    journal = Journal(JOURNAL)
    journal.append(a_record("old.jpg"))
    journal.flush()
    journal.skip_present()
    journal.append(a_record("new.jpg"))
    journal.flush()
    worker = pickle.loads(pickle.dumps(journal))
    done = [
        path for path in ("old.jpg", "new.jpg") if worker.is_done(Version(path, 1, 2.0, "settings"), lambda _: (), len)
    ]
    assert done == ["new.jpg"]
    assert journal.read().keys() == {"old.jpg", "new.jpg"}


def test_a_follower_merges_segments_and_every_record_is_seen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0.0)
    monkeypatch.setattr(following, "MERGED", 4)
    journal, seen = Journal(JOURNAL), []
    journal.append(a_record("before.jpg"))
    journal.flush()
    follower = following.follow(JOURNAL)
    for number in range(10):
        journal.append(a_record(f"{number}.jpg"))
        journal.flush()
        seen += [record.path for record in follower.poll()]
    assert seen == [f"{number}.jpg" for number in range(10)]
    assert len(list(storage.walk(JOURNAL))) == 1 + 2 + 2  # before, two merged, two segments
    assert len(journal.read()) == 11


def test_segments_that_are_merged_while_they_are_read_are_read_from_what_replaces_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    journal = Journal(JOURNAL)
    for number in range(3):
        journal.append(a_record(f"{number}.jpg"))
        journal.flush()
    read, merged = storage.read, []

    def merge_and_read(path: str) -> bytes:
        if not merged:
            merged.append(path)
            follower = following.SegmentFollower(JOURNAL)
            follower._segments = {entry.path: read(f"{JOURNAL}/{entry.path}") for entry in storage.walk(JOURNAL)}
            follower._merge()
        return read(path)

    monkeypatch.setattr(storage, "read", merge_and_read)
    assert journal.read().keys() == {"0.jpg", "1.jpg", "2.jpg"}
    assert merged


def test_a_segment_cut_short_loses_its_last_line_only() -> None:
    journal = Journal(JOURNAL)
    journal.append(a_record("a.jpg"))
    journal.append(a_record("b.jpg"))
    journal.flush()
    (entry,) = storage.walk(JOURNAL)
    storage.write(f"{JOURNAL}/{entry.path}", storage.read(f"{JOURNAL}/{entry.path}")[:-5])
    assert journal.read().keys() == {"a.jpg"}


def counted(call: Callable[..., Any], requests: list[str]) -> Callable[..., Any]:
    def counting(*arguments: Any, **options: Any) -> Any:
        requests.append(call.__name__)
        return call(*arguments, **options)

    return counting


def test_a_photo_costs_few_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From store to store, with photos in work on the store as on a cluster."""
    requests: list[str] = []
    pixels = np.random.default_rng(0).integers(0, 60, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    for name in ("put", "get", "head", "list", "copy", "delete"):
        monkeypatch.setattr(obstore, name, counted(getattr(obstore, name), requests))
    monkeypatch.setattr(report, "is_sampled", lambda path, total: False)  # as in a large archive
    monkeypatch.setattr(report, "write_report", lambda *arguments: None)  # its requests do not grow with the archive
    monkeypatch.setattr(Attempts, "of", lambda out, on_cluster: Attempts(f"{out}/.zerodce/in_work", 3))
    counts = []
    for photos in (10, 40):
        for number in range(photos):
            storage.write(f"{BUCKET}/{photos}/{number}.png", (tmp_path / "photo.png").read_bytes())
        requests.clear()
        assert enhance(f"{BUCKET}/{photos}", f"{BUCKET}/out{photos}") == 0
        counts.append(collections.Counter(requests))
        assert json.loads(storage.read(f"{BUCKET}/out{photos}/run.json"))["counts"]["enhanced"] == photos
        assert list(storage.walk(f"{BUCKET}/out{photos}/.zerodce/in_work")) == []
    counts[1].subtract(counts[0])
    assert counts[1]["get"] == 30
    assert 3 * 30 <= counts[1]["put"] <= 3 * 30 + 3  # two images and that the photo is in work; segments
    assert counts[1].total() <= 4.3 * 30


def test_a_bucket_that_fills_up_ends_the_job_and_the_next_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 60, (40, 60, 3), dtype=np.uint8)
    for number in range(8):
        Image.fromarray(np.roll(pixels, number)).save(photos / f"{number}.png")
    put, left = obstore.put, 20

    def until_full(store: Any, key: str, *arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= "/enhanced/" in f"/{key}" or "/autocontrast/" in f"/{key}"
        if left < 10 and key.endswith(".png"):
            raise GenericError("Server returned non-2xx status code: 507: the bucket is full")
        return put(store, key, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(obstore, "put", until_full)
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


def test_photos_that_go_or_change_after_they_were_listed_are_a_row_and_done_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(0)

    def put(name: str) -> None:
        buffer = io.BytesIO()
        Image.fromarray(generator.integers(0, 60, (40, 60, 3), dtype=np.uint8)).save(buffer, "PNG")
        storage.write(f"{BUCKET}/in/{name}.png", buffer.getvalue())

    for name in ("changes", "goes", "stays"):
        put(name)
    write_plan = command.write_plan

    def change_and_write_plan(*arguments: Any) -> list[str]:
        storage.delete([f"{BUCKET}/in/goes.png"])
        time.sleep(1.1)  # times on S3 are whole seconds
        put("changes")
        put("comes")
        return write_plan(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(command, "write_plan", change_and_write_plan)
        assert enhance(f"{BUCKET}/in", f"{BUCKET}/out") == 1
    counts = json.loads(storage.read(f"{BUCKET}/out/run.json"))["counts"]
    assert (counts["found"], counts["enhanced"], counts["failed"]) == (3, 2, 1)
    assert b"goes.png,read,FileNotFoundError" in storage.read(f"{BUCKET}/out/failures.csv")

    assert enhance(f"{BUCKET}/in", f"{BUCKET}/out") == 0
    counts = json.loads(storage.read(f"{BUCKET}/out/run.json"))["counts"]
    assert (counts["found"], counts["enhanced"], counts["skipped"], counts["failed"]) == (3, 2, 1, 0)
    table = storage.read(f"{BUCKET}/out/metrics.csv").decode().splitlines()
    assert [line.split(",")[0] for line in table[1:]] == ["changes.png", "comes.png", "stays.png"]


class Fragile:
    """An S3 service of the same objects that can be ended, and begun anew at the same address."""

    def __init__(self) -> None:
        self.port = 0
        self.begin()

    def begin(self) -> None:
        self.service = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
        self.service.start()
        _, self.port = self.service.get_host_and_port()

    def end(self) -> None:
        self.service.stop()
        self.service._server.server_close()  # or connections would wait for an answer


@pytest.fixture
def fragile(bucket: Any) -> Iterator[Fragile]:
    """The service that this process asks; an outage is waited for during two seconds, and said at each try."""
    service = Fragile()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{service.port}")
        patch.setattr(objects, "WAIT_SECONDS", 2.0)
        patch.setattr(objects, "SAY_SECONDS", 0.0)
        objects._client.cache_clear()
        yield service
    objects._client.cache_clear()
    service.service.stop()


def every_call() -> list[Callable[[], object]]:
    """Everything that asks an object store."""
    return [
        lambda: storage.read(f"{BUCKET}/a"),
        lambda: storage.write(f"{BUCKET}/b", b"2"),
        lambda: storage.exists(f"{BUCKET}/a"),
        lambda: storage.is_file(f"{BUCKET}/a"),
        lambda: storage.stat(BUCKET, "a"),
        lambda: list(storage.walk(BUCKET)),
        lambda: storage.copy(BUCKET, storage.stat(BUCKET, "a"), f"{BUCKET}/c", 0),
        lambda: objects._copy(f"{BUCKET}/c", f"{BUCKET}/a"),
        lambda: storage.delete([f"{BUCKET}/a"]),
    ]


def test_an_outage_is_said_and_waited_for(
    fragile: Fragile, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends when it has been said, however fast this machine is."""
    say, down = objects._say_waiting, threading.Event()

    def say_and_begin(*said: Any) -> None:
        say(*said)
        if down.is_set():
            down.clear()
            fragile.begin()

    monkeypatch.setattr(objects, "_say_waiting", say_and_begin)
    storage.write(f"{BUCKET}/a", b"1")
    for call in every_call():
        fragile.end()
        down.set()
        call()
        said = capsys.readouterr().err.splitlines()
        assert said
        assert all(line.startswith(f"Waiting for {BUCKET}, which does not answer (") for line in said)
        assert "for 2 s more." in said[0]
    assert [entry.path for entry in storage.walk(BUCKET)] == ["b", "c"]


def test_an_outage_that_lasts_is_an_error(fragile: Fragile, capsys: pytest.CaptureFixture[str]) -> None:
    storage.write(f"{BUCKET}/a", b"1")
    fragile.end()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "WAIT_SECONDS", 0.2)
        for call in every_call():
            objects._works[BUCKET] = True
            with pytest.raises(OSError, match=r"has not answered for \d s \(.*127\.0\.0\.1") as error:
                call()
            assert "\n" not in error.value.strerror
            assert len(capsys.readouterr().err.splitlines()) in (1, 2)
        with pytest.raises(OSError, match=r"127\.0\.0\.1:\d+: Connection refused"):
            storage.read(f"{BUCKET}/a")
        assert capsys.readouterr().err == ""
    fragile.begin()
    assert storage.read(f"{BUCKET}/a") == b"1"


def test_a_copy_within_the_store_waits_wherever_the_store_goes(
    fragile: Fragile, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it is copied, or before the original is looked at again."""
    storage.write(f"{BUCKET}/a", b"1")
    entry = storage.stat(BUCKET, "a")
    copy = obstore.copy

    def copied_and_gone(*arguments: Any) -> Any:
        copied = copy(*arguments)
        fragile.end()
        begin.start()
        return copied

    for step in (None, copied_and_gone):
        begin = threading.Timer(0.5, fragile.begin)
        with pytest.MonkeyPatch.context() as patch:
            if step:
                patch.setattr(obstore, "copy", step)
            else:
                fragile.end()
                begin.start()
            assert storage.copy(BUCKET, entry, f"{BUCKET}/c", zlib.crc32(b"1")) == zlib.crc32(b"1")
        begin.join()
        assert f"Waiting for {BUCKET}" in capsys.readouterr().err
        assert storage.read(f"{BUCKET}/c") == b"1"


def test_a_copy_that_an_outage_breaks_off_blames_the_store_not_the_photo(fragile: Fragile) -> None:
    storage.write(f"{BUCKET}/a", b"1")
    entry = storage.stat(BUCKET, "a")
    fragile.end()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objects, "WAIT_SECONDS", 0.2)
        with pytest.raises(OSError, match=r"has not answered for \d s"):
            storage.copy(BUCKET, entry, f"{BUCKET}/c", zlib.crc32(b"1"))
        patch.setattr(objects, "_copy", lambda path, source: objects._works.update({BUCKET: True}))
        with pytest.raises(OSError, match=r"has not answered for \d s"):
            storage.copy(BUCKET, entry, f"{BUCKET}/c", zlib.crc32(b"1"))
    fragile.begin()


def test_a_store_that_has_never_answered_is_not_waited_for(
    fragile: Fragile, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_works", {})
    fragile.end()
    for call in every_call():
        with pytest.raises(OSError, match=r"127\.0\.0\.1:\d+: Connection refused"):
            call()
    assert capsys.readouterr().err == ""
    fragile.begin()


def test_a_data_set_goes_on_after_an_outage(
    fragile: Fragile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        pixels = np.full((8, 8, 3), number, np.uint8)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    arguments = ["--size", "8", "--split", "all=1", "--shard-records", "2", "--workers", "1"]

    def make(out: str) -> int:
        return preprocess(tmp_path / "images", out, *arguments)

    remember = ShardWriter.remember

    def gone_after(writer: ShardWriter, row: ShardResult) -> None:
        remember(writer, row)
        fragile.end()

    with monkeypatch.context() as patch:
        patch.setattr(ShardWriter, "remember", gone_after)
        with pytest.raises(
            click.ClickException, match=f"{BUCKET} has not answered for 2 s .*; finished shards are kept"
        ):
            make(f"{BUCKET}/out")
    assert f"Waiting for {BUCKET}" in capsys.readouterr().err
    fragile.begin()
    assert make(f"{BUCKET}/out") == 0
    assert make(str(tmp_path / "out")) == 0
    names = {entry.path for entry in storage.walk(f"{BUCKET}/out")}
    local = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == local
    for name in names:
        assert storage.read(f"{BUCKET}/out/{name}") == (tmp_path / "out" / name).read_bytes()
