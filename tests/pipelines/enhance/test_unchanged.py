"""Photos that need nothing: the file itself stays, and is counted."""

import csv
import io
import json
import os
import zlib
from pathlib import Path

import click
import numpy as np
import pytest
from PIL import ExifTags, Image

import zerodce
from pipelines import cli, models, storage
from pipelines.enhance import originals
from pipelines.enhance.journal import Journal
from pipelines.enhance.photo import Done, PhotoProcessor, Prepared
from pipelines.enhance.plan import Task
from pipelines.enhance.settings import EnhanceSettings
from tests.pipelines.jobs import enhance

pytestmark = pytest.mark.slow

BEHIND = b"what some phone keeps behind the picture"
BOTH = "enhanced unchanged, {0}; autocontrast unchanged, {0}"


def ramp(low: int, high: int, width: int = 120, height: int = 80) -> Image.Image:
    """Grey from `low` to `high`, as bright as a well-exposed photo where they are 0 and 255."""
    return Image.fromarray(np.tile(np.linspace(low, high, width).astype(np.uint8)[:, np.newaxis], (height, 1, 3)))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A well-exposed JPEG that lies on its side, with bytes behind its end; one of little contrast; a dark one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    content = io.BytesIO()
    ramp(0, 255).save(content, "JPEG", quality=95, exif=exif)
    (folder / "bright.jpg").write_bytes(content.getvalue() + BEHIND)
    ramp(60, 190).save(folder / "flat.png")
    ramp(0, 40).save(folder / "dark.png")
    for number, path in enumerate(sorted(folder.iterdir())):
        os.utime(path, ns=(10**18 + number, 10**18 + number))
    return folder


def run(photos: Path, out: Path, *options: str) -> dict[str, dict[str, str]]:
    """`zerodce enhance` in this process, which has to succeed; returns the rows by path."""
    assert enhance(photos, out, *options) == 0
    with open(out / "metrics.csv", newline="", encoding="utf-8") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def counts(out: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((out / "run.json").read_text())["counts"]
    return found


def images(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for folder in ("enhanced", "autocontrast") for path in out.glob(f"{folder}/*")}


def test_what_needs_nothing_is_copied_byte_for_byte_until_it_needs_something(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for photo, mode in zip(sorted(photos.iterdir()), (0o600, 0o640, 0o444), strict=True):
        photo.chmod(mode)
    found = run(photos, out)
    for image in [*images(out), *(str(path.relative_to(out)) for path in out.glob("report/thumbs/*"))]:
        assert (out / image).stat().st_mode & 0o777 in (0o600, 0o640, 0o444)
    for image in images(out):
        assert (out / image).stat().st_mode == (photos / Path(image).name).stat().st_mode
    assert counts(out) == {"found": 3, "enhanced": 3, "skipped": 0, "failed": 0, "ignored": 0, "unchanged": 2}
    assert "2 of 3" in capsys.readouterr().out
    for copy in (out / "enhanced" / "bright.jpg", out / "autocontrast" / "bright.jpg", out / "enhanced" / "flat.png"):
        assert copy.read_bytes() == (photos / copy.name).read_bytes()
        assert copy.stat().st_mtime == (photos / copy.name).stat().st_mtime
        assert copy.stat().st_ino != (photos / copy.name).stat().st_ino
    assert found["bright.jpg"] | {"exposure": ""} == {
        "path": "bright.jpg",
        "output": "bright.jpg",
        "width": "80",
        "height": "120",
        "mean_input": found["bright.jpg"]["mean_enhanced"],
        "mean_enhanced": found["bright.jpg"]["mean_input"],
        "psnr_enhanced_db": "inf",
        "psnr_autocontrast_db": "inf",
        "exposure": "",
        "notes": BOTH.format("copied byte for byte"),
    }
    assert found["flat.png"]["notes"] == "enhanced unchanged, copied byte for byte"
    stretched = np.asarray(Image.open(out / "autocontrast" / "flat.png"))
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert found["dark.png"]["notes"] == ""
    run(photos, out)
    assert counts(out) == {"found": 3, "enhanced": 0, "skipped": 3, "failed": 0, "ignored": 0, "unchanged": 2}


def test_a_copied_photo_that_needs_light_by_now_is_done_anew(photos: Path, tmp_path: Path) -> None:
    out, original = tmp_path / "out", (photos / "dark.png").read_bytes()
    found = run(photos, out, "--exposure", "0")
    assert counts(out)["unchanged"] == 3
    assert found["dark.png"]["psnr_enhanced_db"] == "inf"
    assert (out / "enhanced" / "dark.png").read_bytes() == original
    found = run(photos, out)
    assert (counts(out)["enhanced"], counts(out)["unchanged"]) == (3, 2)
    assert float(found["dark.png"]["psnr_enhanced_db"]) < 30
    assert np.asarray(Image.open(out / "enhanced" / "dark.png")).mean() > 1.5 * 20
    run(photos, out, "--exposure", "0", "--unchanged", "skip")
    assert images(out) == {"autocontrast/dark.png", "autocontrast/flat.png"}


def test_listed_photos_stay_as_they_are_and_only_what_the_list_changes_is_done_anew(
    photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, listed = tmp_path / "out", tmp_path / "keep-original.txt"
    ramp(0, 30).save(photos / "#1.png")
    before = run(photos, out)
    assert float(before["dark.png"]["psnr_enhanced_db"]) < 30
    listed.write_bytes(b"# a comment\n\n  \n./#1.png\r\ngone.png\n")
    capfd.readouterr()
    found = run(photos, out, "--keep-original", str(listed))
    assert capfd.readouterr().err == f"Warning: --keep-original: gone.png in {listed} is no photo that was found\n"
    assert (counts(out)["enhanced"], counts(out)["skipped"], counts(out)["unchanged"]) == (1, 3, 3)
    assert (out / "enhanced" / "#1.png").read_bytes() == (photos / "#1.png").read_bytes()
    row = found["#1.png"]
    assert row["notes"] == "original kept (--keep-original); enhanced unchanged, copied byte for byte"
    assert row["psnr_enhanced_db"] == "inf"
    assert row["mean_enhanced"] == row["mean_input"] == before["#1.png"]["mean_input"]
    assert float(row["exposure"]) == pytest.approx(float(row["mean_input"]), abs=2e-3)
    assert row["psnr_autocontrast_db"] == before["#1.png"]["psnr_autocontrast_db"] != ""
    assert {name: found[name] for name in found if name != "#1.png"} == {
        name: before[name] for name in before if name != "#1.png"
    }
    listed.write_text("#1.png\ndark.png\n")  # the first line is a comment by now
    found = run(photos, out, "--keep-original", str(listed))
    assert (counts(out)["enhanced"], counts(out)["skipped"]) == (2, 2)
    assert found["#1.png"] == before["#1.png"]
    assert found["dark.png"]["psnr_enhanced_db"] == "inf"
    found = run(photos, out)
    assert (counts(out)["enhanced"], counts(out)["skipped"]) == (1, 3)
    assert found == before
    assert "Warning" not in capfd.readouterr().err


def test_a_kept_original_that_may_not_be_copied_is_encoded(photos: Path, tmp_path: Path) -> None:
    out, listed = tmp_path / "out", tmp_path / "list"
    listed.write_text("\ufeffdark.png")
    original = np.asarray(Image.open(photos / "dark.png"))
    options = ("--keep-original", str(listed), "--exposure", "0.5", "--reference", str(photos))
    row = run(photos, out, *options, "--format", "TIFF")["dark.png"]
    assert row["notes"] == "PNG written as TIFF; original kept (--keep-original)"
    assert np.array_equal(np.asarray(Image.open(out / "enhanced" / "dark.png.tif")), original)
    assert (row["psnr_enhanced_reference_db"], row["ssim_enhanced_reference"]) == ("inf", "1.0")
    row = run(photos, out, *options, "--unchanged", "skip")["dark.png"]
    assert not (out / "enhanced" / "dark.png").exists()
    assert row["notes"] == "original kept (--keep-original); enhanced unchanged, not written"


def test_the_list_of_originals_keeps_any_name(tmp_path: Path) -> None:
    listed = tmp_path / "list"
    listed.write_bytes(b"caf\xe9.jpg\r\n a b \n#no\n./#yes\n././x\nnight/\xe2\x80\xa8.jpg")
    assert originals.read_list(str(listed)) == {os.fsdecode(b"caf\xe9.jpg"), " a b ", "#yes", "./x", "night/\u2028.jpg"}


def test_a_list_of_originals_that_cannot_be_read_is_a_wrong_argument(photos: Path, tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(click.UsageError, match=f"--keep-original: {path} cannot be read"):
            run(photos, tmp_path / "out", "--keep-original", str(path))
    assert not (tmp_path / "out").exists()


def test_many_missing_originals_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    originals.warn_of_missing("list", {"a", "b\n", "c", "d"}, {"d"})
    assert capsys.readouterr().err == "Warning: --keep-original: a in list is no photo that was found, nor are 2 more\n"


def test_photos_of_another_revision_are_done_anew(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(photos, out)
    run(photos, out)
    assert counts(out)["skipped"] == 3
    monkeypatch.setattr("zerodce.REVISION", zerodce.REVISION + 1)
    run(photos, out)
    assert (counts(out)["enhanced"], counts(out)["skipped"]) == (3, 0)


def test_at_strength_0_every_photo_is_its_file(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = run(photos, out, "--strength", "0", "--no-autocontrast")
    assert counts(out)["unchanged"] == 3
    for path in photos.iterdir():
        assert (out / "enhanced" / path.name).read_bytes() == path.read_bytes()
    assert (found["bright.jpg"]["width"], found["bright.jpg"]["height"]) == ("80", "120")


def test_an_exposure_that_is_not_reached_is_a_note(photos: Path, tmp_path: Path) -> None:
    found = run(photos, tmp_path / "out", "--exposure", "0.2", "--look", "bright")
    assert float(found["dark.png"]["mean_enhanced"]) == pytest.approx(0.2, abs=0.01)
    assert found["dark.png"]["notes"] == ""
    assert found["bright.jpg"]["notes"].split("; ")[:2] == [
        "exposure 0.2 not reached",
        "enhanced unchanged, copied byte for byte",
    ]


def test_what_needs_nothing_can_be_left_out(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = run(photos, out, "--quality", "90")
    assert counts(out)["unchanged"] == 0
    assert all("unchanged" not in row["notes"] for row in first.values())
    assert len(images(out)) == 6

    found = run(photos, out, "--unchanged", "skip")
    assert images(out) == {"enhanced/dark.png", "autocontrast/dark.png", "autocontrast/flat.png"}
    assert counts(out) == {"found": 3, "enhanced": 3, "skipped": 0, "failed": 0, "ignored": 0, "unchanged": 2}
    assert found["bright.jpg"]["notes"] == BOTH.format("not written")
    assert found["bright.jpg"]["mean_input"] == first["bright.jpg"]["mean_input"]
    page = "".join(path.read_text() for path in (out / "report" / "data").glob("rows-*.js"))
    assert '"unwritten":{"0":["enhanced","autocontrast"],"2":["enhanced"]}' in page

    run(photos, out, "--unchanged", "skip")
    assert counts(out) == {"found": 3, "enhanced": 0, "skipped": 3, "failed": 0, "ignored": 0, "unchanged": 2}
    run(photos, out)
    assert counts(out)["enhanced"] == 3
    assert len(images(out)) == 6


def test_a_photo_that_changes_while_it_is_copied_is_a_failure(photos: Path, tmp_path: Path) -> None:
    params = cli.enhance.make_context("enhance", ["photos", "out"]).params
    settings = EnhanceSettings(**{name: value for name, value in params.items() if name not in ("photos", "out")})
    out = tmp_path / "out"
    model, journal = models.read_model(None), Journal(str(out / "journal"))
    processor = PhotoProcessor(str(photos), str(out), model, settings, journal)
    entry = storage.stat(str(photos), "bright.jpg")
    task = Task(entry.path, entry.size, entry.mtime, "digest", "bright.jpg", "", False)
    prepared = processor.prepare(task)
    assert isinstance(prepared, Prepared)
    with open(photos / "bright.jpg", "ab") as file:
        file.write(b"more")
    done = processor.complete(prepared, processor.enhancer().estimate([prepared.small])[0])
    assert isinstance(done, Done)
    assert done.record is not None
    assert done.record.failure == {"stage": "read", "error": "it changed while it was copied"}
    assert not [path for path in (out / "enhanced").rglob("*") if path.is_file()]


def test_damage_is_said_of_a_file_that_stays_as_well(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    content = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
    Image.fromarray(values).save(content, "JPEG")
    damaged = content.getvalue()[:3000] + content.getvalue()[-2:]
    (tmp_path / "photos" / "a.jpg").write_bytes(damaged)
    row = run(tmp_path / "photos", tmp_path / "out", "--strength", "0", "--no-autocontrast")["a.jpg"]
    assert row["notes"].startswith('the file is damaged: the decoder reports "premature end of data segment"; ')
    assert (tmp_path / "out" / "enhanced" / "a.jpg").read_bytes() == damaged


def test_the_checksum_of_a_copy_is_that_of_the_copy(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(photos, out)
    record = Journal(str(out / ".zerodce" / "journal")).read()["bright.jpg"]
    assert record.unchanged == ("enhanced", "autocontrast")
    contents = [(out / folder / "bright.jpg").read_bytes() for folder in ("enhanced", "autocontrast")]
    assert record.crc32 == tuple(map(zlib.crc32, contents))
    assert record.sizes == tuple(map(len, contents))
