"""HDR photos: the gain map stays with the enhanced photo, or is counted; or the photo stays as it is."""

import csv
import io
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.enhance.settings import EnhanceSettings
from tests.pipelines.jobs import enhance
from tests.pipelines.photos.gain_map_samples import ULTRA, apple, second_picture, ultra_hdr

pytestmark = pytest.mark.slow

DROPPED = "gain map dropped"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Dark HDR photos: of Ultra HDR, lying on its side, of Apple, with a map that darkens; and a dark photo without."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "ultra.jpg").write_bytes(ultra_hdr())
    (folder / "lying.jpg").write_bytes(ultra_hdr(orientation=6))
    (folder / "apple.jpg").write_bytes(apple())
    (folder / "darker.jpg").write_bytes(ultra_hdr(ULTRA + ' hdrgm:GainMapMin="-1"'))
    Image.fromarray(np.random.default_rng(0).integers(0, 60, (80, 120, 3), np.uint8)).save(folder / "plain.png")
    return folder


def run(photos: Path, out: Path, *options: str) -> dict[str, Any]:
    """`zerodce enhance` in this process, which has to succeed; returns run.json."""
    assert enhance(photos, out, *options) == 0
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found


def notes(out: Path) -> dict[str, str]:
    with open(out / "metrics.csv", newline="", encoding="utf-8") as file:
        return {row["path"]: row["notes"] for row in csv.DictReader(file)}


def said(number: int) -> str:
    return (
        f"{number} photo(s) have lost their gain map, so they are no HDR photos any more. --unchanged-hdr leaves "
        "photos with a gain map as they are.\n"
    )


def test_maps_that_only_brighten_stay_and_others_are_counted(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(photos, out)["gain_maps_dropped"] == 1
    assert capsys.readouterr().err.count(said(1)) == 1
    assert notes(out) == {"apple.jpg": "", "darker.jpg": DROPPED, "lying.jpg": "", "plain.png": "", "ultra.jpg": ""}
    for name in ("ultra.jpg", "apple.jpg"):
        before, after = ((folder / name).read_bytes() for folder in (photos, out / "enhanced"))
        assert second_picture(after) == second_picture(before)
        means = [np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).mean() for content in (before, after)]
        assert means[1] > 1.3 * means[0]
    lying = (out / "enhanced" / "lying.jpg").read_bytes()
    assert Image.open(io.BytesIO(second_picture(lying))).size == (30, 40)
    for image in (out / "enhanced" / "darker.jpg", *(out / "autocontrast").glob("*.jpg")):
        assert b"hdrgm:Version" not in image.read_bytes()
        assert b"MPF\x00" not in image.read_bytes()
    again = run(photos, out)
    assert (again["counts"]["skipped"], again["gain_maps_dropped"]) == (5, 1)


def test_exiftool_finds_the_map(photos: Path, tmp_path: Path) -> None:
    exiftool = shutil.which("exiftool")
    if not exiftool:
        pytest.skip("needs ExifTool: apt-get install libimage-exiftool-perl")
    out = tmp_path / "out"
    run(photos, out)
    for name in ("ultra.jpg", "lying.jpg", "apple.jpg"):
        image = out / "enhanced" / name
        gain_map = second_picture(image.read_bytes())
        taken = subprocess.run([exiftool, "-b", "-MPImage2", image], capture_output=True, check=True).stdout
        assert taken == gain_map
        told = subprocess.run([exiftool, "-json", "-a", "-MPF:all", "-XMP:all", image], capture_output=True, check=True)
        (found,) = json.loads(told.stdout)
        assert found["NumberOfImages"] == 2
        assert found["MPImageLength"] == len(gain_map)
        assert found.get("DirectoryItemLength") == (None if name == "apple.jpg" else len(gain_map))
        assert found["HistoryAction"] == "edited"


def test_hdr_photos_can_stay_as_they_are(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert run(photos, out)["counts"]["unchanged"] == 0
    capsys.readouterr()
    found = run(photos, out, "--unchanged-hdr")
    assert (found["counts"]["enhanced"], found["counts"]["unchanged"], found["gain_maps_dropped"]) == (5, 4, 0)
    assert "gain map" not in capsys.readouterr().err
    for name in ("ultra.jpg", "lying.jpg", "apple.jpg", "darker.jpg"):
        assert (out / "enhanced" / name).read_bytes() == (photos / name).read_bytes()
        copied = "original kept (--unchanged-hdr); enhanced unchanged, copied byte for byte"
        assert notes(out)[name].removesuffix("; autocontrast unchanged, copied byte for byte") == copied
    assert notes(out)["plain.png"] == ""


@pytest.mark.parametrize("options", [("--strip-metadata",), ("--format", "png")])
def test_files_that_cannot_hold_a_map_lose_it(photos: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    out = tmp_path / "out"
    assert run(photos, out, *options)["gain_maps_dropped"] == 4
    assert [DROPPED in note for note in notes(out).values()] == [True, True, True, False, True]


def test_new_options_change_no_finished_archive() -> None:
    assert "unchanged_hdr" not in EnhanceSettings().decisive("")
    assert EnhanceSettings(unchanged_hdr=True).decisive("")["unchanged_hdr"] is True
