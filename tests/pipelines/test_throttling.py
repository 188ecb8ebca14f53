"""An S3 service that throttles: it refuses some requests, or all, with 503 SlowDown."""

import csv
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from PIL import Image
from werkzeug.serving import make_server

from pipelines import storage
from pipelines.storage import objects
from tests.pipelines import jobs
from tests.pipelines.jobs import enhance, preprocess

pytestmark = pytest.mark.slow

BUCKET = "s3://throttled"
PHOTOS = 12
SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


def refuses_nothing(path: str) -> bool:
    return False


class Throttle:
    """Stands before an S3 service, and refuses the requests that `refuses` names, as S3 does.

    Attributes:
        refuses: Says of the path of a request whether it is refused.
        refused: How many requests have been refused.
    """

    def __init__(self, service: Callable[..., Iterable[bytes]]) -> None:
        self.service, self.lock = service, threading.Lock()
        self.refused = 0
        self.refuses: Callable[[str], bool] = refuses_nothing

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        with self.lock:
            refuses = self.refuses(environ["PATH_INFO"])
            self.refused += refuses
        if not refuses:
            return self.service(environ, start)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(SLOW_DOWN)))])
        return [SLOW_DOWN]


@pytest.fixture
def throttle(monkeypatch: pytest.MonkeyPatch) -> Iterator[Throttle]:
    """The throttle of an S3 service that this process asks."""
    throttle = Throttle(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, throttle, threaded=True, request_handler=MotoRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(objects, "SAY_SECONDS", 0.0)
    with jobs.bucket(f"http://127.0.0.1:{server.server_port}", "throttled"):
        yield throttle
        throttle.refuses = refuses_nothing
    server.shutdown()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of small dark photos."""
    (folder := tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 60, (40, 60, 3), dtype=np.uint8)
    for number in range(PHOTOS):
        Image.fromarray(np.roll(pixels, number)).save(folder / f"{number:02}.png")
    return folder


def upload(photos: Path) -> str:
    for path in photos.iterdir():
        storage.write(f"{BUCKET}/photos/{path.name}", path.read_bytes())
    return f"{BUCKET}/photos"


def rows(out: str, table: str) -> list[dict[str, str]]:
    return list(csv.DictReader(storage.read(f"{out}/{table}").decode().splitlines()))


def counts(out: str) -> dict[str, int]:
    found: dict[str, int] = json.loads(storage.read(f"{out}/run.json"))["counts"]
    return found


def lines(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("Waiting")]


def test_a_run_goes_through_where_a_share_of_the_requests_is_refused(
    throttle: Throttle, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = upload(photos), f"{BUCKET}/out"
    numbers = iter(np.random.default_rng(0).random(100_000) < 0.4)
    throttle.refuses = lambda path: bool(next(numbers))
    assert enhance(source, out) == 0
    assert throttle.refused > 20
    said = lines(capsys.readouterr().err)
    assert said
    assert all(line.startswith(f"Waiting for {BUCKET}, which refuses to work now (") for line in said)
    assert all(line.endswith("503 Service Unavailable): for 60 s more.") or "(SlowDown, 503)" in line for line in said)
    throttle.refuses = refuses_nothing
    assert counts(out) == {"found": PHOTOS, "enhanced": PHOTOS, "skipped": 0, "failed": 0, "ignored": 0, "unchanged": 0}
    assert [row["path"] for row in rows(out, "metrics.csv")] == sorted(path.name for path in photos.iterdir())
    assert len(list(storage.walk(f"{out}/enhanced"))) == PHOTOS
    assert enhance(source, out) == 0
    assert counts(out)["skipped"] == PHOTOS


def test_a_store_that_refuses_at_the_start_is_waited_for(
    throttle: Throttle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has answered, so its address is right."""
    monkeypatch.setattr(objects, "_works", {})
    refused = iter([True] * 3 + [False] * 100)
    throttle.refuses = lambda path: next(refused)
    storage.write(f"{BUCKET}/a", b"1")
    assert len(lines(capsys.readouterr().err)) == 1
    monkeypatch.setattr(objects, "WAIT_SECONDS", 1.0)
    throttle.refuses = lambda path: True
    with pytest.raises(OSError, match=rf"{BUCKET} has refused to work for \d s .*\(SlowDown, 503\)"):
        storage.read(f"{BUCKET}/a")
    assert lines(capsys.readouterr().err)
    with pytest.raises(OSError, match="SlowDown"):  # once is enough
        storage.read(f"{BUCKET}/a")
    assert capsys.readouterr().err == ""


def refusing_after(throttle: Throttle, share: str, requests: int) -> None:
    """Lets everything be refused once as many requests have had a text in their path."""
    seen = 0

    def refuses(path: str) -> bool:
        nonlocal seen
        seen += share in path
        return seen > requests

    throttle.refuses = refuses


def test_photos_on_a_store_that_refuses_for_ever_are_no_failures(
    throttle: Throttle,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(objects, "WAIT_SECONDS", 1.0)
    source, out = upload(photos), str(tmp_path / "out")
    refusing_after(throttle, "/photos/0", 5)
    assert enhance(source, out, "--workers", "1") == 1
    said = capsys.readouterr().err
    assert f"Error: cannot read {source} ({BUCKET} has refused to work for 1 s (" in said
    assert "photos to go: the same command goes on from here" in said
    found = counts(out)
    assert 0 < found["enhanced"] <= 5
    assert found["failed"] == 0
    assert rows(out, "failures.csv") == []

    throttle.refuses = refuses_nothing
    assert enhance(source, out) == 0
    assert counts(out) == {**found, "enhanced": PHOTOS - found["enhanced"], "skipped": found["enhanced"]}


def test_results_on_a_store_that_refuses_for_ever_are_not_counted(
    throttle: Throttle, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the photos nor the tables can be written. The next run does what has no record."""
    monkeypatch.setattr(objects, "WAIT_SECONDS", 1.0)
    out = f"{BUCKET}/out"
    refusing_after(throttle, "/enhanced/", 5)
    with pytest.raises(click.ClickException, match=r"503.*; finished photos are kept, and the same command goes on"):
        enhance(str(photos), out, "--workers", "1")
    throttle.refuses = refuses_nothing
    assert not storage.exists(f"{out}/run.json")
    assert enhance(str(photos), out) == 0
    found = counts(out)
    assert found["enhanced"] + found["skipped"] == PHOTOS
    assert found["failed"] == 0
    assert [row["path"] for row in rows(out, "metrics.csv")] == sorted(path.name for path in photos.iterdir())


def test_images_on_a_store_that_refuses_for_ever_are_not_rejected(
    throttle: Throttle, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "WAIT_SECONDS", 1.0)
    source, out = upload(photos), tmp_path / "shards"
    arguments = ["--size", "8", "--split", "all=1", "--shard-records", "3", "--workers", "1"]

    refusing_after(throttle, "/photos/", 5)
    with pytest.raises(click.ClickException, match=rf"cannot read {source} \(.*refused to work.*the same command"):
        preprocess(source, out, *arguments)
    throttle.refuses = refuses_nothing
    assert preprocess(source, out, *arguments) == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["splits"]["all"]["records"] == PHOTOS
