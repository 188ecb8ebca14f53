"""Histograms of images whose brightness and size are known."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from record_samples import stored, write_dataset

from tfrecord_tools import statistics
from tfrecord_tools.records import Record


@pytest.fixture
def measured(tmp_path: Path) -> dict:
    def grey(level: int, name: str):
        return stored(np.full((8, 12, 3), level, np.uint8), name)

    dark = [Record(grey(51 * index, f"{index}.png")) for index in range(3)]
    pair = Record(grey(0, "a.png"), grey(255, "b.png"))
    write_dataset(tmp_path, {"train": [dark], "val": [[pair]], "test": []})
    return statistics.measure(tmp_path)


def test_brightness_is_the_mean_in_0_to_1(measured: dict) -> None:
    assert list(measured) == ["train", "val"]
    assert measured["train"]["image"].brightness == pytest.approx([0, 0.2, 0.4])
    assert measured["val"]["reference"].brightness == [1.0]
    assert measured["train"]["image"].sizes == {"12x8": 3}


def test_summary_counts_every_image_once(measured: dict) -> None:
    summary = statistics.summarize(measured)
    train = summary["train"]["image"]
    assert train["images"] == 3
    assert train["brightness"]["mean"] == pytest.approx(0.2)
    assert (train["brightness"]["smallest"], train["brightness"]["largest"]) == (0, pytest.approx(0.4))
    # edges at multiples of 1/32: 0 in bin 0, 0.2 in bin 6, 0.4 in bin 12
    assert np.flatnonzero(train["brightness"]["counts"]).tolist() == [0, 6, 12]
    assert summary["val"]["reference"]["brightness"]["counts"][-1] == 1
    for kinds in summary.values():
        for values in kinds.values():
            assert sum(values["kilobytes"]["counts"]) == values["images"]
            assert values["kilobytes"]["edges"] == train["kilobytes"]["edges"]


def test_the_picture_has_a_row_for_each_split(measured: dict) -> None:
    picture = Image.open(io.BytesIO(statistics.plot(measured, "PNG")))
    assert picture.size in [(1200, 648), (1200, 647)]  # 6.48 inches, which some versions of matplotlib cut
    assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
