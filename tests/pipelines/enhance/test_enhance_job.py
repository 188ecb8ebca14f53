"""The archive job, run whole in this process on small photos: outputs, rows, counts, and going on after trouble."""

import contextlib
import csv
import dataclasses
import errno
import io
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import cv2
import filelock
import numpy as np
import pytest
from PIL import Image, ImageOps, TiffImagePlugin, TiffTags
from skimage.metrics import peak_signal_noise_ratio

import zerodce
from pipelines import folders, memory, models, storage
from pipelines.enhance import command, output_folder, report, transforms
from pipelines.enhance import photo as photo_module
from pipelines.photos import reading, writing
from pipelines.workers import WorkerRequirements
from tests.pipelines.jobs import enhance as run
from zerodce.applying.enhancement import Enhancer
from zerodce.images import metrics
from zerodce.recipes import SIX

pytestmark = pytest.mark.slow


def dark(seed: int, width: int = 96, height: int = 64) -> Image.Image:
    """A dark, smooth picture with a little grain."""
    rng = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(0, 3, width), np.linspace(0, 2, height))
    base = 30 + 20 * np.sin(across + seed)[..., np.newaxis] * np.cos(down)[..., np.newaxis] * rng.uniform(0.5, 1, 3)
    return Image.fromarray(np.clip(base + rng.normal(0, 2, base.shape), 0, 255).astype(np.uint8))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three PNG, a JPEG in a subfolder, and a file that is no photo."""
    folder = tmp_path / "photos"
    (folder / "trip ü").mkdir(parents=True)
    for seed in range(3):
        dark(seed).save(folder / f"{seed}.png")
    dark(3, 120, 90).save(folder / "trip ü" / "3.jpg", quality=90)
    (folder / "notes.txt").write_text("no photo")
    for number, path in enumerate(sorted(folder.rglob("*.*"))):
        os.utime(path, (1_000_000 + number, 1_000_000 + number))
    return folder


def rows(out: Path, name: str = "metrics.csv") -> list[dict[str, str]]:
    with open(out / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def counts(out: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((out / "run.json").read_text())["counts"]
    assert found["found"] == found["enhanced"] + found["skipped"] + found["failed"]
    return found


def snapshot(folder: Path) -> dict[str, tuple[bytes, float]]:
    """Content and time of every image written."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime)
        for name in ("enhanced", "autocontrast")
        for path in (folder / name).rglob("*")
        if path.is_file()
    }


@pytest.mark.smoke
def test_every_photo_is_enhanced_measured_and_counted(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    assert run(photos, out) == 0
    assert {path: path.read_bytes() for path in photos.rglob("*.*")} == before
    assert counts(out) == {"found": 4, "enhanced": 4, "skipped": 0, "failed": 0, "ignored": 1, "unchanged": 0}
    assert [row["path"] for row in rows(out)] == ["0.png", "1.png", "2.png", "trip ü/3.jpg"]
    assert rows(out, "failures.csv") == []
    assert (out / "report.html").is_file()
    for row in rows(out):
        original = Image.open(photos / row["path"])
        enhanced = Image.open(out / "enhanced" / row["output"])
        assert (int(row["width"]), int(row["height"])) == original.size == enhanced.size
        assert (out / "enhanced" / row["output"]).stat().st_mtime == (photos / row["path"]).stat().st_mtime
        first = np.asarray(original).astype(float)
        assert float(row["mean_input"]) == pytest.approx(first.mean() / 255, abs=1e-4)
        if row["path"].endswith(".png"):  # without loss, so that the file holds what was measured
            second = np.asarray(enhanced).astype(float)
            assert float(row["mean_enhanced"]) == pytest.approx(second.mean() / 255, abs=1e-4)
            assert second.mean() > 1.5 * first.mean()
            psnr = 10 * math.log10(255**2 / np.mean((first - second) ** 2))
            assert float(row["psnr_enhanced_db"]) == pytest.approx(psnr, abs=1e-3)
            baseline = Image.open(out / "autocontrast" / row["output"])
            np.testing.assert_array_equal(baseline, ImageOps.autocontrast(original))
            psnr = 10 * math.log10(255**2 / np.mean((first - np.asarray(baseline)) ** 2))
            assert float(row["psnr_autocontrast_db"]) == pytest.approx(psnr, abs=1e-3)


@pytest.mark.slow
def test_a_second_run_does_only_what_changed(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(photos, out) == 0
    first, first_rows = snapshot(out), rows(out)
    assert run(photos, out) == 0
    assert counts(out)["skipped"] == 4
    assert snapshot(out) == first
    assert rows(out) == first_rows

    dark(9).save(photos / "1.png")
    leftover = out / "enhanced" / f".killed{storage.TEMPORARY_SUFFIX}"
    leftover.write_bytes(b"half a photo")
    (out / "autocontrast" / "2.png").write_bytes(b"")
    cut = (out / "enhanced" / "0.png").read_bytes()[:-1]
    (out / "enhanced" / "0.png").write_bytes(cut)
    assert run(photos, out) == 0
    assert counts(out) | {"ignored": 0} == {
        "found": 4,
        "enhanced": 3,
        "skipped": 1,
        "failed": 0,
        "ignored": 0,
        "unchanged": 0,
    }
    assert not leftover.exists()
    changed = {path for path, content in snapshot(out).items() if first.get(path) != content}
    assert changed == {"enhanced/1.png", "autocontrast/1.png"}  # the others were done again, to the same result

    assert run(photos, out, "--exposure", "0.3") == 0
    assert counts(out)["enhanced"] == 4
    written = {path: path.stat().st_ino for path in (out / "enhanced").rglob("*.*")}
    assert run(photos, out, "--exposure", "0.3", "--overwrite") == 0
    assert counts(out)["enhanced"] == 4
    assert all(path.stat().st_ino != inode for path, inode in written.items())


def test_an_altered_image_of_the_same_size_is_found_where_images_are_verified(photos: Path, tmp_path: Path) -> None:
    Image.fromarray(np.tile(np.linspace(0, 255, 64).astype(np.uint8)[:, np.newaxis], (64, 1, 3))).save(photos / "4.png")
    out = tmp_path / "out"
    assert run(photos, out) == 0
    assert counts(out)["unchanged"] == 1
    first = snapshot(out)
    assert run(photos, out, "--verify") == 0
    assert (counts(out)["enhanced"], counts(out)["skipped"]) == (0, 5)
    for path in ("enhanced/0.png", "autocontrast/4.png"):  # one that was made, one that was copied
        (out / path).write_bytes(first[path][0][:-1] + b"?")
    assert run(photos, out) == 0
    assert counts(out)["enhanced"] == 0
    assert run(photos, out, "--verify") == 0
    assert (counts(out)["enhanced"], counts(out)["skipped"]) == (2, 3)
    assert snapshot(out) == first


def test_a_broken_photo_is_a_row_and_is_tried_again(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = (photos / "1.png").read_bytes()
    (photos / "1.png").write_bytes(whole[: len(whole) // 2])
    assert run(photos, out) == 1
    assert counts(out) | {"ignored": 0} == {
        "found": 4,
        "enhanced": 3,
        "skipped": 0,
        "failed": 1,
        "ignored": 0,
        "unchanged": 0,
    }
    (failure,) = rows(out, "failures.csv")
    assert (failure["path"], failure["stage"]) == ("1.png", "decode")
    (photos / "1.png").write_bytes(whole)
    assert run(photos, out) == 0
    assert counts(out) | {"ignored": 0} == {
        "found": 4,
        "enhanced": 1,
        "skipped": 3,
        "failed": 0,
        "ignored": 0,
        "unchanged": 0,
    }


def test_a_profile_of_the_wrong_type_costs_a_note_and_no_photo(photos: Path, tmp_path: Path) -> None:
    """The thumbnail's encoder raises TypeError for what Pillow gives of such a tag."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[TiffImagePlugin.ICCPROFILE] = TiffTags.LONG
    tags[TiffImagePlugin.ICCPROFILE] = 7
    dark(7).save(photos / "0.tif", tiffinfo=tags)
    assert run(photos, tmp_path / "out") == 0
    assert counts(tmp_path / "out")["enhanced"] == 5
    (row,) = [row for row in rows(tmp_path / "out") if row["path"] == "0.tif"]
    assert row["notes"] == "ICC profile unreadable and dropped"


class UnheardOfError(BaseException):
    """As some libraries raise, which no `except Exception` catches."""


def raising_first(errors: list[UnheardOfError], function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, but its first calls raise the errors."""

    def called(*arguments: Any, **options: Any) -> Any:
        if errors:
            raise errors.pop()
        return function(*arguments, **options)

    return called


def test_whatever_a_photo_raises_in_whatever_step_is_one_row(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(4, 7):
        dark(seed).save(photos / f"{seed}.png")
    models.load_enhancer(models.read_model(None), models.Application())  # which calls some of these itself
    for where, name, times in (
        (reading, "depth_of", 1),
        (photo_module.pixels, "small_copy", 1),
        (Enhancer, "estimate", 1),
        (Enhancer, "apply", 1),
        (photo_module.metrics, "psnr", 1),
        (writing, "_encode", 2),  # the second time without the metadata
    ):
        errors = [UnheardOfError(f"{name}\nand more") for _ in range(times)]
        monkeypatch.setattr(where, name, raising_first(errors, getattr(where, name)))
    assert run(photos, tmp_path / "out", "--workers", "1") == 1
    failures = {row["error"]: row["stage"] for row in rows(tmp_path / "out", "failures.csv")}
    assert failures == {
        "UnheardOfError: depth_of": "decode",
        "UnheardOfError: small_copy": "decode",
        "UnheardOfError: estimate": "model",
        "UnheardOfError: apply": "model",
        "UnheardOfError: psnr": "model",
        "UnheardOfError: _encode": "encode",
    }
    assert counts(tmp_path / "out")["enhanced"] == 1


def test_pictures_of_the_report_that_fail_cost_a_note(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: Any, **options: Any) -> None:
        raise TypeError("no bytes")

    monkeypatch.setattr(report, "write_thumbnails", failing)
    assert run(photos, tmp_path / "out") == 0
    notes = {row["notes"] for row in rows(tmp_path / "out")}
    assert notes == {"no thumbnails in the report (TypeError: no bytes)"}


def test_what_is_too_large_is_a_row_before_it_is_read(photos: Path, tmp_path: Path) -> None:
    """A film is no photo, a file of 100 GB is not read, and 200 megapixels in 200 kB are not decoded in 2 GB."""
    for name in ("film.mpg", "huge.tif"):
        with open(photos / name, "wb") as file:
            file.truncate(100 * 10**9)
    Image.new("1", (20_000, 10_000)).save(photos / "bomb.png")
    assert run(photos, tmp_path / "out", "--max-memory", "2GB") == 1
    found = {"found": 6, "enhanced": 4, "skipped": 0, "failed": 2, "ignored": 2, "unchanged": 0}
    assert counts(tmp_path / "out") == found
    bomb, huge = rows(tmp_path / "out", "failures.csv")
    assert (bomb["stage"], bomb["error"]) == (
        "too_large",
        "200 megapixels need more memory than 2000 MB (--max-memory)",
    )
    assert (huge["stage"], huge["error"]) == (
        "too_large",
        "100000000000 bytes are more than --max-bytes 4000000000",
    )


def test_photos_wait_for_memory_and_all_come_through(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for one of the larger photos at a time, and one that is larger than all there is."""
    for seed, width in enumerate((300, 300, 400, 300)):
        dark(seed, width, 200).save(photos / f"large{seed}.jpg")
    budget = memory.Budget(70_000 * memory.BYTES_PER_PIXEL)
    monkeypatch.setattr(memory, "budget", lambda max_memory: budget)
    assert run(photos, tmp_path / "out", "--workers", "3") == 0
    assert counts(tmp_path / "out")["enhanced"] == 8


def test_another_source_is_refused_and_nothing_of_the_first_is_touched(photos: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    shutil.copy2(photos / "0.png", other / "0.png")  # of the same size and time
    assert run(photos, out) == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for source in (other, photos / "0.png", photos / "trip ü"):
        for option in ("--dry-run", "--json"):
            with pytest.raises(click.UsageError) as error:
                run(source, out, option)
            assert error.value.exit_code == 2
            assert error.value.message == (
                f"{out} holds the results of {photos}, not of {source}: choose another folder, or replace them with "
                "--overwrite. If the photos have only moved, go on with --same-archive"
            )
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    (tmp_path / "link").symlink_to(photos)
    assert run(tmp_path / "link", out) == 0  # the same folder by another name
    assert counts(out)["skipped"] == 4
    assert run(other, out, "--overwrite") == 0
    assert [row["path"] for row in rows(out)] == ["0.png"]
    with pytest.raises(click.UsageError, match="holds the results of"):
        run(photos, out)


def test_an_archive_that_has_moved_goes_on_if_it_is_said_to_be_the_same(photos: Path, tmp_path: Path) -> None:
    out, moved = tmp_path / "out", tmp_path / "other disk" / "archive"
    assert run(photos, out) == 0
    before = snapshot(out / "enhanced")
    moved.parent.mkdir()
    photos.rename(moved)
    dark(9).save(moved / "new.png")
    assert run(moved, out, "--same-archive") == 0
    assert (counts(out)["skipped"], counts(out)["enhanced"]) == (4, 1)
    assert snapshot(out / "enhanced").items() >= before.items()
    assert run(moved, out) == 0  # from now on it is the archive of OUT
    assert counts(out)["skipped"] == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda photo: photo.unlink(), r"1 of 4 .* differ, such as: 1\.png is missing$"),
        (lambda photo: photo.write_bytes(b"1"), r"1 of 4 .*: 1\.png has 1 bytes, and had \d+$"),
        (
            lambda photo: os.utime(photo, (5, 5)),
            r"1\.png has the time 1970-01-01 00:00:05 \(UTC\), and had 1970-01-12 ",
        ),
    ],
)
def test_an_archive_that_is_not_the_same_is_refused(
    photos: Path, tmp_path: Path, change: Callable[[Path], None], said: str
) -> None:
    out = tmp_path / "out"
    assert run(photos, out) == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    photos.rename(tmp_path / "moved")
    change(tmp_path / "moved" / "1.png")
    with pytest.raises(click.UsageError, match=said) as error:
        run(tmp_path / "moved", out, "--same-archive")
    assert error.value.exit_code == 2
    assert error.value.message.startswith(f"{tmp_path}/moved is not the archive that {out} belongs to: ")
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_images_with_metadata_that_earlier_runs_left_are_counted(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(photos, out) == 0
    assert "unstripped" not in json.loads((out / "run.json").read_text())
    (photos / "0.png").rename(tmp_path / "0.png")
    image = out / "enhanced" / "1.png"
    dark(7).save(image)  # edited
    os.utime(image, (2e9, 2e9))
    capsys.readouterr()
    assert run(photos, out, "--strip-metadata") == 1
    assert json.loads((out / "run.json").read_text())["unstripped"] == 4  # two of each
    said = capsys.readouterr()
    assert said.err.count("4 image(s) of earlier runs in OUT may hold metadata. --overwrite replaces") == 1
    assert run(photos, out, "--strip-metadata", "--overwrite") == 0
    assert json.loads((out / "run.json").read_text())["unstripped"] == 2
    for folder in ("enhanced", "autocontrast"):
        (out / folder / "0.png").unlink()
    assert run(photos, out, "--strip-metadata") == 0
    assert json.loads((out / "run.json").read_text())["unstripped"] == 0
    assert capsys.readouterr().err.count("may hold metadata") == 1  # of the run before


@pytest.mark.parametrize(
    ("remembered", "same"),
    [("{photos}", True), ("photos", True), ("../photos/", True), ("/elsewhere", False), ("x", False)],
)
def test_a_folder_with_run_json_alone_goes_on(photos: Path, tmp_path: Path, remembered: str, same: bool) -> None:
    """Which has the folder as it was given."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text(json.dumps({"photos": remembered.format(photos=photos)}))
    with contextlib.nullcontext() if same else pytest.raises(click.UsageError, match="holds the results of"):
        output_folder.check(str(tmp_path / "out"), str(photos), overwrite=False)


@pytest.mark.parametrize(
    "name", ["enhanced", "autocontrast", "report", "report/thumbs", "report/data", ".zerodce", ".zerodce/outputs"]
)
@pytest.mark.parametrize("target", ["photos", "outside"])
def test_no_folder_of_the_results_lies_elsewhere(photos: Path, tmp_path: Path, name: str, target: str) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "out" / name).parent.mkdir(parents=True)
    (tmp_path / "out" / name).symlink_to(tmp_path / target)
    before = {path: path.stat() for path in photos.rglob("*")}
    with pytest.raises(click.UsageError, match=f"{tmp_path / 'out' / name} is a link that leads to") as error:
        run(photos, tmp_path / "out", "--overwrite")
    assert error.value.exit_code == 2
    assert {path: path.stat() for path in photos.rglob("*")} == before
    assert not list((tmp_path / "outside").iterdir())


def test_links_deeper_in_the_results_cost_the_photos_behind_them(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "enhanced").mkdir(parents=True)
    (out / "enhanced" / "trip ü").symlink_to(photos / "trip ü")
    os.link(photos / "0.png", out / "enhanced" / "0.png")
    before = {path: path.read_bytes() for path in photos.rglob("*.*")}
    assert run(photos, out) == 1
    assert {path: path.read_bytes() for path in photos.rglob("*.*")} == before
    failures = {row["path"]: (row["stage"], row["error"]) for row in rows(out, "failures.csv")}
    assert failures == {
        "0.png": ("write", "enhanced/0.png is the original file"),
        "trip ü/3.jpg": (
            "write",
            "a link leads enhanced/trip ü/3.jpg out of the folder of results",
        ),
    }


def test_images_of_others_are_never_replaced_nor_deleted(photos: Path, tmp_path: Path) -> None:
    """Whatever their name: the photo is a failure row that names the file, in every run, until --overwrite."""
    out = tmp_path / "out"
    for path in ("enhanced/0.png", "autocontrast/1.png", "enhanced/empty/later.png"):
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(b"mine")
    for options in ((), ("--unchanged", "skip"), ("--no-autocontrast",)):
        assert run(photos, out, *options) == 1
        failures = {row["path"]: (row["stage"], row["error"].split(":")[0]) for row in rows(out, "failures.csv")}
        assert failures == {
            "0.png": ("write", "enhanced/0.png exists, and zerodce did not write it"),
            "1.png": ("write", "autocontrast/1.png exists, and zerodce did not write it"),
        }
        assert counts(out)["failed"] == 2
        assert {(out / path).read_bytes() for path in ("enhanced/0.png", "autocontrast/1.png")} == {b"mine"}
    assert run(photos, out, "--overwrite") == 0
    assert counts(out)["enhanced"] == 4
    assert run(photos, out) == 0  # now all are ours
    assert counts(out)["skipped"] == 4
    assert (out / "enhanced/empty/later.png").read_bytes() == b"mine"


@pytest.mark.parametrize("seconds", [60.0, -20 * 365 * 86400.0])
def test_an_image_that_was_edited_is_kept_and_one_that_was_cut_is_made_again(
    photos: Path, tmp_path: Path, seconds: float
) -> None:
    """Edited just now, or replaced by an older version, which keeps its time."""
    out = tmp_path / "out"
    assert run(photos, out) == 0
    first = snapshot(out)
    later = time.time() + seconds
    dark(9).save(out / "enhanced/0.png")  # by hand, in another program
    (out / "enhanced/1.png").write_bytes(first["enhanced/1.png"][0][:-40])
    (out / "enhanced/2.png").write_bytes(first["enhanced/2.png"][0])  # touched, but the same
    for name in ("0.png", "1.png", "2.png"):
        os.utime(out / "enhanced" / name, (later, later))
    edited = (out / "enhanced/0.png").read_bytes()
    for _ in range(2):
        assert run(photos, out) == 1
        assert [row["path"] for row in rows(out, "failures.csv")] == ["0.png"]
        assert "was edited since it was written" in rows(out, "failures.csv")[0]["error"]
        assert (out / "enhanced/0.png").read_bytes() == edited
        assert (out / "enhanced/1.png").read_bytes() == first["enhanced/1.png"][0]
    assert run(photos, out, "--strength", "0.5") == 1  # other settings replace what is ours, and nothing else
    assert (counts(out)["enhanced"], counts(out)["failed"]) == (3, 1)
    assert (out / "enhanced/0.png").read_bytes() == edited
    assert run(photos, out, "--overwrite") == 0
    assert snapshot(out) == first


def test_outputs_of_other_settings_and_of_photos_that_were_away_are_ours(photos: Path, tmp_path: Path) -> None:
    """Neither a change of the format and back, nor a run that failed on the photo, nor one without it, forgets them."""
    out = tmp_path / "out"
    whole = (photos / "0.png").read_bytes()
    assert run(photos, out) == 0
    assert run(photos, out, "--format", "jpeg") == 0
    (photos / "0.png").write_bytes(whole[:50])
    assert run(photos, out) == 1
    (photos / "0.png").unlink()
    assert run(photos, out) == 0
    (photos / "0.png").write_bytes(whole)
    assert run(photos, out) == 0
    assert counts(out) == counts(out) | {"found": 4, "failed": 0}


@pytest.mark.parametrize("name", ["metrics.csv", "failures.csv", "run.json", "report.html", "report/report.css"])
def test_tables_and_pages_of_others_are_refused_before_anything_is_touched(
    photos: Path, tmp_path: Path, name: str
) -> None:
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_bytes(b"mine")
    with pytest.raises(click.UsageError, match="zerodce did not write it: move it away"):
        run(photos, out)
    assert [path for path in out.rglob("*") if path.is_file()] == [out / name]
    assert run(photos, out, "--overwrite") == 0
    assert (out / name).read_bytes() != b"mine"


def test_what_is_ignored_is_counted_by_its_extension_and_may_be_chosen(photos: Path, tmp_path: Path) -> None:
    (photos / "raw" / "deep").mkdir(parents=True)
    for name in ("raw/deep/a.png", "raw/b.xmp", "c.XMP", "d.tmp.png", "noname"):
        (photos / name).write_bytes(b"?")
    out = tmp_path / "out"
    assert run(photos, out, "--exclude", "raw", "--exclude", "*.tmp.png") == 0
    assert counts(out) == counts(out) | {"found": 4, "enhanced": 4, "ignored": 6}
    content = json.loads((out / "run.json").read_text())
    assert content["ignored_by_extension"] == {"": 1, ".png": 2, ".txt": 1, ".xmp": 2}
    assert run(photos, out) == 1
    assert counts(out) == counts(out) | {"found": 6, "skipped": 4, "failed": 2, "ignored": 4}


def test_another_reference_is_compared_with_anew(photos: Path, tmp_path: Path) -> None:
    """A reference that is replaced, added or removed; the other photos are skipped."""
    references, out = tmp_path / "references", tmp_path / "out"
    references.mkdir()
    dark(7).save(references / "0.png")

    def scores() -> dict[str, str]:
        return {row["path"]: row["psnr_input_reference_db"] for row in rows(out)}

    assert run(photos, out, "--reference", str(references)) == 0
    first = scores()
    assert first["0.png"] != first["1.png"] == ""
    shutil.copy(photos / "0.png", references / "0.png")
    assert run(photos, out, "--reference", str(references)) == 0
    assert counts(out)["skipped"] == 3
    assert scores()["0.png"] == "inf"
    shutil.copy(photos / "1.png", references / "1.png")
    assert run(photos, out, "--reference", str(references)) == 0
    assert counts(out)["skipped"] == 3
    assert scores()["1.png"] == "inf"
    (references / "0.png").unlink()
    assert run(photos, out, "--reference", str(references)) == 0
    assert counts(out)["skipped"] == 3
    assert scores() == {"0.png": "", "1.png": "inf", "2.png": "", "trip ü/3.jpg": ""}


@pytest.mark.parametrize(("old", "new"), [("psnr_autocontrast_db", "psnr_autocontrasd_db"), ("2.png", "3.png")])
def test_a_damaged_record_costs_its_photo_and_no_run(photos: Path, tmp_path: Path, old: str, new: str) -> None:
    out = tmp_path / "out"
    assert run(photos, out) == 0
    first = snapshot(out)
    (journal,) = (out / ".zerodce/journal").iterdir()
    lines = journal.read_bytes().splitlines(keepends=True)
    (damaged,) = (line for line in lines if b'"path": "2.png"' in line)
    place = damaged.rindex(b'"output"') if "." in old else 0
    altered = damaged[:place] + damaged[place:].replace(old.encode(), new.encode(), 1)
    assert altered != damaged
    journal.write_bytes(b"".join(altered if line is damaged else line for line in lines))
    assert run(photos, out) == 0
    assert (counts(out)["enhanced"], counts(out)["skipped"]) == (1, 3)
    assert run(photos, out) == 0
    assert counts(out)["skipped"] == 4
    assert snapshot(out) == first


def test_a_fault_of_this_program_ends_the_job_after_the_first_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    for seed in range(60):
        dark(seed, 32, 24).save(folder / f"{seed:02}.png")

    monkeypatch.setattr(photo_module, "pixels", None)
    assert run(folder, out, "--workers", "1") == 1
    assert "first 20 photos all failed by a fault of this program (AttributeError" in capsys.readouterr().err
    failures = rows(out, "failures.csv")
    assert {row["stage"] for row in failures} == {"internal"}
    assert len(failures) >= 20


def test_no_name_steers_the_terminal_and_no_row_tells_where_the_archive_is(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "0.png").rename(photos / "esc\x1b[2J\n.png")
    assert run(photos, tmp_path / "out", "--dry-run") == 0
    assert "\x1b" not in (said := capsys.readouterr().out)
    assert "esc\\x1b[2J\\n.png" in said
    assert run(photos, tmp_path / "of\x1b[2J", "--strip-metadata") == 0
    assert "\x1b" not in "".join(capsys.readouterr())
    read = storage.read

    def refusing(path: str, *arguments: Any) -> bytes:
        if path.endswith("1.png"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return read(path, *arguments)

    monkeypatch.setattr(storage, "read", refusing)
    assert run(photos, tmp_path / "out") == 1
    (failure,) = rows(tmp_path / "out", "failures.csv")
    assert (failure["stage"], failure["error"]) == ("read", "PermissionError: Permission denied")


def test_every_file_of_the_page_is_known() -> None:
    page = Path(report.__file__).with_name("report_page")
    written = {f"report/{path.name}" for path in page.iterdir()} - {"report/report.html"}
    assert {name for name in output_folder.TABLES if name.startswith("report/")} == written


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
def test_an_original_is_never_written_through_a_mount(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """Where nobody may mount, a folder that has the device and inode of one of the originals stands in for it."""
    out = tmp_path / "out"
    (photos / "x").mkdir()
    shutil.copy(photos / "0.png", photos / "x" / "3.jpg")
    mounted = out / "enhanced" / "trip ü"
    mounted.mkdir(parents=True)
    real = os.stat

    def stat(path: Any, *arguments: Any, **named: Any) -> os.stat_result:
        there = os.path.realpath(path) == str(mounted) if isinstance(path, str | Path) else False
        return real(photos / "x" if there else path, *arguments, **named)

    monkeypatch.setattr(os, "stat", stat)
    assert run(photos, out, *options) == 1
    (failure,) = rows(out, "failures.csv")
    assert (failure["path"], failure["stage"]) == ("trip ü/3.jpg", "write")
    assert "because of a mount" in failure["error"]
    assert list(mounted.iterdir()) == []

    mounted = out / "report" / "thumbs"  # a folder of the page
    with pytest.raises(click.UsageError, match="report/thumbs in the results is the folder of originals x"):
        run(photos, out, *options)


def test_only_what_is_ours_is_removed(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    foreign = [
        out / "report" / name
        for name in ("data/mine.js", "thumbs/mine.jpg", "thumbs/0123456789abcdef-after.jpg", "data/rows-00009.js")
    ]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
    assert run(photos, out) == 0
    first = {path.name for path in (out / "report" / "thumbs").iterdir()}
    dark(9).save(photos / "1.png")
    (photos / "2.png").unlink()
    assert run(photos, out) == 0
    second = {path.name for path in (out / "report" / "thumbs").iterdir()}
    assert len(first - second) == 6  # before, autocontrast and after, of two photos
    assert len(second - first) == 3
    assert [path.read_bytes() for path in foreign] == [b"mine"] * 4


def test_what_cannot_be_looked_at_is_a_row_and_what_is_no_file_is_ignored(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "round.jpg").symlink_to("round.jpg")
    (photos / "broken.jpg").symlink_to("nowhere")
    (photos / "broken.txt").symlink_to("nowhere")
    os.mkfifo(photos / "pipe.jpg")
    for name in ("private", ".trash", "lost+found"):
        (photos / name).mkdir()
    scandir = os.scandir

    def refusing(path: str) -> Any:
        if str(path).endswith(("private", ".trash", "lost+found")):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert run(photos, tmp_path / "out") == 1
    failures = {row["path"]: (row["stage"], row["error"]) for row in rows(tmp_path / "out", "failures.csv")}
    assert failures == {
        "broken.jpg": ("read", "No such file or directory"),
        "private": ("read", "Permission denied"),
        "round.jpg": ("read", "Too many levels of symbolic links"),
    }
    found = counts(tmp_path / "out")
    assert (found["found"], found["enhanced"], found["ignored"]) == (7, 4, 5)
    with pytest.raises(click.UsageError, match=r"private cannot be read: Permission denied"):
        folders.find(str(photos))


def test_a_photo_that_became_a_pipe_is_a_row(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_plan = transforms.read_plan

    def swapping(path: str) -> Any:
        (photos / "1.png").unlink()
        os.mkfifo(photos / "1.png")
        return read_plan(path)

    monkeypatch.setattr(transforms, "read_plan", swapping)
    assert run(photos, tmp_path / "out") == 1
    (failure,) = rows(tmp_path / "out", "failures.csv")
    assert (failure["path"], failure["stage"]) == ("1.png", "read")


def test_where_case_does_not_count_two_photos_clash(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dark(8).save(photos / "0.PNG")
    monkeypatch.setattr(folders, "folds_case", lambda out: True)
    assert run(photos, tmp_path / "out") == 1
    (failure,) = rows(tmp_path / "out", "failures.csv")
    assert (failure["path"], failure["error"]) == (
        "0.png",
        "its output 0.png is also the output of 0.PNG: rename one of them",
    )


def test_the_plan_is_made_under_the_lock(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process ends its run between the start of this one and its lock."""
    check = models.check_model

    def other_first(*arguments: Any) -> None:
        monkeypatch.setattr(models, "check_model", check)
        assert run(photos, tmp_path / "out") == 0
        check(*arguments)

    monkeypatch.setattr(models, "check_model", other_first)
    assert run(photos, tmp_path / "out") == 0
    assert (counts(tmp_path / "out")["enhanced"], counts(tmp_path / "out")["skipped"]) == (0, 4)


def test_results_that_cannot_be_read_are_a_line(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir, out = os.scandir, tmp_path / "out"
    out.mkdir()

    def refusing(path: str | int) -> Any:
        if path in (str(out), f"{out}/"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    for option in ("--dry-run", "--json"):
        with pytest.raises(click.ClickException, match=f"{out}/: Permission denied; finished photos are kept") as error:
            run(photos, out, option)
        assert error.value.exit_code == 1


def test_photos_are_spread_over_worker_processes_only(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def noted(*arguments: Any) -> None:
        seen.append(arguments[-1])
        raise RuntimeError

    monkeypatch.setattr(command, "Enhance", noted)
    for options in ((), ("--", "--direct_running_mode=multi_processing", "--direct_num_workers=2")):
        with pytest.raises(RuntimeError):
            run(photos, tmp_path / "out", *options)
    assert seen == [False, True]


@pytest.mark.parametrize("name", [".jsonl", "metrics.csv", "failures.csv", "run.json", "rows-00000.js", "report.html"])
def test_a_disk_that_is_full_at_the_end_is_a_line_and_costs_no_photo(
    photos: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for photo in ("0.png", "1.png", "trip ü/3.jpg"):
        (photos / photo).unlink()
    write, full = storage.write, []

    def filling(path: str, *arguments: Any, **options: Any) -> None:
        if path.endswith(name) and not any(f"{folders.STATE}/{list_}" in path for list_ in ("plan", "outputs")):
            full.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        write(path, *arguments, **options)

    @contextlib.contextmanager
    def writing(path: str) -> Iterator[io.BytesIO]:
        yield (file := io.BytesIO())
        filling(path, file.getvalue())

    monkeypatch.setattr(storage, "write", filling)
    monkeypatch.setattr(storage, "writing", writing)
    with pytest.raises(click.ClickException, match="No space left on device; finished photos are kept") as error:
        run(photos, tmp_path / "out")
    assert (error.value.exit_code, len(full)) == (1, 1)
    monkeypatch.undo()
    assert run(photos, tmp_path / "out") == 0
    assert (counts(tmp_path / "out")["enhanced"], counts(tmp_path / "out")["skipped"]) == (0, 1)
    assert len(rows(tmp_path / "out")) == 1


@pytest.mark.parametrize("name", ["", ".zerodce", "enhanced", ".zerodce/journal"])
def test_a_file_in_the_place_of_a_folder_is_refused(photos: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    with pytest.raises(click.UsageError, match="is not a folder: remove it"):
        run(photos, tmp_path / "out")


def test_a_folder_in_the_place_of_a_table_is_a_line(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "run.json").mkdir(parents=True)
    with pytest.raises(click.ClickException, match=r"run\.json: Is a directory; finished photos are kept") as error:
        run(photos, tmp_path / "out")
    assert error.value.exit_code == 1


def test_a_folder_in_the_place_of_an_output_is_a_row(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "enhanced" / "1.png").mkdir(parents=True)
    assert run(photos, tmp_path / "out") == 1
    (failure,) = rows(tmp_path / "out", "failures.csv")
    assert (failure["path"], failure["stage"]) == ("1.png", "write")
    assert failure["error"].startswith("IsADirectoryError")


def test_names_are_printed_as_they_are(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Not as markup of rich's."""
    odd = os.fsdecode(b"n\xff.png")
    dark(4).save(photos / odd)
    out = tmp_path / "night [edited] x[/bold]"
    assert run(photos, out) == 0
    assert "night[edited]x[/bold]" in "".join(capsys.readouterr().out.split())
    assert b"\nn\xff.png,n\xff.png,96,64," in (out / "metrics.csv").read_bytes()
    assert (out / "enhanced" / odd).is_file()


def test_two_photos_never_share_an_output(photos: Path, tmp_path: Path) -> None:
    dark(5).save(photos / "0.pcx")
    dark(6).save(photos / "0.pcx.png")
    assert run(photos, tmp_path / "out") == 1
    (failure,) = rows(tmp_path / "out", "failures.csv")
    assert (failure["path"], failure["stage"]) == ("0.pcx", "write")
    assert "0.pcx.png" in failure["error"]
    assert counts(tmp_path / "out")["enhanced"] == 5


def test_a_single_photo(photos: Path, tmp_path: Path) -> None:
    assert run(photos / "0.png", tmp_path / "out") == 0
    assert counts(tmp_path / "out") == {
        "found": 1,
        "enhanced": 1,
        "skipped": 0,
        "failed": 0,
        "ignored": 0,
        "unchanged": 0,
    }
    assert (tmp_path / "out" / "enhanced" / "0.png").is_file()


def test_a_folder_beside_a_single_photo(photos: Path) -> None:
    assert run(photos / "0.png", photos / "out") == 0
    assert counts(photos / "out")["enhanced"] == 1
    with pytest.raises(click.UsageError, match="overlap"):
        run(photos / "0.png", photos)


def test_a_data_set_is_left_alone(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_text("{}")
    with pytest.raises(click.UsageError, match="holds files of `zerodce preprocess`: choose another folder"):
        run(photos, out, "--overwrite")
    assert [path.name for path in out.rglob("*")] == ["manifest.json"]


@pytest.mark.parametrize(("option", "copies"), [("--autocontrast", 2), ("--no-autocontrast", 1)])
def test_a_dry_run_tells_the_disk_it_would_take(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, copies: int
) -> None:
    options = [] if option == "--autocontrast" else [option]
    assert run(photos, tmp_path / "out", "--dry-run", "--json", *options) == 0
    size = sum(path.stat().st_size for path in photos.rglob("*.*g"))
    assert json.loads(capsys.readouterr().out)["megabytes"] == round(copies * size / 1e6, 1)


def test_a_dry_run_writes_nothing(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(photos, tmp_path / "out", "--dry-run") == 0
    assert not (tmp_path / "out").exists()
    said = capsys.readouterr().out
    assert "4 of 4 photos would be enhanced" in said
    assert "3.jpg" in said


def test_no_autocontrast(photos: Path, tmp_path: Path) -> None:
    assert run(photos, tmp_path / "out", "--no-autocontrast") == 0
    assert not (tmp_path / "out" / "autocontrast").exists()
    assert {row["psnr_autocontrast_db"] for row in rows(tmp_path / "out")} == {""}


def test_json_lines(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(photos, tmp_path / "out", "--json") == 0
    *_, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert result["event"] == "result"
    assert result["counts"]["enhanced"] == 4


@pytest.mark.slow
def test_too_many_failures_end_the_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(200):
        (photos / f"bad{number:03}.png").write_bytes(b"not a png")
    read = storage.read

    def slowly(path: str, max_bytes: int | None = None) -> bytes:
        if "bad" in path:
            time.sleep(0.05)  # ten seconds for all of them, where the command looks five times a second
        return read(path, max_bytes)

    monkeypatch.setattr(storage, "read", slowly)
    assert run(photos, tmp_path / "out", "--max-failures", "3", "--workers", "1") == 1
    assert "--max-failures" in capsys.readouterr().err
    assert 3 < json.loads((tmp_path / "out" / "run.json").read_text())["counts"]["failed"] < 100


@pytest.mark.slow
def test_a_full_disk_ends_the_run_cleanly_and_the_next_goes_on(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    write, written = storage.write, []

    def full(path: str, *arguments: Any, **options: Any) -> None:
        if "enhanced" in path:
            written.append(path)
            if len(written) > 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, *arguments, **options)

    monkeypatch.setattr(storage, "write", full)
    assert run(photos, out, "--workers", "1") == 1
    assert "No space left on device" in capsys.readouterr().err
    monkeypatch.undo()
    done = len(rows(out))
    assert done < 4
    assert run(photos, out) == 0
    assert counts(out)["skipped"] == done
    assert len(rows(out)) == 4


def test_what_the_disk_loses_in_the_end_is_not_done(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It took the images, and says only when they are forced to it that it could not keep one."""
    sync, out = storage.sync, tmp_path / "out"

    def losing(paths: Iterable[str]) -> None:
        paths = list(paths)
        if lost := [path for path in paths if path.endswith("2.png")]:
            raise OSError(errno.EIO, os.strerror(errno.EIO), lost[0])
        sync(paths)

    monkeypatch.setattr(storage, "sync", losing)
    assert run(photos, out, "--workers", "1") == 1
    assert re.search(r"Error: cannot write .*/2\.png: Input/output error; [1-4] photos to go", capsys.readouterr().err)
    lost = 4 - len(rows(out))
    assert "2.png" not in {row["path"] for row in rows(out)}
    monkeypatch.undo()
    assert run(photos, out) == 0
    assert (counts(out)["enhanced"], counts(out)["skipped"]) == (lost, 4 - lost)


def test_one_photo_that_the_model_cannot_take_sinks_no_other(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimate: Callable[..., Any] = Enhancer.estimate

    def fussy(self: Enhancer, small_copies: list[np.ndarray]) -> Any:
        if any(small.shape == (90, 120, 3) for small in small_copies):
            raise RuntimeError("not this one\nand more")
        return estimate(self, small_copies)

    monkeypatch.setattr(Enhancer, "estimate", fussy)
    assert run(photos, tmp_path / "out") == 1
    (failure,) = rows(tmp_path / "out", "failures.csv")
    assert failure == {"path": "trip ü/3.jpg", "stage": "model", "error": "RuntimeError: not this one"}
    assert len(rows(tmp_path / "out")) == 3


@pytest.mark.smoke
def test_the_pixels_are_those_that_python_gives(tmp_path: Path) -> None:
    """Lossless photos larger than a preview by no whole number, as the command and as `zerodce.enhance` leave them.

    By a model whose strengths are not rounded: another small copy would make another photo.
    """
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(5)
    model = zerodce.ZeroDCE(dataclasses.replace(SIX, initial_stddev=0.15))
    model.save(tmp_path / "model.keras")
    wanted = {}
    (tmp_path / "photos").mkdir()
    for channels in (1, 3):
        light = np.kron(np.random.default_rng(0).uniform(0, 0.2, (20, 45, channels)), np.ones((21, 21, 1)))
        light += np.random.default_rng(1).normal(0, 0.01, light.shape)
        for dtype in (np.uint8, np.uint16):
            photo = np.rint(light.clip(0, 1) * np.iinfo(dtype).max).astype(dtype)
            name = f"{channels}-{photo.itemsize}.png"
            cv2.imwrite(str(tmp_path / "photos" / name), photo[..., ::-1])
            wanted[name] = zerodce.enhance(photo, model=model)
            assert np.abs(wanted[name] / photo.max() - photo / photo.max()).mean() > 0.05
    out = tmp_path / "out"
    assert run(tmp_path / "photos", out, "--model", str(tmp_path / "model.keras")) == 0
    for name, pixels in wanted.items():
        found = cv2.imread(str(out / "enhanced" / name), cv2.IMREAD_UNCHANGED)
        assert found is not None
        assert found.dtype == pixels.dtype, name
        np.testing.assert_array_equal(found.reshape(pixels.shape)[..., ::-1], pixels)


def test_pairs_of_a_list(photos: Path, tmp_path: Path) -> None:
    """Their references are photos as well; only what has another reference is done anew."""
    dark(9).save(photos / "bright.png")
    pairs, out = tmp_path / "pairs.csv", tmp_path / "out"

    def compared() -> set[str]:
        return {row["path"] for row in rows(out) if row["psnr_input_reference_db"]}

    pairs.write_text("low,ref\n0.png,bright.png\n1.png,bright.png\n")
    assert run(photos, out, "--pairs", str(pairs)) == 0
    assert compared() == {"0.png", "1.png"}
    pairs.write_text("low,ref\n0.png,bright.png\n2.png,0.png\n")
    assert run(photos, out, "--pairs", str(pairs), "--exclude", "bright.png") == 0
    assert compared() == {"0.png", "2.png"}
    assert (counts(out)["enhanced"], counts(out)["skipped"]) == (2, 2)


def test_pairs_of_one_photo_in_a_list_of_many(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bright").mkdir()
    dark(9).save(tmp_path / "bright" / "a.png")
    (tmp_path / "pairs.csv").write_text("low,ref\n0.png,a.png\n1.png,a.png\n")
    options = ("--pairs", str(tmp_path / "pairs.csv"), "--reference", str(tmp_path / "bright"))
    assert run(photos / "1.png", tmp_path / "out", *options) == 0
    (row,) = rows(tmp_path / "out")
    assert row["psnr_input_reference_db"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("0.png,1.png\nnowhere.png,1.png", r"pairs\.csv, line 3: nowhere\.png is not among the images"),
        ("0.png,nowhere.png", r"pairs\.csv, line 2: nowhere\.png is not among the references"),
        ("0.png,1.png\n1.png,2.png\n0.png,2.png", r"line 4: 0\.png already has a reference in line 2"),
        (
            "0.png,1.png\n1.png,",
            "does not list pairs: line 3: it needs the columns low,ref, and each row needs a value in both",
        ),
    ],
)
def test_a_wrong_list_of_pairs_is_one_error(photos: Path, tmp_path: Path, lines: str, message: str) -> None:
    (tmp_path / "pairs.csv").write_text(f"low,ref\n{lines}\n")
    with pytest.raises(click.UsageError, match=message):
        run(photos, tmp_path / "out", "--pairs", str(tmp_path / "pairs.csv"))


def test_references_are_compared_and_another_size_is_said(photos: Path, tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    reference.mkdir()
    bright = Image.fromarray(np.clip(np.asarray(dark(0)).astype(float) * 3, 0, 255).astype(np.uint8))
    bright.save(reference / "0.tif")
    bright.resize((50, 50)).save(reference / "1.png")
    out = tmp_path / "out"
    assert run(photos, out, "--reference", str(reference)) == 0
    first, second, third, _ = rows(out)
    for name, folder in (("enhanced", out / "enhanced"), ("autocontrast", out / "autocontrast"), ("input", photos)):
        pair = [np.asarray(image) for image in (Image.open(folder / "0.png"), bright)]
        psnr = peak_signal_noise_ratio(*pair)
        assert float(first[f"psnr_{name}_reference_db"]) == pytest.approx(psnr, abs=1e-3)
        assert float(first[f"ssim_{name}_reference"]) == pytest.approx(metrics.ssim(*pair), abs=1e-4)
    assert second["psnr_enhanced_reference_db"] == third["psnr_enhanced_reference_db"] == ""
    assert "size differs from reference" in second["notes"]


def test_the_reference_of_the_very_name_is_used(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reference").mkdir()
    dark(0).save(tmp_path / "reference" / "0.png")
    Image.new("RGB", (96, 64), "white").save(tmp_path / "reference" / "0.tif")
    monkeypatch.chdir(tmp_path)
    assert run(photos, "out", "--reference", "reference") == 0
    first, *_ = rows(tmp_path / "out")
    assert first["psnr_input_reference_db"] == "inf"
    settings = json.loads((tmp_path / "out" / "run.json").read_text())["settings"]
    assert settings["reference"] == str(tmp_path / "reference")


def test_two_references_of_a_photo_are_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    for name in ("0.tif", "0.bmp"):
        dark(0).save(tmp_path / "reference" / name)
    with pytest.raises(click.UsageError, match=r"0\.bmp and 0\.tif are both a reference of 0\.png"):
        run(photos, tmp_path / "out", "--reference", str(tmp_path / "reference"))


def test_workers_have_to_see_the_references(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reference").mkdir()
    dark(0).save(tmp_path / "reference" / "0.png")
    entered: list[tuple[str, ...]] = []
    monkeypatch.setattr(WorkerRequirements, "enter", lambda self: entered.append(self.paths))
    assert run(photos, tmp_path / "out", "--reference", str(tmp_path / "reference")) == 0
    assert entered
    assert all(str(tmp_path / "reference") in paths for paths in entered)


def test_ssim_is_empty_where_it_is_not_defined(tmp_path: Path) -> None:
    """Its window is 11x11 pixels."""
    for name, side in (("small", 10), ("enough", 11)):
        (tmp_path / "photos").mkdir(exist_ok=True)
        dark(0, side, side).save(tmp_path / "photos" / f"{name}.png")
    assert run(tmp_path / "photos", tmp_path / "out", "--reference", str(tmp_path / "photos")) == 0
    enough, small = rows(tmp_path / "out")
    assert (enough["ssim_input_reference"], small["ssim_input_reference"]) == ("1.0", "")
    assert small["psnr_input_reference_db"] == "inf"


def test_options_that_nobody_knows_are_refused(photos: Path, tmp_path: Path) -> None:
    for option in ("--paralellism=64", "--max-failure"):
        with pytest.raises(click.UsageError, match=f"neither zerodce nor Beam knows {option}"):
            run(photos, tmp_path / "out", "--", option)
    assert not (tmp_path / "out").exists()


def test_wrong_arguments(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    empty, textual = tmp_path / "empty", tmp_path / "textual"
    empty.mkdir()
    textual.mkdir()
    (textual / "a.txt").write_text("x")
    for folder, said in (
        (tmp_path / "missing", "does not exist"),
        (empty, "is empty"),
        (textual, "no photos"),
    ):
        with pytest.raises(click.ClickException, match=said) as error:
            run(folder, out)
        assert error.value.exit_code == 2
    for inside in (photos, photos / "out", tmp_path):
        with pytest.raises(click.ClickException, match="overlap") as error:
            run(photos, inside)
        assert error.value.exit_code == 2
    assert not out.exists()


def test_a_file_that_is_no_model(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_text("no model")
    with pytest.raises(click.ClickException, match="not a model") as error:
        run(photos, tmp_path / "out", "--model", str(tmp_path / "model.keras"))
    assert error.value.exit_code == 1


def test_a_second_process_on_the_same_folder_is_refused(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / ".zerodce").mkdir(parents=True)
    with (
        filelock.FileLock(out / ".zerodce" / "lock"),
        pytest.raises(click.ClickException, match="another process") as error,
    ):
        run(photos, out)
    assert error.value.exit_code == 1


@pytest.mark.slow
def test_what_the_odd_files_become_is_accounted_for(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(data / "odd", out) == 1
    named = {row["path"] for row in rows(out)} | {row["path"] for row in rows(out, "failures.csv")}
    assert len(named) == counts(out)["found"] == len(rows(out)) + len(rows(out, "failures.csv"))
    assert len(named) + counts(out)["ignored"] == sum(path.is_file() for path in (data / "odd").rglob("*"))
    for row in rows(out):
        with Image.open(out / "enhanced" / row["output"]) as image:
            upright = ImageOps.exif_transpose(image) if "enhanced unchanged" in row["notes"] else image
            assert upright.size == (int(row["width"]), int(row["height"]))


def test_the_folders_of_images_are_as_private_as_that_of_the_photos(photos: Path, tmp_path: Path) -> None:
    photos.chmod(0o700)
    assert run(photos, tmp_path / "out") == 0
    assert {(tmp_path / "out" / name).stat().st_mode & 0o777 for name in ("enhanced", "autocontrast")} == {0o700}
    assert run(photos, tmp_path / "other", "--no-autocontrast") == 0
    assert not (tmp_path / "other" / "autocontrast").exists()


def test_a_list_cuts_an_archive_into_parts_that_share_a_folder_of_results(photos: Path, tmp_path: Path) -> None:
    """The photos of another part stay done, and every line of a list has a row."""
    (tmp_path / "first").write_text("0.png\nnone.png\n0.png\n")
    (tmp_path / "second").write_text("path,size\n1.png,1\n2.png,1\n")
    out = tmp_path / "out"
    assert run(photos, out, "--files", str(tmp_path / "first")) == 1
    assert counts(out) == {"found": 3, "enhanced": 1, "skipped": 0, "failed": 2, "ignored": 0, "unchanged": 0}
    assert [row["path"] for row in rows(out, "failures.csv")] == [
        f"0.png (line 3 of {tmp_path / 'first'})",
        "none.png",
    ]
    assert run(photos, out, "--files", str(tmp_path / "second")) == 0
    assert [row["path"] for row in rows(out)] == ["1.png", "2.png"]
    assert run(photos, out) == 0
    assert counts(out)["skipped"] == 3
    assert [row["path"] for row in rows(out)] == ["0.png", "1.png", "2.png", "trip ü/3.jpg"]


def test_a_disk_of_photos_that_goes_ends_the_job_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The photos that are left are no failures, although they cannot be read."""
    photos, disk, out = tmp_path / "photos", tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    for seed in range(8):
        dark(seed, 30, 20).save(disk / f"{seed}.png")
    photos.symlink_to(disk)
    read = storage.read

    def read_and_unplug(path: str, max_bytes: int | None = None) -> bytes:
        if path.endswith("3.png"):
            photos.unlink(missing_ok=True)
        return read(path, max_bytes)

    with monkeypatch.context() as patch:
        patch.setattr(storage, "read", read_and_unplug)
        assert run(photos, out, "--workers", "1") == 1
    assert f"Error: cannot read {photos} (No such file or directory); " in capsys.readouterr().err
    found = json.loads((out / "run.json").read_text())["counts"]
    assert 0 < found["enhanced"] <= 3
    assert found["failed"] == 0

    photos.symlink_to(disk)
    done = found["enhanced"]
    assert run(photos, out) == 0
    assert (counts(out)["enhanced"], counts(out)["skipped"], counts(out)["failed"]) == (8 - done, done, 0)
