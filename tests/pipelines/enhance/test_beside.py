"""`--name` and `--beside`: enhanced photos lie beside their originals, and no file of the owner is ever touched."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import Image

from pipelines import folders, storage
from pipelines.enhance import beside, naming
from pipelines.enhance import photo as photo_module
from pipelines.photos import output_path
from tests.pipelines.enhance.test_enhance_job import counts, dark, rows
from tests.pipelines.jobs import enhance as run

BRIGHT = ("a_bright.jpg", "b_bright.png", "trip/c_bright.jpg")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two dark photos, a third in a subfolder, and a text, each of another time."""
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    dark(0).save(folder / "a.jpg", quality=90)
    dark(1).save(folder / "b.png")
    dark(2).save(folder / "trip" / "c.jpg", quality=90)
    (folder / "notes.txt").write_text("no photo")
    for number, path in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        os.utime(path, (1_000_000 + 100 * number,) * 2)
    return folder


def state(folder: Path) -> dict[str, tuple[int, int, int]]:
    """CRC-32, time and inode of every file."""
    return {
        str(path.relative_to(folder)): (zlib.crc32(path.read_bytes()), path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file()
    }


def failures(out: Path) -> dict[str, str]:
    return {row["path"]: row["error"] for row in rows(out, "failures.csv")}


@pytest.mark.parametrize(
    ("path", "template", "expected"),
    [
        ("trip/a.jpg", None, "trip/a.jpg"),
        ("trip/a.jpg", "{stem}_bright{ext}", "trip/a_bright.jpg"),
        ("a.b.JPG", "{stem}-{parent}{ext}", "a.b-Rome.JPG"),
        ("2019/trip/a.jpg", "{parent} {stem}{ext}", "2019/trip/trip a.jpg"),
        ("trip/a", "{{{stem}}}", "trip/{a}"),
        ("trip/{stem}.jpg", "{stem}_bright{ext}", "trip/{stem}_bright.jpg"),
    ],
)
def test_names(path: str, template: str | None, expected: str) -> None:
    assert naming.named(path, template, "Rome") == expected


@pytest.mark.parametrize(
    ("path", "output_format", "named", "expected"),
    [
        ("a.CR2", None, "a_bright.CR2", "a_bright.CR2.jpg"),
        ("a.JPG", None, "a_bright.JPG", "a_bright.JPG"),
        ("a.jpg", None, "a_bright", "a_bright.jpg"),
        ("a.jpg", "PNG", "a_bright.jpg", "a_bright.jpg.png"),
        ("a.png", None, "a_bright.jpg", "a_bright.jpg.png"),
    ],
)
def test_the_extension_says_the_format(path: str, output_format: str | None, named: str, expected: str) -> None:
    assert output_path(path, output_format, named) == expected


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{name}_bright", r"\{name\} is not a field of a name. The fields are \{stem\}, \{ext\}, \{parent\}"),
        ("{stem.__class__}", "is not a field"),
        ("{stem!r}", "is not a field"),
        ("{stem:>9}", "is not a field"),
        ("{}", "is not a field"),
        ("{stem", "is not a template"),
        ("bright{ext}", r"lacks \{stem\}"),
        ("bright/{stem}{ext}", "not the name of a file"),
        ("{stem}\n{ext}", "not the name of a file"),
    ],
)
def test_a_wrong_template_is_refused_at_once(photos: Path, tmp_path: Path, template: str, message: str) -> None:
    with pytest.raises(click.BadParameter, match=message):
        run(photos, tmp_path / "out", "--name", template)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_template_names_the_outputs_and_two_of_one_name_clash(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copy2(photos / "a.jpg", photos / "a.JPEG")
    assert run(photos, out, "--name", "{stem} of {parent}") == 1
    written = {str(path.relative_to(out / "enhanced")) for path in (out / "enhanced").rglob("*.*")}
    assert written == {"a of photos.jpg", "b of photos.png", "trip/c of trip.jpg"}
    assert failures(out) == {"a.jpg": "its output a of photos.jpg is also the output of a.JPEG: rename one of them"}
    assert [row["output"] for row in rows(out)] == ["a of photos.jpg", "b of photos.png", "trip/c of trip.jpg"]
    assert run(photos, out, "--name", "{stem} of {parent}") == 1
    assert counts(out)["skipped"] == 3


@pytest.mark.slow
def test_enhanced_photos_lie_beside_originals_that_nothing_touches(photos: Path, tmp_path: Path) -> None:
    plain, out = tmp_path / "plain", tmp_path / "out"
    assert run(photos, plain) == 0
    before = state(photos)
    assert run(photos, out, "--beside") == 0
    after = state(photos)
    assert {path: after[path] for path in before} == before
    assert sorted(after.keys() - before.keys()) == sorted(BRIGHT)
    for row in rows(out):
        bright = photos / row["output"]
        assert bright.read_bytes() == (plain / "enhanced" / row["path"]).read_bytes()
        assert bright.stat().st_mtime == (photos / row["path"]).stat().st_mtime
    assert not (out / "enhanced").exists()
    baselines = {str(path.relative_to(out / "autocontrast")) for path in (out / "autocontrast").rglob("*.*")}
    assert baselines == set(BRIGHT)
    assert counts(out) == {"found": 3, "enhanced": 3, "skipped": 0, "failed": 0, "ignored": 1, "unchanged": 0}


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--beside"], []])
def test_the_next_run_takes_no_image_of_ours_for_a_photo(photos: Path, tmp_path: Path, options: list[str]) -> None:
    out, list_file = tmp_path / "out", tmp_path / "list"
    assert run(photos, out, "--beside") == 0
    first = state(photos)
    assert run(photos, out, *options) == 0
    assert counts(out) | {"enhanced": 0, "skipped": 0} == {
        "found": 3,
        "enhanced": 0,
        "skipped": 0,
        "failed": 0,
        "ignored": 4,
        "unchanged": 0,
    }
    assert counts(out)["skipped"] == (3 if options else 0)
    assert json.loads((out / "run.json").read_text())["ignored_by_extension"] == {".jpg": 2, ".png": 1, ".txt": 1}
    list_file.write_text("a.jpg\na_bright.jpg\n")
    assert run(photos, out, "--files", str(list_file), *options) == 0
    assert counts(out)["found"] == 1
    moved = photos.rename(tmp_path / "moved")
    assert run(moved, out, "--same-archive", *options) == 0
    assert counts(out)["skipped"] == 3
    assert state(moved) == first


@pytest.mark.slow
def test_a_folder_with_images_beside_its_photos_goes_to_no_other_archive(photos: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out", tmp_path / "other"
    assert run(photos, out, "--beside") == 0
    shutil.copytree(photos, other)
    with pytest.raises(click.UsageError, match="so --overwrite is no way"):
        run(other, out, "--overwrite")


@pytest.mark.slow
def test_a_file_of_somebody_else_costs_a_row_with_overwrite_too(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    dark(7).save(photos / "a_bright.jpg")
    (photos / "b_bright.png").symlink_to("nowhere")
    before = state(photos)
    for options in ([], ["--overwrite"]):
        assert run(photos, out, "--beside", *options) == 1
        taken = "a_bright.jpg exists, and zerodce did not write it: move it away, or choose another --name"
        assert failures(out)["a.jpg"] == taken
        assert failures(out)["b.png"].startswith("b_bright.png exists, and zerodce did not write it")
        after = state(photos)
        assert {path: after[path] for path in before} == before
        # it is a photo of the archive, and gets an enhanced one itself
        assert sorted(after.keys() - before.keys()) == ["a_bright_bright.jpg", "trip/c_bright.jpg"]
        assert os.readlink(photos / "b_bright.png") == "nowhere"


@pytest.mark.slow
def test_a_file_that_appears_while_the_run_works_stays(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, own = photo_module.photos.encode, dark(7)

    def encode(*args: object, **options: object) -> object:
        if not (photos / "a_bright.jpg").exists():
            own.save(photos / "a_bright.jpg")
        return original(*args, **options)

    monkeypatch.setattr(photo_module.photos, "encode", encode)
    assert run(photos, tmp_path / "out", "--beside", "--workers", "1") == 1
    assert "zerodce did not write it" in failures(tmp_path / "out")["a.jpg"]
    with Image.open(photos / "a_bright.jpg") as image:
        assert np.abs(np.asarray(image).astype(int) - np.asarray(own)).mean() < 5
    assert not list(photos.rglob(f"*{storage.TEMPORARY_SUFFIX}"))


@pytest.mark.slow
def test_ours_are_replaced_by_other_settings_and_edited_ones_stay(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(photos, out, "--beside") == 0
    first = state(photos)
    dark(8).save(photos / "b_bright.png")
    os.utime(photos / "b_bright.png", (1_000_100, 1_000_100))  # as a tool that keeps the time
    edited = state(photos)["b_bright.png"]
    dark(9).save(photos / "trip" / "c.jpg", quality=90)  # its owner replaced the original
    for options in (["--strength", "0.5"], ["--overwrite"], ["--overwrite", "--strength", "0.5"]):
        assert run(photos, out, "--beside", *options) == 1
        assert failures(out) == {
            "b.png": "b_bright.png was edited since it was written: move it away, or choose another --name"
        }
        now = state(photos)
        assert now["b_bright.png"] == edited
        assert now["a_bright.jpg"][0] != first["a_bright.jpg"][0] or "--strength" not in options
        assert now["a_bright.jpg"][2] != first["a_bright.jpg"][2]
    (photos / "b_bright.png").unlink()
    assert run(photos, out, "--beside") == 0
    assert state(photos)["b_bright.png"][0] == first["b_bright.png"][0]


@pytest.mark.slow
def test_a_changed_photo_that_could_not_be_read_for_a_while_keeps_its_image(photos: Path, tmp_path: Path) -> None:
    """The record of its failure says nothing of the image, but the list does."""
    out, content = tmp_path / "out", (photos / "a.jpg").read_bytes()
    assert run(photos, out, "--beside") == 0
    (photos / "a.jpg").write_bytes(content[:200])
    assert run(photos, out, "--beside") == 1
    dark(5).save(photos / "a.jpg")
    assert run(photos, out, "--beside") == 0
    assert counts(out)["enhanced"] == 1


def test_an_original_of_the_same_name_is_refused(photos: Path, tmp_path: Path) -> None:
    for template in ("{stem}{ext}", "{stem}"):
        with pytest.raises(click.UsageError, match="the name of the original: choose another"):
            run(photos, tmp_path / "out", "--beside", "--name", template, "--dry-run")
    assert run(photos, tmp_path / "out", "--beside", "--name", "{stem}{ext}", "--format", "webp", "--dry-run") == 0


def test_photos_on_an_object_store_have_no_place_beside_them(photos: Path) -> None:
    with pytest.raises(click.UsageError, match="--beside needs photos on a disk"):
        beside.check("s3://bucket/photos")


@pytest.mark.slow
def test_unchanged_photos_are_copied_beside_or_left_out(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    ramp = np.tile(np.linspace(0, 255, 120).astype(np.uint8)[:, np.newaxis], (80, 1, 3))
    Image.fromarray(ramp).save(photos / "well.png")
    assert run(photos, out, "--beside") == 0
    assert (photos / "well_bright.png").read_bytes() == (photos / "well.png").read_bytes()
    assert run(photos, out, "--beside", "--unchanged", "skip") == 0
    assert sorted(path.name for path in photos.iterdir()) == ["well.png"]
    dark(7).save(photos / "well_bright.png")  # the owner's, by now
    os.utime(photos / "well.png", (5_000_000, 5_000_000))
    before = state(photos)
    assert run(photos, out, "--beside", "--unchanged", "skip") == 0
    assert run(photos, out, "--beside") == 1
    assert "zerodce did not write it" in failures(out)["well.png"]
    assert state(photos) == before


@pytest.mark.slow
def test_a_dry_run_and_the_report_name_the_places(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(photos, out, "--beside", "--dry-run") == 0
    assert f"trip/c.jpg -> {photos}/trip/c_bright.jpg" in capsys.readouterr().out
    assert run(photos, out, "--beside") == 0
    page = (out / "report.html").read_text()
    data = json.loads(page.split('type="application/json">', 1)[1].split("</script>", 1)[0])
    assert data["run"]["settings"]["beside"] is True
    assert data["originals"] == "../photos"
    thumbs = list((out / "report" / "thumbs").glob("*.jpg"))
    assert len(thumbs) == 9
    for path in thumbs:  # the page makes missing ones from the files
        path.unlink()
    assert run(photos, out, "--beside") == 0
    assert len(list((out / "report" / "thumbs").glob("*.jpg"))) == 9


@pytest.mark.slow
def test_metadata_that_earlier_runs_left_beside_photos_is_counted(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(photos, out, "--beside", "--no-autocontrast") == 0
    assert run(photos, out, "--beside", "--no-autocontrast", "--strip-metadata", "--name", "{stem}_lit{ext}") == 0
    assert json.loads((out / "run.json").read_text())["unstripped"] == 3


def test_leftovers_of_a_kill_are_deleted_where_photos_were_in_work(photos: Path) -> None:
    ours = photos / "trip" / f".{'0a' * 16}{storage.TEMPORARY_SUFFIX}"
    others = [photos / "trip" / f"notes{storage.TEMPORARY_SUFFIX}", photos / ours.name]
    for path in (ours, *others):
        path.write_bytes(b"half")
    beside.remove_leftovers(str(photos), ["trip/c.jpg", "gone/d.jpg"])
    assert not ours.exists()
    assert all(path.exists() for path in others)


def test_a_disk_without_hard_links_replaces_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    path = str(tmp_path / "a")
    storage.write(path, b"new", replace=False)
    with pytest.raises(FileExistsError):
        storage.write(path, b"newer", replace=False)
    assert storage.read(path) == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_images_of_ours_are_other_files_of_a_listing(photos: Path) -> None:
    listing = folders.find(str(photos), {}, written=lambda: {"b.png"})
    assert [entry.path for entry in listing.entries] == ["a.jpg", "trip/c.jpg"]
    assert listing.ignored_by_extension == {".png": 1, ".txt": 1}


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--strip-metadata"]])
def test_a_kill_leaves_originals_as_they_were_and_the_next_run_ends_as_if_undisturbed(
    tmp_path: Path, options: list[str]
) -> None:
    photos, out, same = tmp_path / "photos", tmp_path / "out", tmp_path / "same"
    for number in range(24):
        path = photos / f"day{number % 2}" / f"{number:02}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        dark(number, 900, 600).save(path, quality=90)
        os.utime(path, (1_000_000 + number,) * 2)
    shutil.copytree(photos, same)
    before = state(photos)
    command = [sys.executable, "-m", "pipelines.cli", "enhance", "--beside", *options]
    for number in (2, 9):
        process = subprocess.Popen([*command, photos, out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while len(list(photos.rglob("*_bright.jpg"))) < number:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.5)  # the worker ends with its watcher
        assert {path: after for path, after in state(photos).items() if path in before} == before
    assert run(photos, out, "--beside", *options) == 0
    assert run(same, tmp_path / "undisturbed", "--beside", *options) == 0
    now, undisturbed = state(photos), state(same)
    assert {path: now[path] for path in before} == before
    assert {path: crc32 for path, (crc32, *_) in now.items()} == {
        path: crc32 for path, (crc32, *_) in undisturbed.items()
    }
    assert counts(out)["found"] == 24
    assert (out / "metrics.csv").read_text() == (tmp_path / "undisturbed" / "metrics.csv").read_text()
