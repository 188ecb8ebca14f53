"""A data set back as files."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from record_samples import pixels, record, stored, write_dataset

from tfrecord_tools import DatasetError
from tfrecord_tools.export import contact_sheet, export_images
from tfrecord_tools.records import Record


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


def test_contact_sheet_shows_images_and_references_in_order(tmp_path: Path) -> None:
    def flat(color: tuple[int, int, int], name: str):
        return stored(np.full((8, 12, 3), color, np.uint8), name)

    records = [Record(flat((255, 0, 0), "a.png"), flat((0, 255, 0), "b.png")), Record(flat((0, 0, 255), "c" * 99))]
    write_dataset(tmp_path, {"train": [records]})
    sheet = contact_sheet(tmp_path, "train", columns=2)
    assert sheet.size == (2 * 168 + 8, 2 * 184 + 8)  # cells of 160, captions of 16, gaps of 8
    centres = [sheet.getpixel((8 + 80 + x * 168, 8 + 80 + y * 184)) for y in (0, 1) for x in (0, 1)]
    assert centres == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]


def test_contact_sheet_is_limited(dataset: Path) -> None:
    assert contact_sheet(dataset, "train", images=2, columns=10).height == 184 + 8
