"""A data set back as files."""

import dataclasses
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from record_samples import pixels, record, stored, write_dataset

from tfrecord_tools import DatasetError, verify
from tfrecord_tools.export import contact_sheet, export_images
from tfrecord_tools.records import Record
from tfrecord_tools.statistics import measure


def test_every_image_comes_back_under_its_name(dataset: Path, tmp_path: Path) -> None:
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in export_images(dataset, tmp_path / "out"))
    images = [f"train/image/low/{index}.png" for index in range(10)] + [f"val/image/low/{i}.png" for i in range(10, 15)]
    references = [f"train/reference/high/{index}.png" for index in (0, 3, 6, 9)] + ["val/reference/high/12.png"]
    assert written == sorted(images + references)
    np.testing.assert_array_equal(Image.open(tmp_path / "out/val/image/low/11.png"), pixels(11))
    np.testing.assert_array_equal(Image.open(tmp_path / "out/train/reference/high/9.png"), pixels(9)[::-1])


def test_the_extension_says_the_format(tmp_path: Path) -> None:
    names = ["a.JPG", "a.jpg", "b.png", "c"]
    write_dataset(tmp_path / "set", {"train": [[Record(stored(pixels(0), name)) for name in names]]})
    written = [path.name for path in export_images(tmp_path / "set", tmp_path / "out")]
    assert written == ["a.JPG.png", "a.jpg.png", "b.png", "c.png"]


@pytest.mark.parametrize("name", ["../escape.png", "/etc/escape.png", "a/../../escape.png"])
def test_no_file_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    image = dataclasses.replace(record(1).image, filename=name)
    write_dataset(tmp_path / "set", {"train": [[Record(image)]]})
    with pytest.raises(DatasetError, match="leads out of the folder"):
        list(export_images(tmp_path / "set", tmp_path / "out"))
    assert not list(tmp_path.rglob("escape.png"))
    (fault,) = verify(tmp_path / "set")
    assert "leads out of the folder" in fault.message


@pytest.mark.parametrize("link", ["out/train", "out/train/image", "out/train/image/low"])
def test_no_link_is_followed_out_of_the_folder(dataset: Path, tmp_path: Path, link: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / link).parent.mkdir(parents=True)
    (tmp_path / link).symlink_to(outside)
    with pytest.raises(DatasetError, match=r"leads out of .* through a link"):
        list(export_images(dataset, tmp_path / "out"))
    assert list(outside.iterdir()) == []


def test_a_link_in_the_place_of_an_image_is_replaced_not_followed(dataset: Path, tmp_path: Path) -> None:
    mine, image = tmp_path / "mine.png", tmp_path / "out/train/image/low/0.png"
    mine.write_bytes(b"mine")
    image.parent.mkdir(parents=True)
    image.symlink_to(mine)
    list(export_images(dataset, tmp_path / "out"))
    assert mine.read_bytes() == b"mine"
    np.testing.assert_array_equal(Image.open(image), pixels(0))
    assert sum(path.is_file() for path in (tmp_path / "out").rglob("*.png")) == 20


def test_sha256sum_finds_the_exported_images_whole(tmp_path: Path) -> None:
    names = ["a.png", "b/\udcff.png", "line\nbreak.png", "back\\slash.png"]
    write_dataset(tmp_path / "set", {"train": [[Record(stored(pixels(0), name)) for name in names]]})
    list(export_images(tmp_path / "set", tmp_path / "out"))
    check = ["sha256sum", "--check", "--strict", "_checksums.sha256"]
    done = subprocess.run(check, cwd=tmp_path / "out", capture_output=True)
    assert (done.returncode, done.stdout.count(b": OK")) == (0, 4)
    (tmp_path / "out/train/image/a.png").write_bytes(b"changed")
    assert subprocess.run(check, cwd=tmp_path / "out", capture_output=True).returncode == 1


def test_two_images_that_would_be_one_file_are_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", {"train": [[Record(stored(pixels(0), name)) for name in ("a.jpg", "a.jpg.png")]]})
    with pytest.raises(DatasetError, match=r"two records of train have the same file, a\.jpg\.png"):
        list(export_images(tmp_path / "set", tmp_path / "out"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filename": "a\0b.png"}, "is not a name"),
        ({"format": "gif"}, "`image/format` is 'gif', none of png, jpeg"),
    ],
)
def test_records_of_another_kind_are_refused_everywhere(tmp_path: Path, change: dict, message: str) -> None:
    write_dataset(tmp_path / "set", {"train": [[Record(dataclasses.replace(record(1).image, **change))]]})
    for function in (
        lambda: list(export_images(tmp_path / "set", tmp_path / "out")),
        lambda: contact_sheet(tmp_path / "set", "train"),
        lambda: measure(tmp_path / "set"),
    ):
        with pytest.raises(DatasetError, match=message):
            function()
    (fault,) = verify(tmp_path / "set")
    assert message in fault.message


@pytest.mark.parametrize(
    "change",
    [{"encoded": b"no image"}, {"encoded": b""}, {"format": "jpeg"}, {"width": 11}],
    ids=["no image", "empty", "another format", "another size"],
)
def test_bytes_that_are_no_image_are_said(tmp_path: Path, change: dict) -> None:
    write_dataset(tmp_path / "set", {"train": [[Record(dataclasses.replace(record(1).image, **change))]]})
    for function in (lambda: contact_sheet(tmp_path / "set", "train"), lambda: measure(tmp_path / "set")):
        with pytest.raises(DatasetError, match=r"low/1\.png cannot be decoded \("):
            function()


def test_contact_sheet_shows_images_and_references_in_order(tmp_path: Path) -> None:
    def flat(color: tuple[int, int, int], name: str):
        return stored(np.full((8, 12, 3), color, np.uint8), name)

    records = [Record(flat((255, 0, 0), "a.png"), flat((0, 255, 0), "b.png")), Record(flat((0, 0, 255), "c" * 99))]
    write_dataset(tmp_path, {"train": [records]})
    sheet = contact_sheet(tmp_path, "train", columns=2)
    assert sheet.size == (2 * 168 + 8, 2 * 184 + 8)  # cells of 160, captions of 16, gaps of 8
    centres = [sheet.getpixel((8 + 80 + x * 168, 8 + 80 + y * 184)) for y in (0, 1) for x in (0, 1)]
    assert centres == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


@pytest.mark.parametrize("name", ["a\nb.png", "\udcff.png", "\x1b[31mred.png", "[bold].png"])
def test_odd_names_are_exported_and_drawn(tmp_path: Path, name: str) -> None:
    write_dataset(tmp_path / "set", {"train": [[Record(stored(pixels(0), name))]]})
    assert [path.name for path in export_images(tmp_path / "set", tmp_path / "out")] == [name]
    assert contact_sheet(tmp_path / "set", "train").height == 184 + 8


def test_contact_sheet_is_limited(dataset: Path) -> None:
    assert contact_sheet(dataset, "train", images=2, columns=10).height == 184 + 8
