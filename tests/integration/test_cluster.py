"""Both jobs on a Flink cluster of two hosts: the results of one process, from folders and s3://, whatever dies."""

import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image

from pipelines import storage

pytestmark = pytest.mark.cluster

CLUSTER = Path(__file__).resolve().parents[2] / "scripts" / "local-cluster"
FLINK = "http://10.77.0.1:8081"
S3 = {
    "AWS_ENDPOINT_URL": "http://10.77.0.1:5000",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
}
DAYS, PHOTOS_A_DAY = 20, 6
SHARDS = ("--size", "256", "--shard-records", "3")
PATIENCE = 600


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """The cluster, up; skipped where something that it needs is not there."""
    if missing := [tool for tool in ("java", "ip", "curl") if not shutil.which(tool)]:
        pytest.skip(f"a Flink cluster needs {', '.join(missing)}")
    if os.getuid():
        pytest.skip("network namespaces need root")
    if subprocess.run([CLUSTER, "fetched"]).returncode:
        pytest.skip("Flink and Beam's job server are not here yet: scripts/local-cluster fetch")
    subprocess.run([CLUSTER, "start"], check=True)
    try:
        yield
    finally:
        subprocess.run([CLUSTER, "stop"], check=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of 1.5 megapixels, and one that is broken."""
    folder = tmp_path_factory.mktemp("archive") / "photos"
    picture = np.random.default_rng(0).integers(0, 60, (100, 150, 3), dtype=np.uint8)
    image = Image.fromarray(picture).resize((1500, 1000), Image.Resampling.BICUBIC)
    for day in range(DAYS):
        (folder / f"day{day}").mkdir(parents=True)
        for number in range(PHOTOS_A_DAY):
            path = folder / f"day{day}" / f"{number:02}.jpg"
            if day:
                shutil.copy2(folder / "day0" / path.name, path)
            else:
                image.rotate(number).save(path, quality=90)
    (folder / "day0" / "broken.jpg").write_bytes(b"no photo")
    return folder


def zerodce(*arguments: object, on: tuple[object, ...] = (CLUSTER, "run"), **env: str) -> subprocess.Popen[str]:
    """A command of `zerodce`, under way on the cluster or `on` something else."""
    return subprocess.Popen(
        [*map(str, on), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **S3, **env},
    )


def ended(process: subprocess.Popen[str], code: int) -> str:
    """What a command said on standard error, once it has ended with an exit code."""
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == code, said
    return said


@pytest.fixture(scope="module")
def expected(photos: Path) -> Path:
    """What the jobs leave when they run in one process; 1 is their exit code because of the broken photo."""
    here = (sys.executable, "-m", "pipelines.cli")
    out = photos.parent / "expected"
    jobs = [
        zerodce("enhance", photos, out / "enhance", on=here),
        zerodce("preprocess", photos, out / "preprocess", *SHARDS, on=here),
        zerodce("preprocess", photos / "day0", out / "day0", *SHARDS, on=here),
    ]
    for job in jobs:
        ended(job, 1)
    return out


def digests(folder: Path | str) -> dict[str, str]:
    """SHA-256 of each of the results in a folder: a difference is a name, not a comparison of bytes line by line."""
    return {path: hashlib.sha256(content).hexdigest() for path, content in files(folder).items()}


def files(folder: Path | str) -> dict[str, bytes]:
    """The results in a folder, without what tells of the run itself."""
    paths = [entry.path for entry in storage.walk(str(folder))]
    return {
        path: storage.read(storage.join(str(folder), path))
        for path in paths
        if not path.startswith((".zerodce/", "report")) and path != "run.json"
    }


def rows(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / "metrics.csv").read_text())))


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def inodes(paths: list[Path]) -> dict[Path, int]:
    """What changes when a file is written again."""
    return {path: path.stat().st_ino for path in paths}


def journaled(out: Path) -> list[Path]:
    """The enhanced photos that are in the journal."""
    records = [
        json.loads(line)
        for journal in (out / ".zerodce" / "journal").glob("*.jsonl")
        for line in journal.read_text().splitlines(keepends=True)
        if line.endswith("\n")
    ]
    return [out / "enhanced" / record["row"]["output"] for record in records if record["row"]]


def flink(path: str, method: str = "GET") -> Any:
    """An answer of Flink's REST service, which its web page shows."""
    with urllib.request.urlopen(urllib.request.Request(FLINK + path, method=method), timeout=10) as answer:
        return json.loads(answer.read() or b"{}")


def running() -> list[str]:
    return [job["id"] for job in flink("/jobs")["jobs"] if job["status"] == "RUNNING"]


def live_metrics() -> dict[str, list[str]]:
    """Our metrics of the jobs that run now, a value for each subtask."""
    found: dict[str, list[str]] = {}
    with contextlib.suppress(urllib.error.HTTPError):  # a job that ends meanwhile
        for job in running():
            for vertex in flink(f"/jobs/{job}")["vertices"]:
                metrics = f"/jobs/{job}/vertices/{vertex['id']}/metrics"
                for name in (metric["id"] for metric in flink(metrics) if ".zerodce_" in metric["id"]):
                    (value,) = flink(f"{metrics}?get={urllib.parse.quote(name)}")
                    found.setdefault(name.rsplit(".zerodce_", 1)[1], []).append(value["value"])
    return found


def test_a_shared_folder_gives_what_one_process_gives(cluster: None, photos: Path, expected: Path) -> None:
    out = photos.parent / "shared"
    jobs = [  # at once, on the same pools of workers
        zerodce("enhance", photos, out / "enhance"),
        zerodce("preprocess", photos, out / "preprocess", *SHARDS),
    ]
    for job in jobs:
        ended(job, 1)
    for name in ("enhance", "preprocess"):
        assert digests(out / name) == digests(expected / name)
    assert len(rows(out / "enhance")) == DAYS * PHOTOS_A_DAY


def test_an_object_store_gives_what_one_process_gives(
    cluster: None, photos: Path, expected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    for name, value in S3.items():
        monkeypatch.setenv(name, value)
    FileSystems.set_options(PipelineOptions([]))
    boto3.client("s3").create_bucket(Bucket="archive")
    for path, content in files(photos / "day0").items():
        storage.write(f"s3://archive/photos/day0/{path}", content)

    ended(zerodce("enhance", "s3://archive/photos", "s3://archive/enhance"), 1)
    ended(zerodce("preprocess", "s3://archive/photos/day0", "s3://archive/preprocess", *SHARDS), 1)

    enhanced, one_process = files("s3://archive/enhance"), files(expected / "enhance")
    assert enhanced.pop("metrics.csv").splitlines() == one_process["metrics.csv"].splitlines()[: 1 + PHOTOS_A_DAY]
    table, of_one_process = (
        pyarrow.parquet.read_table(io.BytesIO(content))
        for content in (enhanced.pop("metrics.parquet"), one_process["metrics.parquet"])
    )
    assert table == of_one_process[:PHOTOS_A_DAY]
    assert enhanced == {path: one_process[path] for path in enhanced}
    assert len(enhanced) == 2 * PHOTOS_A_DAY + 1  # and failures.csv
    shards, one_process = files("s3://archive/preprocess"), files(expected / "day0")
    told = {"manifest.json", "croissant.json"}  # they name the folder
    assert {path: shards[path] for path in shards.keys() - told} == {
        path: one_process[path] for path in one_process.keys() - told
    }
    assert json.loads(shards["manifest.json"])["splits"] == json.loads(one_process["manifest.json"])["splits"]

    # the journal and the manifest are found again: only the broken photo is tried once more
    again = zerodce("enhance", "s3://archive/photos", "s3://archive/enhance", "--json")
    said, errors = again.communicate(timeout=PATIENCE)
    assert again.returncode == 1, errors
    counts = json.loads(said.splitlines()[-1])["counts"]
    assert (counts["enhanced"], counts["skipped"], counts["failed"]) == (0, PHOTOS_A_DAY, 1)


def test_a_worker_that_dies_loses_nothing_and_repeats_nothing(cluster: None, photos: Path, expected: Path) -> None:
    out = photos.parent / "killed worker"
    job = zerodce("enhance", photos, out, "--workers", "1")
    until(lambda: "enhanced" in live_metrics() or None, job)
    metrics = live_metrics()
    assert sum(map(int, metrics["enhanced"])) > 0
    assert sum(map(int, metrics["pixels"])) % 1_500_000 == 0
    assert max(map(int, metrics["megapixels_per_second"])) > 0
    assert all(re.search(r"count=\d+.*max=\d+", text) for text in metrics["milliseconds"]), metrics
    until(lambda: len(journaled(out)) >= 10, job)

    subprocess.run([CLUSTER, "kill", "worker1"], check=True)
    finished = inodes(journaled(out))
    ended(job, 1)
    subprocess.run([CLUSTER, "boot", "worker1"], check=True)

    assert len(finished) < DAYS * PHOTOS_A_DAY, "the job was over before the worker died"
    assert inodes(list(finished)) == finished
    assert digests(out) == digests(expected / "enhance")
    assert json.loads((out / "run.json").read_text())["counts"]["enhanced"] == DAYS * PHOTOS_A_DAY


def test_a_job_that_dies_goes_on_when_it_is_started_again(cluster: None, photos: Path, expected: Path) -> None:
    out = photos.parent / "killed job"
    arguments = ("preprocess", photos, out, *SHARDS, "--workers", "1")
    job = zerodce(*arguments)
    finished_rows = out / ".zerodce" / "preprocess" / "rows"
    until(lambda: finished_rows.is_dir() and list(finished_rows.glob("*.json")), job)
    os.kill(job.pid, signal.SIGKILL)
    for name in running():
        with contextlib.suppress(urllib.error.HTTPError):  # it ended meanwhile
            flink(f"/jobs/{name}?mode=cancel", "PATCH")
    job.communicate()
    deadline = time.monotonic() + PATIENCE
    while running():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    finished = inodes([out / row.stem for row in finished_rows.glob("*.json")])
    assert not (out / "manifest.json").exists()

    ended(zerodce(*arguments), 1)
    assert inodes(list(finished)) == finished
    assert digests(out) == digests(expected / "preprocess")


def test_what_cannot_work_is_said_in_a_line(cluster: None, photos: Path, tmp_path: Path) -> None:
    flink_options = ("--runner", "FlinkRunner", "--", "--environment_type=EXTERNAL")
    here = (sys.executable, "-m", "pipelines.cli", "enhance")
    elsewhere, out = photos / "day0", tmp_path / "out"
    hidden = "mkdir -p {0} && mount -t tmpfs none {0} && cp {1} {0} && exec {2} run enhance {0} {3}"
    refused = {
        zerodce(elsewhere, out, *flink_options, "--job_endpoint=10.77.0.1:9", on=here): r"job server.*10\.77\.0\.1:9",
        zerodce(elsewhere, out, *flink_options, "--flink_master=10.77.0.1:8081", on=here): r"is Flink \d.*not 2\.2",
        zerodce(elsewhere, out, "--runner", "FlinkRunner", on=here): "cannot see .*EXTERNAL",
        zerodce("s3://nowhere/photos", out, on=here): "s3://nowhere/photos cannot be read.*404",
        zerodce("s3://x/photos", out, on=here, AWS_ACCESS_KEY_ID="", AWS_EC2_METADATA_DISABLED="true"): "credentials",
    }
    for job, reason in refused.items():
        said = ended(job, 2)
        assert re.search(reason, said), said
        assert "Traceback" not in said
    assert not out.exists()

    # a folder that only this side sees: it is mounted in a namespace of the command's own
    command = hidden.format(tmp_path / "hidden", photos / "day0" / "00.jpg", CLUSTER, out)
    said = ended(zerodce("sh", "-c", command, on=("unshare", "--mount")), 1)
    assert re.search(f"Error: worker .* cannot see {tmp_path}/hidden", said), said
    assert "Traceback" not in said
    assert rows(out) == []
