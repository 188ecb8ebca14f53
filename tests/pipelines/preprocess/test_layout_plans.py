"""What `--layout` makes of a folder: its images, their references, and the splits; and the command from end to end."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from pipelines.preprocess.plan import DatasetPlan, make_plan
from pipelines.preprocess.settings import PreprocessSettings
from tfrecord_tools import read_manifest, read_records, verify


def touch(folder: Path, *paths: str) -> str:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return str(folder)


def planned(folder: str, **options: Any) -> DatasetPlan:
    return make_plan(folder, PreprocessSettings(**options))


def pairs(made: DatasetPlan) -> dict[str, str | None]:
    return {source.key: source.reference for sources in made.shards.values() for source in sources}


def images_of(made: DatasetPlan) -> dict[str, list[str]]:
    return {
        split: sorted(source.key for sources in shards.values() for source in sources)
        for split, shards in made.sources.items()
    }


def lol_v2(folder: Path, train: int = 97, test: int = 2) -> str:
    for part, (low, normal) in {"Real_captured": ("low", "normal"), "Synthetic": ("", "")}.items():
        for split, numbers in {"Train": range(train), "Test": range(train, train + test)}.items():
            for number in numbers:
                touch(folder, f"{part}/{split}/Low/{low}{number:05}.png")
                touch(folder, f"{part}/{split}/Normal/{normal}{number:05}.png")
    return str(folder)


def test_lol_v2_is_found_paired_and_divided_within_each_part(tmp_path: Path) -> None:
    made = planned(lol_v2(tmp_path))
    assert made.rule == (
        "layout lol-v2: test as in the data set; each folder of training images in sorted order, divided 400:85 into "
        "train and val"
    )
    found = images_of(made)
    assert {split: len(keys) for split, keys in found.items()} == {"train": 160, "val": 34, "test": 4}  # 97 x 400/485
    assert found["val"] == [
        *(f"Real_captured/Train/Low/low{number:05}.png" for number in range(80, 97)),
        *(f"Synthetic/Train/Low/{number:05}.png" for number in range(80, 97)),
    ]
    matched = pairs(made)
    assert matched["Real_captured/Train/Low/low00001.png"] == "Real_captured/Train/Normal/normal00001.png"
    assert matched["Synthetic/Test/Low/00097.png"] == "Synthetic/Test/Normal/00097.png"
    assert None not in matched.values()
    assert (made.found, made.ignored) == (198, 0)


def test_lsrw_is_divided_for_each_camera(tmp_path: Path) -> None:
    for camera in ("Huawei", "Nikon"):
        for number in range(1, 6):
            touch(tmp_path, f"Training data/{camera}/low/{number}.jpg", f"Training data/{camera}/high/{number}.jpg")
        touch(tmp_path, f"Eval/{camera}/low/9.jpg", f"Eval/{camera}/high/9.jpg")
    made = planned(str(tmp_path))
    found = images_of(made)
    assert found["val"] == ["Training data/Huawei/low/5.jpg", "Training data/Nikon/low/5.jpg"]  # 5 x 400/485 = 4.1
    assert found["test"] == ["Eval/Huawei/low/9.jpg", "Eval/Nikon/low/9.jpg"]
    assert len(found["train"]) == 8
    assert all(reference == key.replace("/low/", "/high/") for key, reference in pairs(made).items())


def test_the_exposures_of_a_scene_of_sice_stay_together(tmp_path: Path) -> None:
    scenes = [f"{number}" for number in range(1, 41)]
    for scene in scenes:
        touch(tmp_path, f"Label/{scene}.JPG", *(f"{scene}/{exposure}.JPG" for exposure in range(1, 4)))
    for options in ({}, {"split": "train=0.5,test=0.5"}):
        made = planned(str(tmp_path), **options)
        assert made.rule.startswith("layout sice: by the SHA-256 of the scene: train 0.")
        assert pairs(made) == {
            f"{scene}/{exposure}.JPG": f"Label/{scene}.JPG" for scene in scenes for exposure in range(1, 4)
        }
        found = images_of(made)
        assert min(map(len, found.values())) > 0
        in_splits = [{key.split("/")[0] for key in keys} for keys in found.values()]
        assert sum(map(len, in_splits)) == len(set().union(*in_splits)) == 40


def test_the_parts_of_sice_are_for_training_and_testing(tmp_path: Path) -> None:
    for part, numbers in {1: range(1, 6), 2: range(1, 3)}.items():
        for number in numbers:
            touch(tmp_path, *(f"Dataset_Part{part}/{path}" for path in (f"{number}/1.JPG", f"Label/{number}.JPG")))
            touch(tmp_path, f"Dataset_Part{part}/{number}/2.JPG")
    found = images_of(planned(str(tmp_path)))
    assert found["val"] == ["Dataset_Part1/5/1.JPG", "Dataset_Part1/5/2.JPG"]
    assert found["test"] == [f"Dataset_Part2/{number}/{exposure}.JPG" for number in (1, 2) for exposure in (1, 2)]
    assert len(found["train"]) == 8


def test_sid_is_split_by_the_first_digit_of_the_scene(tmp_path: Path) -> None:
    for scene in ("00001", "10003", "20001"):
        touch(tmp_path, f"short/{scene}_00_0.1s.png", f"short/{scene}_01_0.04s.png", f"long/{scene}_00_10s.png")
    made = planned(str(tmp_path))
    assert made.rule == "layout sid: train, val and test as in the data set"
    assert images_of(made) == {
        split: [f"short/{scene}_00_0.1s.png", f"short/{scene}_01_0.04s.png"]
        for split, scene in {"train": "00001", "val": "20001", "test": "10003"}.items()
    }
    assert pairs(made)["short/10003_01_0.04s.png"] == "long/10003_00_10s.png"


def test_fivek_has_the_splits_of_any_folder(tmp_path: Path) -> None:
    for number in range(30):
        touch(tmp_path, *(f"{folder}/a{number:04}.jpg" for folder in ("input", "A", "C")))
    made = planned(str(tmp_path))
    assert made.rule == "layout fivek: by the SHA-256 of the name: train 0.8, val 0.1, test 0.1"
    assert pairs(made) == {f"input/a{number:04}.jpg": f"C/a{number:04}.jpg" for number in range(30)}
    assert (made.found, made.ignored) == (30, 30)


def test_pairs_are_taken_if_asked_for(tmp_path: Path) -> None:
    touch(
        tmp_path, "train/input/1.png", "train/target/1.jpg", "test/input/2.png", "test/target/2.png", "val/input/3.png"
    )
    touch(tmp_path, "cover.png")
    made = planned(str(tmp_path), layout="pairs")
    assert images_of(made) == {
        "train": ["train/input/1.png"], "val": ["val/input/3.png"], "test": ["test/input/2.png"]
    }  # fmt: skip
    assert pairs(made) == {
        "train/input/1.png": "train/target/1.jpg",
        "test/input/2.png": "test/target/2.png",
        "val/input/3.png": None,  # counted as an image without reference, as in LoL
    }
    assert made.ignored == 1
    plain = planned(str(tmp_path))
    assert (plain.found, set(pairs(plain).values())) == (6, {None})
    assert plain.rule.startswith("by the SHA-256 of the name")


def test_what_the_user_says_comes_before_the_layout(tmp_path: Path) -> None:
    folder = touch(tmp_path / "data", "short/00001_00_0.1s.png", "long/00001_00_10s.png")
    assert planned(folder).found == 1
    assert planned(folder, layout="plain").found == 2
    bright = touch(tmp_path / "bright", "short/00001_00_0.1s.png")
    made = planned(folder, reference=bright)  # as before there were layouts
    assert pairs(made) == {"long/00001_00_10s.png": None, "short/00001_00_0.1s.png": "short/00001_00_0.1s.png"}
    assert pairs(planned(folder, layout="sid", reference=bright)) == {
        "short/00001_00_0.1s.png": "short/00001_00_0.1s.png"
    }
    (tmp_path / "split.csv").write_text("path,split\nshort/00001_00_0.1s.png,dev\n")
    made = planned(folder, split_file=str(tmp_path / "split.csv"))
    assert (images_of(made), made.rule) == (
        {"dev": ["short/00001_00_0.1s.png"]},
        "layout sid: as listed in the split file",
    )


@pytest.mark.parametrize(
    ("layout", "paths", "message"),
    [
        ("lsrw", ["a.png"], "--layout lsrw: {} has no image such as Eval/Huawei/low/1.jpg"),
        ("sid", ["short/00001_00_0.1s.png"], "--layout sid: {} has images, but no reference such as long/00001_00_10s"),
        (
            "sice",
            ["1/1.jpg", "Label/2.jpg"],
            "--layout sice: none of the 1 references has the name of an image: an image is called 1/1.jpg, a reference "
            "Label/2.jpg",
        ),
        (
            "auto",
            ["short/00001_00_0.1s.png", "long/00001_00_10s.png", "long/00001_00_30s.png"],
            "long/00001_00_10s.png and long/00001_00_30s.png are both a reference of short/00001_00_0.1s.png; remove",
        ),
    ],
)
def test_a_folder_that_does_not_fit_is_one_line(tmp_path: Path, layout: str, paths: list[str], message: str) -> None:
    with pytest.raises(click.UsageError) as raised:
        planned(touch(tmp_path, *paths), layout=layout)
    assert message.format(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def draw(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 6, 3), value, np.uint8)).save(path)


@pytest.mark.slow
def test_the_command_pairs_and_splits_lol_v2(tmp_path: Path) -> None:
    for number in range(1, 5):
        part = "Real_captured/" + ("Test" if number == 4 else "Train")
        draw(tmp_path / f"data/{part}/Low/low{number:05}.png", number)
        if number != 3:
            draw(tmp_path / f"data/{part}/Normal/normal{number:05}.png", 100 + number)
    arguments = [str(tmp_path / "data"), str(tmp_path / "out"), "--size", "4", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "preprocess", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "split       layout lol-v2: test as in the data set" in done.stdout
    assert "references  3; 1 images have none" in done.stdout
    assert verify(tmp_path / "out") == []
    manifest = read_manifest(tmp_path / "out")
    assert {split: manifest.records(split) for split in manifest.splits} == {"train": 2, "val": 1, "test": 1}

    def value(stored: Any) -> int:
        return int(np.asarray(Image.open(io.BytesIO(stored.encoded)))[0, 0, 0])

    found = {
        record.image.filename[-6:]: (split, value(record.image), record.reference and value(record.reference))
        for split in manifest.splits
        for record in read_records(tmp_path / "out", split)
    }
    assert found == {
        "01.png": ("train", 1, 101),
        "02.png": ("train", 2, 102),
        "03.png": ("val", 3, None),
        "04.png": ("test", 4, 104),
    }
