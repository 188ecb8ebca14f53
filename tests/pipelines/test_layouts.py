"""The layouts of data sets, by the names of their files."""

import pytest

from pipelines.layouts import LAYOUTS, LOL, find_layout
from pipelines.references import AmbiguousReferenceError

SHAPES = {
    "lol": {
        "our485/low/2.png": ("our485/high/2.png", "train"),
        "eval15/low/2.png": ("eval15/high/2.png", "test"),
    },
    "lol-v2": {
        "Real_captured/Train/Low/low00001.png": ("Real_captured/Train/Normal/normal00001.png", "train"),
        "Real_captured/Test/Low/low00690.png": ("Real_captured/Test/Normal/normal00690.png", "test"),
        "Synthetic/Train/Low/r000da54ft.png": ("Synthetic/Train/Normal/r000da54ft.png", "train"),
    },
    "lsrw": {
        "Training data/Huawei/low/1.jpg": ("Training data/Huawei/high/1.jpg", "train"),
        "Training data/Nikon/low/1.jpg": ("Training data/Nikon/high/1.jpg", "train"),
        "Eval/Huawei/low/1.jpg": ("Eval/Huawei/high/1.jpg", "test"),
    },
    "sice": {
        "Dataset_Part1/1/1.JPG": ("Dataset_Part1/Label/1.JPG", "train"),
        "Dataset_Part1/1/2.JPG": ("Dataset_Part1/Label/1.JPG", "train"),
        "Dataset_Part1/10/1.JPG": ("Dataset_Part1/Label/10.PNG", "train"),
        "Dataset_Part2/1/1.JPG": ("Dataset_Part2/label/1.JPG", "test"),
    },
    "sid": {
        "Sony/short/00001_00_0.1s.png": ("Sony/long/00001_00_10s.png", "train"),
        "Sony/short/00001_01_0.04s.png": ("Sony/long/00001_00_10s.png", "train"),
        "Sony/short/10003_00_0.1s.png": ("Sony/long/10003_00_30s.png", "test"),
        "Sony/short/20001_00_0.1s.png": ("Sony/long/20001_00_10s.png", "val"),
        "Fuji/short/00001_00_0.1s.png": ("Fuji/long/00001_00_10s.jpg", "train"),
    },
    "fivek": {
        "raw/a0001-jmac_DSC1459.png": ("expertC/a0001-jmac_DSC1459.tif", ""),
        "raw/a0002.png": ("expertC/a0002.png", ""),
    },
    "pairs": {
        "train/input/a.png": ("train/target/a.jpg", "train"),
        "val/input/a.png": ("val/target/a.png", "val"),
        "low/1.png": ("high/1.png", ""),
    },
}
"""By layout: the reference and the split of the folder of each dark image."""


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_image_has_its_reference_and_split(name: str) -> None:
    layout, shape = LAYOUTS[name], SHAPES[name]
    references = sorted({reference for reference, _ in shape.values()})
    assert layout.match(shape, references) == {image: reference for image, (reference, _) in shape.items()}
    assert {image: layout.split(image) for image in shape} == {image: split for image, (_, split) in shape.items()}
    assert all(map(layout.is_image, shape))
    assert not any(map(layout.is_image, references))
    assert all(map(layout.is_reference, references))
    for example, is_one in zip(layout.where, (layout.is_image, layout.is_reference), strict=True):
        assert is_one(example)
    assert layout.match(layout.where[:1], layout.where[1:]) == {layout.where[0]: layout.where[1]}


@pytest.mark.parametrize("name", LAYOUTS)
def test_auto_takes_a_folder_that_holds_one_layout_and_nothing_else(name: str) -> None:
    paths = [*SHAPES[name], *sorted({reference for reference, _ in SHAPES[name].values()})]
    found = None if name == "pairs" else LAYOUTS[name]  # `low` and `high` are words of many folders
    assert find_layout(paths) is found
    if name != "lol":
        assert find_layout([*paths, "cover.png"]) is None
        assert find_layout(list(SHAPES[name])) is None  # no reference
        assert find_layout(paths[len(SHAPES[name]) :]) is None  # no image


def test_auto_takes_lol_for_lol_whatever_else_there_is() -> None:
    assert find_layout(["our485/low/1.png", "cover.png"]) is LOL
    assert find_layout(["eval15/low/1.png", "cover.png"]) is None


def test_the_other_experts_of_fivek_are_left_out() -> None:
    paths = ["input/1.jpg", *(f"expert{expert}/1.jpg" for expert in "ABCDE")]
    assert find_layout(paths) is LAYOUTS["fivek"]
    assert list(filter(LAYOUTS["fivek"].is_reference, paths)) == ["expertC/1.jpg"]
    assert find_layout(["raw/1.jpg", "a/1.jpg", "c/1.jpg"]) is LAYOUTS["fivek"]
    assert find_layout(["raw/1.jpg", "jpeg/1.jpg", "c/1.jpg"]) is None


@pytest.mark.parametrize(
    "paths",
    [
        ["low/1.png", "low/2.png"],
        ["1/2.jpg", "2/2.jpg"],
        ["2021/1.jpg", "Label/notes.jpg"],
        ["short/a.png", "long/a.png"],
        ["Train/Low/1.png", "Train/High/1.png"],
        ["Canon/low/1.png", "Canon/high/1.png"],
        ["input/1.png", "target/1.png"],
    ],
)
def test_other_folders_are_of_no_layout(paths: list[str]) -> None:
    assert find_layout(paths) is None


@pytest.mark.parametrize(
    ("name", "image", "references"),
    [
        ("sid", "short/00001_00_0.1s.png", ["long/00001_00_10s.png", "long/00001_00_30s.png"]),
        ("sice", "7/1.JPG", ["Label/7.JPG", "Label/7.png"]),
        ("fivek", "input/1.dng", ["C/1.tif", "expertC/1.tif"]),
        ("lol", "our485/low/1.png", ["our485/high/1.bmp", "our485/high/1.jpg"]),
    ],
)
def test_two_references_of_an_image_are_named(name: str, image: str, references: list[str]) -> None:
    with pytest.raises(AmbiguousReferenceError) as raised:
        LAYOUTS[name].match([image], references)
    assert (
        str(raised.value) == f"{references[0]} and {references[1]} are both a reference of {image}; remove one of them"
    )


def test_the_same_name_in_two_parts_is_two_scenes() -> None:
    images = ["Training data/Nikon/low/1.jpg", "Eval/Nikon/low/1.jpg", "Eval/Huawei/low/1.jpg"]
    assert len(set(map(LAYOUTS["lsrw"].scene, images))) == 3
    assert LAYOUTS["lsrw"].match(images, ["Eval/Nikon/high/1.jpg"]) == {images[1]: "Eval/Nikon/high/1.jpg"}
