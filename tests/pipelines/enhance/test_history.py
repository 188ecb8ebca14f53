"""What was done to a photo is in its file: ExifTool reads it, and the same run writes the same bytes."""

import datetime
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

import zerodce
from pipelines import models
from pipelines.enhance import history
from pipelines.enhance.settings import EnhanceSettings
from tests.pipelines.jobs import enhance

pytestmark = pytest.mark.slow

FIRST, SECOND = "2020-09-13", "2017-07-14"  # 1,600,000,000 and 1,500,000,000 s after 1970
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4" '
    'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:e="http://ns.adobe.com/xap/1.0/sType/ResourceEvent#">'
    '<xmpMM:History><rdf:Seq><rdf:li e:action="created" e:softwareAgent="Camera"/></rdf:Seq></xmpMM:History>'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Dark photos of four formats, and a well-exposed one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    dark = Image.fromarray(np.random.default_rng(0).integers(0, 60, (80, 120, 3), np.uint8))
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP)
    dark.save(folder / "a.jpg", quality=95, xmp=XMP.encode())
    dark.save(folder / "b.png", pnginfo=text)
    dark.save(folder / "c.webp", lossless=True)
    dark.save(folder / "d.tif")
    ramp = np.linspace(0, 255, 80).astype(np.uint8)[:, np.newaxis]
    Image.fromarray(np.tile(ramp[..., np.newaxis], (1, 120, 3))).save(folder / "well.png")
    return folder


def run(photos: Path, out: Path, *options: str) -> dict[str, int]:
    """`zerodce enhance` in this process, which has to succeed; returns the counts."""
    assert enhance(photos, out, *options) == 0
    counts: dict[str, int] = json.loads((out / "run.json").read_text())["counts"]
    return counts


def seen(folder: Path) -> dict[str, dict[str, Any]]:
    """The XMP of each image, as ExifTool reads it."""
    exiftool = shutil.which("exiftool")
    if not exiftool:
        pytest.skip("needs ExifTool: apt-get install libimage-exiftool-perl")
    done = subprocess.run([exiftool, "-json", "-struct", "-XMP:all", folder], capture_output=True, check=True)
    return {Path(image.pop("SourceFile")).name: image for image in json.loads(done.stdout)}


def dates(folder: Path) -> set[str]:
    return {image["History"][-1]["When"] for image in seen(folder).values() if "History" in image}


def images(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.glob("[ea]*/*.*")}


def test_exiftool_reads_what_was_done_and_what_was_there_before(photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "out", "--strength", "0.5", "--denoise", "off")
    found = seen(tmp_path / "out" / "enhanced")
    for name in ("a.jpg", "b.png", "c.webp", "d.tif"):
        *before, entry = found[name]["History"]
        assert before == ([{"Action": "created", "SoftwareAgent": "Camera"}] if name < "c" else [])
        assert found[name].get("Rating") == (4 if name < "c" else None)
        assert entry.pop("When") == FIRST.replace("-", ":")
        parameters = dict(each.split("=") for each in entry.pop("Parameters").split("; "))
        assert entry == {"Action": "edited", "SoftwareAgent": f"zerodce {zerodce.__version__}"}
        means = float(parameters.pop("mean_before")), float(parameters.pop("mean_after"))
        assert means[0] == pytest.approx(29.5 / 255, abs=2e-3)  # numbers from 0 to 59
        assert means[1] > means[0]
        assert parameters == {
            "model": models.read_model(None).sha256,
            "look": "natural",
            "strength": "0.5",
            "exposure": "auto",
            "denoise": "off",
            "noise_removed": "no",
        }
    assert "History" not in found["well.png"]  # a copy of the file
    assert all(
        "History" not in image or len(image["History"]) == 1 for image in seen(tmp_path / "out/autocontrast").values()
    )


def test_a_photo_that_is_only_written_anew_says_so(photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "out", "--format", "png")
    found = seen(tmp_path / "out" / "enhanced")
    assert found["well.png"]["History"][0] | {"When": ""} == {
        "Action": "saved",
        "SoftwareAgent": f"zerodce {zerodce.__version__}",
        "When": "",
        "Parameters": "pixels=unchanged",
    }
    run(photos, tmp_path / "none", "--strength", "0", "--format", "webp")
    found = seen(tmp_path / "none" / "enhanced")
    assert {name: image["History"][-1]["Action"] for name, image in found.items()} == {
        "a.jpg.webp": "converted",
        "b.png.webp": "converted",
        "c.webp": "saved",
        "d.tif.webp": "converted",
        "well.png.webp": "converted",
    }


def test_a_photo_with_extended_xmp_gets_its_entry(data: Path, tmp_path: Path) -> None:
    """70 kB more XMP in further segments, which are dropped with a note. The first packet stays."""
    out = tmp_path / "out"
    run(data / "reports" / "extended_xmp.jpg", out)
    (found,) = seen(out / "enhanced").values()
    assert found["Rating"] == 5
    assert [entry["Action"] for entry in found["History"]] == ["edited"]
    assert b"extended XMP dropped" in (out / "metrics.csv").read_bytes()


@pytest.mark.parametrize("option", ["--no-history", "--strip-metadata"])
def test_it_can_be_left_out(photos: Path, tmp_path: Path, option: str) -> None:
    out = tmp_path / "out"
    assert run(photos, out)["enhanced"] == 5
    assert run(photos, out, option)["enhanced"] == 5
    kept = {name: image.get("History", []) for name, image in seen(out / "enhanced").items()}
    assert [len(kept[name]) for name in ("a.jpg", "b.png", "c.webp", "d.tif")] == (
        [1, 1, 0, 0] if option == "--no-history" else [0, 0, 0, 0]
    )


def test_archives_that_are_older_than_the_history_stay_as_they_are() -> None:
    assert "history" not in EnhanceSettings().decisive("")
    assert EnhanceSettings(history=False).decisive("")["history"] is False


def test_an_image_that_is_made_again_has_the_bytes_it_had(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run(photos, out)
    before = images(out)
    assert len(before) == 10
    monkeypatch.setenv(history.EPOCH, "1500000000")
    (out / "enhanced" / "a.jpg").unlink()
    Image.new("RGB", (90, 60), "#222").save(photos / "new.png")
    assert run(photos, out)["enhanced"] == 2
    assert images(out).items() >= before.items()
    assert dates(out / "enhanced") == {date.replace("-", ":") for date in (FIRST, SECOND)}
    run(photos, out, "--overwrite")
    assert dates(out / "enhanced") == {SECOND.replace("-", ":")}
    assert run(photos, tmp_path / "other")["enhanced"] == 6
    assert images(tmp_path / "other") == images(out)


def test_a_run_that_goes_on_keeps_its_date(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(history.EPOCH)
    out = tmp_path / "out"
    first = history.begin(str(out), "digest of the settings")
    today = datetime.datetime.now(datetime.UTC).date()
    assert today - datetime.date.fromisoformat(first) <= datetime.timedelta(days=1)  # it may be midnight
    state = json.loads((out / history.STARTED).read_text())
    (out / history.STARTED).write_text(json.dumps(state | {"started": FIRST}))  # as if that run was killed long ago
    assert history.begin(str(out), "digest of the settings") == FIRST
    assert history.begin(str(out), "another digest") != FIRST
    digest = EnhanceSettings().digest_with(models.read_model(None).sha256)
    (out / history.STARTED).write_text(json.dumps({"settings": digest, "started": FIRST}))
    run(photos, out)
    assert dates(out / "enhanced") == {FIRST.replace("-", ":")}
    assert not (out / history.STARTED).exists()


@pytest.mark.parametrize("wrong", ["yesterday", "1e99", "-1e6", str(10**30)])
def test_a_date_that_is_none_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv(history.EPOCH, wrong)
    with pytest.raises(click.UsageError, match="has to be a number of seconds since 1970"):
        history.begin(str(tmp_path), "")
