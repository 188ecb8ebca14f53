"""`zerodce try`: its pictures are those of `zerodce enhance`, and every photo is on the page or a line of it."""

import base64
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import zerodce
from pipelines import cli
from pipelines.settings import Application
from pipelines.trying.page import options
from pipelines.trying.previews import CHOICES, PART, noisy_part, previews


def scene(width: int = 1200, height: int = 800) -> np.ndarray:
    """A photo whose lower right quarter is dark and has the noise of a sensor; the rest is brighter and smooth."""
    rows, columns = np.mgrid[:height, :width]
    values = 50 + 20 * columns / width + 10 * rows / height
    dark = values[height // 2 :, width // 2 :]
    dark[:] = 14 + np.random.default_rng(0).normal(0, 4, dark.shape)
    return np.repeat(np.rint(values).clip(0, 255).astype(np.uint8)[..., np.newaxis], 3, axis=2)


def png(pixels: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **options)
    return file.getvalue()


def decoded(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(float)


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page.read_text(), re.DOTALL)
    assert found
    return json.loads(found[1])


def run(*arguments: object) -> tuple[int, str]:
    """The exit code of the command, and all that it prints."""
    command = [sys.executable, "-m", "pipelines.cli", "try", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
    return done.returncode, done.stdout


def test_the_choices_are_every_strength_noise_and_look() -> None:
    found = [(choice.look, choice.denoise, choice.strength) for choice in CHOICES]
    assert found[:4] == [
        ("natural", "auto", 0.5),
        ("natural", "auto", 1.0),
        ("natural", "auto", 1.5),
        ("natural", "off", 0.5),
    ]
    assert len(found) == len(set(found)) == 12


def test_options_name_only_what_is_not_the_default() -> None:
    assert options(Application()) == []
    assert options(Application(look="bright", strength=1.5)) == ["--look bright", "--strength 1.5"]
    assert options(Application(denoise="off", strength=0.5)) == ["--strength 0.5", "--denoise off"]


def test_every_line_of_options_gives_its_settings_to_enhance() -> None:
    for choice in CHOICES:
        line = shlex.split(" ".join(["photos out", *options(choice)]))
        given = cli.main.commands["enhance"].make_context("enhance", line).params
        assert (given["look"], given["denoise"], given["strength"]) == (choice.look, choice.denoise, choice.strength)


def test_pictures_are_those_of_enhance() -> None:
    photo = scene()
    choices = [Application(), Application(look="bright", denoise="off", strength=1.5)]
    made = previews(png(photo), "a.png", choices)
    assert (made.width, made.height) == (1200, 800)
    part = noisy_part(photo)
    assert 400 <= part[0].start <= 800 - 320
    assert 600 <= part[1].start <= 1200 - 480
    wanted = [photo, zerodce.enhance(photo), zerodce.enhance(photo, look="bright", denoise="off", strength=1.5)]
    for picture, pixels in zip([made.original, *made.enhanced], wanted, strict=True):
        cut = decoded(picture.part)
        assert cut.shape == (PART[1], PART[0], 3)
        assert np.abs(cut - pixels[part]).mean() < 2  # what the JPEG costs
        assert cut.std() == pytest.approx(pixels[part].std(), rel=0.05)  # the noise is neither more nor less
        assert picture.mean == pytest.approx(pixels.mean() / 255, abs=0.002)
        assert decoded(picture.whole).shape == (533, 800, 3)
    assert [made.original.changed, *(picture.changed for picture in made.enhanced)] == [False, True, True]
    assert decoded(made.enhanced[1].part).std() > 2 * decoded(made.original.part).std()  # the noise is there


def test_a_small_photo_is_its_own_part() -> None:
    grey = scene(60, 40)[..., 0]
    assert noisy_part(grey[..., np.newaxis]) == (slice(0, 40), slice(0, 60))
    made = previews(png(grey), "a.png", [Application()])
    assert decoded(made.original.whole).shape == decoded(made.original.part).shape == (40, 60, 3)


def test_pictures_are_in_srgb(red_is_green: bytes) -> None:
    red = np.zeros((40, 60, 3), np.uint8)
    red[..., 0] = 200
    made = previews(png(red, icc_profile=red_is_green), "a.png", [Application(strength=0)])
    for jpeg in (made.original.whole, made.original.part):
        assert decoded(jpeg).mean(axis=(0, 1)).argmax() == 1


def test_the_page_has_every_photo_and_every_failure(tmp_path: Path) -> None:
    folder = tmp_path / "my photos"
    folder.mkdir()
    (folder / "dark.png").write_bytes(png(scene(300, 200)))
    (folder / "white.png").write_bytes(png(np.full((200, 300, 3), 255, np.uint8)))
    (folder / "broken <b>.jpg").write_bytes(b"\xff\xd8\xff broken")
    page = tmp_path / "page.html"
    code, said = run(*sorted(folder.iterdir()), folder, folder / "missing.png", "--out", page)
    assert code == 1, said
    assert f"2 photos, 3 failed: {page}" in said
    data = data_of(page)
    assert [photo["name"] for photo in data["photos"]] == [f"{folder}/dark.png", f"{folder}/white.png"]
    assert [failure["name"] for failure in data["failures"]] == [
        f"{folder}/broken <b>.jpg",
        str(folder),
        f"{folder}/missing.png",
    ]
    for failure in data["failures"]:
        assert f"{failure['name']}: {failure['error']}" in said
    assert data["photos"][0]["command"] == f"zerodce enhance '{folder}' '{folder}-enhanced'"
    dark, white = data["photos"]
    assert len(dark["versions"]) == 12
    assert not any(version["changed"] for version in white["versions"])
    assert len(white["pictures"]) == 2  # whole and part, once for all versions
    start, _, jpeg = dark["pictures"][0].partition(",")
    assert start == "data:image/jpeg;base64"
    assert decoded(base64.b64decode(jpeg)).shape == (200, 300, 3)
    text = page.read_text()
    assert re.search(r'(src|href)="(?!data:)', text) is None  # it needs no other file
    code, said = run(folder / "dark.png", "--out", page)  # its own page is replaced
    assert code == 0, said
    assert len(data_of(page)["photos"]) == 1


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    photo, mine = tmp_path / "dark.png", tmp_path / "page.html"
    photo.write_bytes(png(scene(60, 40)))
    mine.write_text("<!doctype html>my page")
    for out in (mine, photo, tmp_path):
        code, said = run(photo, "--out", out)
        assert code == 2
        assert f"{out} exists, and is no page of `zerodce try`" in said
    assert mine.read_text() == "<!doctype html>my page"
    assert photo.read_bytes() == png(scene(60, 40))


def test_without_photos_it_says_what_is_missing() -> None:
    code, said = run()
    assert code == 2
    assert "Missing argument 'PHOTO...'" in said
