"""The data-set job in this process: bytes, counts, pairs, refusals, and what a kill leaves."""

import contextlib
import csv
import dataclasses
import errno
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from pipelines import records, runners, storage
from pipelines.preprocess.command import preprocess
from pipelines.preprocess.settings import PreprocessSettings, parse_size
from pipelines.preprocess.shards import ShardResult
from tfrecord_tools import Manifest, read_manifest, read_records, verify

pytestmark = pytest.mark.slow

DEFAULTS = {"size": "16", "shard_records": 4, "workers": 2}


def run(data: Path, out: Path, **options) -> int:
    options = DEFAULTS | options
    options["size"] = parse_size(options["size"])
    return preprocess(str(data), str(out), PreprocessSettings(**options))


def draw(path: Path, seed: int, size: tuple[int, int] = (30, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(values).save(path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """40 images, some in subfolders, and a file that is none."""
    for index in range(40):
        folder = "" if index % 3 else f"sub {index % 2}/"
        draw(tmp_path / "images" / f"{folder}{index}.png", index)
    (tmp_path / "images" / "notes.txt").write_text("not an image")
    return tmp_path / "images"


@pytest.fixture
def lol(tmp_path: Path) -> Path:
    """The LoL layout: 10 and 3 dark images; a `high` for numbers 1, 4, 7 and for the first of eval15."""
    folder = tmp_path / "lol"
    for index in range(10):
        draw(folder / f"our485/low/{index}.png", index)
        if index % 3 == 1:
            draw(folder / f"our485/high/{index}.png", 100 + index)
    for index in range(3):
        draw(folder / f"eval15/low/{index}.png", 50 + index)
    draw(folder / "eval15/high/0.png", 150)
    return folder


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of every file but the manifest."""
    files = (path for path in out.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def filenames(out: Path, split: str) -> list[str]:
    return [record.image.filename for record in read_records(out, split)] if read_manifest(out).records(split) else []


def check_identities(manifest: Manifest) -> None:
    counts = manifest.counts
    assert counts["found"] == counts["records"] + counts["rejected"]
    assert counts["records"] == counts["references"] + counts["without_reference"]
    assert counts["records"] == sum(manifest.records(split) for split in manifest.splits)


def test_no_name_of_a_folder_steers_the_terminal(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(click, "echo", lambda message, **options: said.append(str(message)))
    for _ in range(2):  # made, and complete already
        assert run(images, tmp_path / "of\x1b[2J") == 0
    records.inspect(str(tmp_path / "of\x1b[2J"))
    records.stats(str(tmp_path / "of\x1b[2J"), None, 1)
    assert said
    assert not [text for text in said if "\x1b" in text]


def test_a_plain_folder(images: Path, tmp_path: Path, capsys) -> None:
    assert run(images, tmp_path / "out") == 0
    manifest = read_manifest(tmp_path / "out")
    check_identities(manifest)
    assert manifest.counts == {
        "found": 40,
        "records": 40,
        "rejected": 0,
        "references": 0,
        "without_reference": 40,
        "ignored": 1,
    }
    written = [name for split in manifest.splits for name in filenames(tmp_path / "out", split)]
    assert sorted(written) == sorted(path.relative_to(images).as_posix() for path in images.rglob("*.png"))
    assert verify(tmp_path / "out") == []
    assert not (tmp_path / "out" / ".zerodce").exists()
    out = capsys.readouterr().out
    assert "40 = 40 written + 0 rejected" in out
    assert "1 other files" in out


def test_records_hold_pillows_pixels(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path / "out", size="10x6", split="all=1")
    for record in read_records(tmp_path / "out", "all"):
        stored = record.image
        assert (stored.width, stored.height, stored.format) == (10, 6, "png")
        expected = Image.open(images / stored.filename).resize((10, 6), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(Image.open(io.BytesIO(stored.encoded)), expected)


def test_same_bytes_for_any_workers_run_and_order_of_listing(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(images, tmp_path / "one", workers=1)
    run(images, tmp_path / "four", workers=4)
    walk = storage.walk

    def shuffled(folder: str, others: dict[str, OSError | None] | None = None) -> Iterator[storage.Entry]:
        entries = list(walk(folder, others))
        random.Random(5).shuffle(entries)
        return iter(entries)

    monkeypatch.setattr(storage, "walk", shuffled)
    run(images, tmp_path / "shuffled", workers=3)
    assert len(digests(tmp_path / "one")) > 10
    assert digests(tmp_path / "one") == digests(tmp_path / "four") == digests(tmp_path / "shuffled")
    manifests = {(tmp_path / name / "manifest.json").read_bytes() for name in ("one", "four", "shuffled")}
    assert len(manifests) == 1


@pytest.mark.smoke
def test_lol_is_split_in_sorted_order_and_paired(lol: Path, tmp_path: Path, capsys) -> None:
    assert run(lol, tmp_path / "out", train_count=7) == 0
    manifest = read_manifest(tmp_path / "out")
    check_identities(manifest)
    assert sorted(filenames(tmp_path / "out", "train")) == [f"our485/low/{index}.png" for index in range(7)]
    assert sorted(filenames(tmp_path / "out", "val")) == [f"our485/low/{index}.png" for index in range(7, 10)]
    assert len(filenames(tmp_path / "out", "test")) == 3
    pairs = {
        record.image.filename: record.reference.filename
        for split in manifest.splits
        for record in read_records(tmp_path / "out", split)
        if record.reference
    }
    assert pairs == {
        **{f"our485/low/{index}.png": f"our485/high/{index}.png" for index in (1, 4, 7)},
        "eval15/low/0.png": "eval15/high/0.png",
    }
    assert manifest.counts["ignored"] == 0
    assert "references  4; 9 images have none" in capsys.readouterr().out


def test_a_small_lol_says_its_proportion(lol: Path, tmp_path: Path, capsys) -> None:
    run(lol, tmp_path / "out")
    assert [read_manifest(tmp_path / "out").records(split) for split in ("train", "val", "test")] == [8, 2, 3]
    assert "it holds only 10 images, so they are divided 400:85" in capsys.readouterr().out


def test_the_folder_above_lol_is_refused_with_the_right_one(lol: Path, tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match=f"the LoL data set is in {lol}: name that folder"):
        run(lol.parent, tmp_path.parent / f"{tmp_path.name}-out")


def test_references_of_any_folder(images: Path, tmp_path: Path) -> None:
    for index in (0, 1):
        draw(tmp_path / "bright" / f"{'sub 0/' if index == 0 else ''}{index}.jpg", 200 + index)
    run(images, tmp_path / "out", reference=str(tmp_path / "bright"))
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.counts["references"], manifest.counts["without_reference"]) == (2, 38)
    assert "reference/encoded" in manifest.features


def test_references_of_a_list_in_another_folder(images: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        draw(tmp_path / "bright" / name, 200)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("low,ref\n1.png,a.png\n2.png,b.png\nsub 0/0.png,a.png\n")
    out = tmp_path / "out"
    assert run(images, out, split="all=1", reference=str(tmp_path / "bright"), pairs=str(pairs)) == 0
    manifest = read_manifest(out)
    check_identities(manifest)
    counts = manifest.counts
    assert (counts["records"], counts["references"], counts["ignored"]) == (40, 3, 1)
    found = {record.image.filename: record.reference for record in read_records(out, "all")}
    assert {key: reference.filename for key, reference in found.items() if reference} == {
        "1.png": "a.png", "2.png": "b.png", "sub 0/0.png": "a.png",
    }  # fmt: skip
    pairs.write_text("low,ref\n1.png,b.png\n")
    with pytest.raises(click.ClickException, match="was made from other files"):
        run(images, out, split="all=1", reference=str(tmp_path / "bright"), pairs=str(pairs))


def test_references_of_a_list_in_the_same_folder_are_no_images(images: Path, tmp_path: Path) -> None:
    """One that has a reference itself is an image all the same."""
    (tmp_path / "pairs.csv").write_text("low,ref\n1.png,2.png\n2.png,4.png\n5.png,4.png\n")
    out = tmp_path / "out"
    assert run(images, out, split="all=1", pairs=str(tmp_path / "pairs.csv")) == 0
    manifest = read_manifest(out)
    check_identities(manifest)
    assert (manifest.counts["records"], manifest.counts["references"], manifest.counts["ignored"]) == (39, 3, 1)
    assert "4.png" not in filenames(out, "all")


def test_pairs_of_lol_are_those_of_the_list(lol: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("low,ref\nour485/low/2.png,our485/high/1.png\n")
    assert run(lol, tmp_path / "out", pairs=str(tmp_path / "pairs.csv")) == 0
    manifest = read_manifest(tmp_path / "out")
    check_identities(manifest)
    assert (manifest.counts["records"], manifest.counts["references"], manifest.counts["ignored"]) == (13, 1, 0)


def test_a_split_file(images: Path, tmp_path: Path) -> None:
    (tmp_path / "splits.csv").write_text("path,split\n1.png,dev\nsub 0/0.png,train\n2.png,train\n")
    run(images, tmp_path / "out", split_file=str(tmp_path / "splits.csv"))
    assert sorted(filenames(tmp_path / "out", "train")) == ["2.png", "sub 0/0.png"]
    assert filenames(tmp_path / "out", "dev") == ["1.png"]
    assert read_manifest(tmp_path / "out").counts["ignored"] == 38  # 37 images and notes.txt


def test_what_cannot_be_read_is_a_row_and_exit_code_1(images: Path, tmp_path: Path) -> None:
    (images / "broken.png").write_bytes((images / "1.png").read_bytes()[:400])
    (images / "empty.jpg").touch()
    assert run(images, tmp_path / "out") == 1
    manifest = read_manifest(tmp_path / "out")
    check_identities(manifest)
    assert (manifest.counts["records"], manifest.counts["rejected"]) == (40, 2)
    with open(tmp_path / "out" / "rejected.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["path"], row["stage"]) for row in rows] == [("broken.png", "decode"), ("empty.jpg", "decode")]
    assert all(row["error"] for row in rows)
    assert verify(tmp_path / "out") == []


def test_what_cannot_be_looked_at_is_a_row(lol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to itself, one that leads nowhere, one in place of a reference, and a folder."""
    (lol / "our485/low/round.png").symlink_to("round.png")
    (lol / "our485/low/gone.png").symlink_to("nowhere")
    (lol / "gone.txt").symlink_to("nowhere")
    (lol / "our485/high/4.png").unlink()
    (lol / "our485/high/4.png").symlink_to("4.png")
    (lol / "private").mkdir()
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if str(path).endswith("private"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    out = tmp_path / "out"
    for _ in range(2):  # the second time it is complete
        assert run(lol, out) == 1
        manifest = read_manifest(out)
        check_identities(manifest)
        counts = manifest.counts
        assert (counts["found"], counts["records"], counts["references"], counts["ignored"]) == (16, 12, 3, 1)
        with open(out / "rejected.csv", newline="") as file:
            rows = {row["path"]: (row["stage"], row["error"]) for row in csv.DictReader(file)}
        assert rows == {
            "our485/low/4.png": ("read", "our485/high/4.png: Too many levels of symbolic links"),
            "our485/low/gone.png": ("read", "No such file or directory"),
            "our485/low/round.png": ("read", "Too many levels of symbolic links"),
            "private": ("read", "Permission denied"),
        }
        assert verify(out) == []
    monkeypatch.undo()
    with pytest.raises(click.ClickException, match="was made from other files"):
        run(lol, out)


def test_damaged_jpeg_files_are_counted_or_rejected(images: Path, tmp_path: Path, capsys) -> None:
    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    pixels.save(images / "whole.jpg")
    content = (images / "whole.jpg").read_bytes()
    (images / "damaged.jpg").write_bytes(content[: len(content) // 2] + content[-2:])
    keep, reject = tmp_path / "keep", tmp_path / "reject"
    assert run(images, keep) == 0
    manifest = read_manifest(keep)
    check_identities(manifest)
    assert (manifest.counts["records"], manifest.notes) == (42, {"the file is damaged": 1})
    assert "the file is damaged: 1" in capsys.readouterr().out
    assert run(images, reject, damaged="reject") == 1
    manifest = read_manifest(reject)
    check_identities(manifest)
    assert (manifest.counts["records"], manifest.counts["rejected"], manifest.notes) == (41, 1, {})
    with open(reject / "rejected.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["path"], row["stage"]) == ("damaged.jpg", "decode")
    assert row["error"].startswith('the file is damaged: the decoder reports "')
    for out, damaged in ((keep, "reject"), (reject, "keep")):
        with pytest.raises(click.ClickException, match="was made with damaged: "):
            run(images, out, damaged=damaged)


def test_max_rejected_accepts_or_fails_and_then_goes_on(images: Path, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (images / name).touch()
    with pytest.raises(click.ClickException, match="2 images were rejected, more than --max-rejected 1"):
        run(images, tmp_path / "out", max_rejected=1)
    assert not (tmp_path / "out" / "manifest.json").exists()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tfrecord")}
    assert run(images, tmp_path / "out", max_rejected=2) == 0
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_max_rejected_holds_for_a_finished_set_as_well(images: Path, tmp_path: Path) -> None:
    (images / "a.png").touch()
    assert run(images, tmp_path / "out", max_rejected=1) == 0
    with pytest.raises(click.ClickException, match="more than --max-rejected 0"):
        run(images, tmp_path / "out", max_rejected=0)


def test_what_could_not_be_read_is_tried_again(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = storage.read

    def failing(path: str) -> bytes:
        if path.endswith("/1.png"):
            raise OSError(5, "Input/output error")
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "read", failing)
        with pytest.raises(click.ClickException, match="1 images were rejected"):
            run(images, tmp_path / "out", max_rejected=0)
        rows = list(csv.reader((tmp_path / "out" / "rejected.csv").read_text().splitlines()))
    assert rows[1:] == [["1.png", "read", "Input/output error"]]
    assert run(images, tmp_path / "out", max_rejected=0) == 0
    assert read_manifest(tmp_path / "out").counts["records"] == 40


def test_a_reference_that_does_not_fit_rejects_its_image(lol: Path, tmp_path: Path) -> None:
    (lol / "our485/high/1.png").write_bytes(b"broken")
    draw(lol / "our485/high/4.png", 4, size=(20, 30))
    assert run(lol, tmp_path / "out", resize="fit") == 1
    with open(tmp_path / "out" / "rejected.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert [row[:2] for row in rows] == [["our485/low/1.png", "reference"], ["our485/low/4.png", "reference"]]
    assert rows[0][2].startswith("our485/high/1.png: ")
    assert rows[1][2] == "our485/high/4.png: its shape differs from that of the image"


def test_jpeg_and_crop(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path / "out", encoding="jpeg", resize="crop", split="all=1")
    assert {record.image.format for record in read_records(tmp_path / "out", "all")} == {"jpeg"}
    assert verify(tmp_path / "out") == []


def test_a_finished_set_is_left_as_it_is(images: Path, tmp_path: Path, capsys) -> None:
    run(images, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert run(images, tmp_path / "out") == 0
    assert "complete already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_other_settings_are_refused_until_overwrite_which_leaves_nothing_stale(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path / "out", shard_records=2)
    with pytest.raises(click.ClickException, match=r"was made with size: 16x16, now 8x8.*or --overwrite"):
        run(images, tmp_path / "out", shard_records=2, size="8")
    assert verify(tmp_path / "out") == []
    others = {"mine.txt", "older/train-00000-of-00001.tfrecord", "older/manifest.json"}
    (tmp_path / "out" / "older").mkdir()
    for name in others:
        (tmp_path / "out" / name).write_text("not to be deleted")
    assert run(images, tmp_path / "out", size="8", overwrite=True) == 0
    assert verify(tmp_path / "out") == []
    run(images, tmp_path / "new", size="8")
    assert {name for name in others if (tmp_path / "out" / name).is_file()} == others
    assert digests(tmp_path / "out").keys() - digests(tmp_path / "new").keys() == others - {"older/manifest.json"}


def test_other_images_are_refused_in_a_finished_set(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path / "out")
    draw(images / "new.png", 99)
    with pytest.raises(click.ClickException, match="was made from other files"):
        run(images, tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("train-00000-of-00001.tfrecord", "is not part of a data set that zerodce made here: move it away"),
        ("rejected.csv", "is not part of a data set that zerodce made here: move it away"),
        ("manifest.json", "not the manifest of a data set .*; move it away"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_unknown_origin_are_refused_and_stay(
    images: Path, tmp_path: Path, name: str, message: str, overwrite: bool
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("{}")
    with pytest.raises(click.ClickException, match=message):
        run(images, tmp_path / "out", overwrite=overwrite)
    assert [path.name for path in (tmp_path / "out").rglob("*")] == [name]
    assert (tmp_path / "out" / name).read_text() == "{}"


def test_only_files_of_its_own_are_deleted_in_the_folder_of_state(images: Path, tmp_path: Path) -> None:
    run(images, tmp_path / "out")
    state = tmp_path / "out" / ".zerodce" / "preprocess"
    (state / "plan").mkdir(parents=True)
    (state / "plan" / "mine.json").write_text("mine")
    run(images, tmp_path / "out", size="8", overwrite=True)
    assert [path for path in (tmp_path / "out" / ".zerodce").rglob("*") if path.is_file()] == [state / "plan/mine.json"]


@pytest.mark.parametrize("link", [".zerodce", ".zerodce/preprocess", ".zerodce/preprocess/rows"])
def test_no_link_is_followed_out_of_the_folder(images: Path, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    for name in ("preprocess/rows/settings.json", "rows/settings.json", "settings.json", "lock"):
        (outside / name).parent.mkdir(parents=True, exist_ok=True)
        (outside / name).write_text("not to be touched")
    before = digests(outside)
    (tmp_path / "out" / link).parent.mkdir(parents=True)
    (tmp_path / "out" / link).symlink_to(outside)
    with pytest.raises(click.UsageError, match=f"is a link that leads to {outside}"):
        run(images, tmp_path / "out", overwrite=True)
    assert digests(outside) == before


@pytest.mark.parametrize("text", ["", "[1]", "null", "{"])
def test_a_damaged_list_of_settings_is_said(
    images: Path, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_and_stop(images, tmp_path / "out", monkeypatch)
    (tmp_path / "out/.zerodce/preprocess/settings.json").write_text(text)
    with pytest.raises(click.ClickException, match=r"settings\.json is damaged; choose another OUT, or --overwrite"):
        run(images, tmp_path / "out", split="all=1")
    assert run(images, tmp_path / "out", split="all=1", overwrite=True) == 0
    assert verify(tmp_path / "out") == []


def contents(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_what_is_missing_or_cut_short_of_a_finished_set_is_made_again(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    (images / "=broken.png").write_bytes(b"broken")
    (images / "1.png").unlink()
    Image.new("L", (3, 3)).save(images / "1.png")  # counted in the notes
    assert run(images, out, split="all=1") == 1
    made = contents(out)
    missing, cut, empty = (out / f"all-0000{index}-of-00011.tfrecord" for index in (2, 5, 7))
    missing.unlink()
    cut.write_bytes(cut.read_bytes()[:-1])
    empty.write_bytes(b"")
    kept = {path: path.stat().st_mtime_ns for path in out.glob("*.tfrecord") if path not in (cut, empty)}
    assert run(images, out, split="all=1") == 1
    said = capsys.readouterr().err
    assert "complete already" not in said
    assert f"{out} is not whole: {missing.name}, {cut.name}, {empty.name} will be made again." in said
    assert contents(out) == made
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    (out / "rejected.csv").unlink()
    assert run(images, out, split="all=1") == 1
    assert contents(out) == made


def test_altered_bytes_of_a_finished_set_are_found_by_verify(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    run(images, out, split="all=1")
    made = contents(out)
    altered = out / "all-00003-of-00010.tfrecord"
    altered.write_bytes(bytes(altered.stat().st_size))
    assert run(images, out, split="all=1", verify=True) == 0
    assert f"{altered.name} will be made again" in capsys.readouterr().err
    assert contents(out) == made
    assert run(images, out, split="all=1", verify=True) == 0
    assert "complete already" in capsys.readouterr().err


def test_a_set_whose_manifest_tells_less_is_made_again_whole(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(images, out, split="all=1")
    made = contents(out)
    manifest = json.loads(made["manifest.json"])
    del manifest["checksum"]
    for shard in manifest["splits"]["all"]["shards"]:
        del shard["source_bytes"], shard["source_sha256"], shard["notes"]
    (out / "manifest.json").write_text(json.dumps(manifest))
    assert run(images, out, split="all=1") == 0
    assert json.loads((out / "manifest.json").read_text()) == manifest
    (out / "all-00003-of-00010.tfrecord").unlink()
    assert run(images, out, split="all=1") == 0
    assert contents(out) == made


def test_a_set_whose_manifest_is_damaged_is_made_again_whole(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    run(images, out, split="all=1")
    made = contents(out)
    manifest = json.loads(made["manifest.json"])
    manifest["splits"]["all"]["shards"][3]["source_bytes"] += 1  # which nothing else counts
    (out / "manifest.json").write_text(json.dumps(manifest))
    assert run(images, out, split="all=1") == 0
    assert "and 6 more will be made again" in capsys.readouterr().err
    assert contents(out) == made


def test_the_description_is_of_the_set_and_that_of_an_older_version_is_added(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(images, out, split="all=1")
    made = contents(out)
    listed = {file["name"]: file.get("sha256") for file in json.loads(made["croissant.json"])["distribution"]}
    shards = {name: hashlib.sha256(made[name]).hexdigest() for name in made if name.endswith(".tfrecord")}
    assert listed == shards | {
        "manifest.json": hashlib.sha256(made["manifest.json"]).hexdigest(),
        "tfrecords": None,
    }
    (out / "croissant.json").unlink()
    assert verify(out) == []
    assert run(images, out, split="all=1") == 0
    assert contents(out) == made
    run(images, out, split="all=1", size="14", overwrite=True)
    assert contents(out)["croissant.json"] != made["croissant.json"]
    assert verify(out) == []


def test_an_edited_description_stays_and_is_checked(images: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out"
    run(images, out, split="all=1")
    edited = json.loads((out / "croissant.json").read_text()) | {"license": "https://example.org/mine"}
    (out / "croissant.json").write_text(json.dumps(edited))
    assert run(images, out, split="all=1") == 0
    assert verify(out) == []
    assert "croissant.json" not in capsys.readouterr().err
    run(images, out, split="all=1", size="14", overwrite=True)
    assert json.loads((out / "croissant.json").read_text()) == edited
    assert "was edited and stays, but its checksum of " in capsys.readouterr().err
    (fault,) = verify(out)
    assert fault.file == "croissant.json"


@pytest.mark.parametrize("unreadable", ["our485/low/1.png", "our485/high/1.png"])
def test_images_of_a_finished_set_are_tried_again_when_they_can_be_read(
    lol: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unreadable: str
) -> None:
    read = storage.read

    def failing(path: str) -> bytes:
        if path.endswith(unreadable):
            raise OSError(5, "Input/output error")
        return read(path)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(storage, "read", failing)
        assert run(lol, out) == 1
        before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
        assert run(lol, out) == 1
        assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert read_manifest(out).counts["rejected"] == 1
    assert run(lol, out) == 0
    run(lol, tmp_path / "fresh")
    assert contents(out) == contents(tmp_path / "fresh")


def test_killed_while_it_deletes_the_next_run_goes_on(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(images, out, split="all=1", shard_records=2)
    delete = storage.delete

    def killed(paths: Iterator[str]) -> None:
        for number, path in enumerate(paths):
            if number == 7:
                raise KeyboardInterrupt
            delete([path])

    with monkeypatch.context() as patch:
        patch.setattr(storage, "delete", killed)
        assert run(images, out, split="all=1", shard_records=3, overwrite=True) == 130
    assert run(images, out, split="all=1", shard_records=3, overwrite=True) == 0
    run(images, tmp_path / "fresh", split="all=1", shard_records=3)
    assert contents(out) == contents(tmp_path / "fresh")


@contextlib.contextmanager
def started(data: Path, out: Path) -> Iterator[subprocess.Popen]:
    """The command in a process of its own; goes on with `run(data, out, shard_records=2)`, and the other way round."""
    options = ["--size", "16", "--shard-records", "2"]
    arguments = [sys.executable, "-m", "pipelines.cli", "preprocess", str(data), str(out), *options]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    while not condition() and process.poll() is None:
        time.sleep(0.002)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Work for half a second or so."""
    draw(tmp_path / "0.png", 0, size=(600, 400))
    for index in range(30):
        (tmp_path / "many").mkdir(exist_ok=True)
        os.link(tmp_path / "0.png", tmp_path / "many" / f"{index}.png")
    return tmp_path / "many"


def test_killed_at_any_moment_the_next_run_ends_with_the_same_bytes(many: Path, tmp_path: Path) -> None:
    run(many, tmp_path / "whole", shard_records=2)
    rows = tmp_path / "out" / ".zerodce" / "preprocess" / "rows"

    def written(number: int) -> Callable[[], bool]:
        return lambda: rows.is_dir() and len(os.listdir(rows)) >= number

    for kills, at_least in enumerate(random.Random(0).sample(range(1, 12), 2)):
        with started(many, tmp_path / "out") as process:
            wait_for(written(at_least), process)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert not (tmp_path / "out" / "manifest.json").exists(), f"finished before kill {kills}"
    finished = [json.loads(path.read_text())["name"] for path in rows.glob("*.json")]
    made = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in finished}
    assert made
    assert run(many, tmp_path / "out", shard_records=2) == 0
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in finished} == made


def test_killed_while_it_mends_a_destroyed_set_the_next_run_ends_with_the_same_bytes(
    many: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(many, out, shard_records=2)
    made = contents(out)
    assert len(made) == 19  # 16 shards, manifest.json, rejected.csv, croissant.json
    kept = sorted(out.glob("*.tfrecord"))[0]
    for path in out.glob("*.tfrecord"):
        if path != kept:
            path.unlink()
    rows = out / ".zerodce" / "preprocess" / "rows"
    with started(many, out) as process:
        wait_for(lambda: len(list(out.glob("*.tfrecord"))) >= 4 and len(os.listdir(rows)) >= 4, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (out / "manifest.json").exists()
    assert run(many, out, shard_records=2) == 0
    assert contents(out) == made


def test_interrupted_it_exits_with_130_and_goes_on(many: Path, tmp_path: Path) -> None:
    rows = tmp_path / "out" / ".zerodce" / "preprocess" / "rows"
    with started(many, tmp_path / "out") as process:
        wait_for(lambda: rows.is_dir() and len(os.listdir(rows)) >= 3, process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate()
    assert process.returncode == 130
    assert stderr == "Interrupted: the same command goes on from here.\n"
    assert run(many, tmp_path / "out", shard_records=2) == 0
    assert verify(tmp_path / "out") == []


def begin_and_stop(data: Path, out: Path, monkeypatch: pytest.MonkeyPatch, **options) -> None:
    """Leaves a set half made."""
    with monkeypatch.context() as patch:
        make = storage.write

        def write(path: str, content: bytes, mtime: float | None = None) -> None:
            if path.endswith("-00003-of-00010.tfrecord"):
                raise OSError(28, "No space left on device")
            make(path, content, mtime)

        patch.setattr(storage, "write", write)
        with pytest.raises(click.ClickException, match=r"cannot write .*: No space left on device; finished"):
            run(data, out, split="all=1", **options)


def test_a_full_disk_is_said_and_the_next_run_goes_on(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_and_stop(images, tmp_path / "out", monkeypatch)
    assert not (tmp_path / "out" / "all-00003-of-00010.tfrecord").exists()
    assert run(images, tmp_path / "out", split="all=1") == 0
    assert verify(tmp_path / "out") == []


def test_a_half_made_set_is_not_gone_on_with_under_other_settings(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_and_stop(images, tmp_path / "out", monkeypatch)
    with pytest.raises(click.ClickException, match="encoding: png, now jpeg"):
        run(images, tmp_path / "out", split="all=1", encoding="jpeg")
    assert run(images, tmp_path / "out", split="all=1", encoding="jpeg", overwrite=True) == 0
    assert verify(tmp_path / "out") == []


def test_images_that_changed_meanwhile_are_done_again_and_no_shard_stays_behind(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_and_stop(images, tmp_path / "out", monkeypatch)
    draw(images / "1.png", 1000)
    for index in range(4):
        draw(images / f"new {index}.png", 2000 + index)
    assert run(images, tmp_path / "out", split="all=1") == 0
    run(images, tmp_path / "fresh", split="all=1")
    assert digests(tmp_path / "out") == digests(tmp_path / "fresh")


def test_a_damaged_shard_of_a_half_made_set_is_made_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_and_stop(images, tmp_path / "out", monkeypatch)
    damaged = next((tmp_path / "out").glob("*.tfrecord"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert run(images, tmp_path / "out", split="all=1") == 0
    assert verify(tmp_path / "out") == []


ROW = {
    "name": "all-00000-of-00001.tfrecord",
    "plan": "digest",
    "records": 2,
    "references": 0,
    "size": 100,
    "sha256": "0",
    "source_bytes": 90,
    "source_sha256": "1",
    "notes": {"resized": 2},
    "rejected": [["a.png", "decode", "broken"]],
}


@pytest.mark.parametrize(
    "changes",
    [
        {"records": "2"},
        {"size": None},
        {"sha256": 7},
        {"notes": []},
        {"notes": {"resized": "2"}},
        {"notes": None},
        {"rejected": [["a.png", "decode"]]},
        {"rejected": [["a.png", "decode", 3]]},
        {"rejected": "a.png"},
        {"rejected": None},
        {"more": 1},
    ],
)
def test_a_row_of_another_shape_is_none(changes: dict[str, Any]) -> None:
    assert dataclasses.asdict(ShardResult.parse(json.dumps(ROW).encode())) == ROW
    with pytest.raises((ValueError, TypeError)):
        ShardResult.parse(json.dumps(ROW | changes).encode())


def test_a_shard_whose_row_is_damaged_is_made_again(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_and_stop(images, tmp_path / "out", monkeypatch)
    rows = sorted((tmp_path / "out/.zerodce/preprocess/rows").iterdir())
    for row, change in zip(rows, ({"records": "2"}, {"rejected": 3}), strict=False):
        row.write_text(json.dumps(json.loads(row.read_text()) | change))
    assert run(images, tmp_path / "out", split="all=1") == 0
    assert verify(tmp_path / "out") == []


def test_a_row_that_was_lost_is_noticed(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lossy(self: runners.Job) -> None:
        run_whole(self)
        next((tmp_path / "out" / ".zerodce" / "preprocess" / "rows").iterdir()).unlink()

    run_whole = runners.Job.run
    monkeypatch.setattr(runners.Job, "run", lossy)
    with pytest.raises(click.ClickException, match="does not hold the planned images: run the same command again"):
        run(images, tmp_path / "out")
    monkeypatch.undo()
    assert run(images, tmp_path / "out") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "train=0.5"}, "add up to 0.5"),
        ({"split": "a=1", "split_file": "x.csv"}, "exclude each other"),
        ({"split_file": "missing.csv"}, r"--split-file missing\.csv cannot be read"),
        ({"size": "0"}, "--size 0 is neither"),
        ({"reference": "missing"}, "missing does not exist"),
        ({"pairs": "missing.csv"}, r"missing\.csv cannot be read"),
        ({"beam_args": ("--direct_running_mode=multi_threading",)}, "multi_threading"),
    ],
)
def test_wrong_arguments_are_said(images: Path, tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(click.UsageError, match=message):
        run(images, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_link_that_leads_nowhere_is_named(images: Path, tmp_path: Path) -> None:
    out, link = tmp_path / "out", tmp_path / "link"
    run(images, out)
    (out / "manifest.json").unlink()
    (out / "manifest.json").symlink_to("nowhere")
    link.symlink_to("nowhere")
    for data, folder, named in ((images, out, out / "manifest.json"), (images, link, link), (link, out, link)):
        with pytest.raises(click.UsageError, match=f"{named} is a link that leads nowhere"):
            run(data, folder)


def test_folders_that_cannot_be_meant_are_said(images: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    for data, out, message in (
        (tmp_path / "nowhere", tmp_path / "out", "nowhere does not exist"),
        (tmp_path / "empty", tmp_path / "out", "empty is empty"),
        (tmp_path / "texts", tmp_path / "out", "holds no photos, only 1 other"),
        (images, images, "overlap"),
        (images, images / "out", "overlap"),
        (images, tmp_path, "overlap"),
    ):
        with pytest.raises(click.UsageError, match=message):
            run(data, out)


@pytest.mark.parametrize(("text", "size"), [("256", (256, 256)), ("320x240", (320, 240)), (" 8X9 ", (8, 9))])
def test_sizes(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "256x", "12.5", "1x0", "100000", "a"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(click.UsageError):
        parse_size(text)


def test_the_folder_of_enhanced_photos_is_left_alone(images: Path, tmp_path: Path) -> None:
    journal = tmp_path / "out" / ".zerodce" / "journal" / "a.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text("{}")
    with pytest.raises(click.UsageError, match="holds files of `zerodce enhance`: choose another folder"):
        run(images, tmp_path / "out", overwrite=True)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == [journal]
