"""References are found by name or in a list, and two for one image are refused."""

from pathlib import Path

import click
import pytest

from pipelines import references
from pipelines.references import AmbiguousReferenceError


def test_references_have_the_same_name_or_another_extension() -> None:
    found = references.match_references(["a/1.png", "a/2.png", "3.png"], ["a/1.png", "a/1.jpg", "a/2.JPG", "b/3.png"])
    assert found == {"a/1.png": "a/1.png", "a/2.png": "a/2.JPG"}


def test_two_references_for_an_image_are_refused() -> None:
    with pytest.raises(AmbiguousReferenceError, match=r"1\.bmp and 1\.jpg are both a reference of 1\.png; remove one"):
        references.match_references(["1.png"], ["1.jpg", "1.bmp"])


def test_names_of_lol_v2_match_but_for_the_word_in_front() -> None:
    keys = ["Low/low00001.png", "low00001.png", "low-2.png", "lowlands.png"]
    bright = ["normal00001.png", "normal_2.jpg", "highlands.png"]
    assert references.match_references(keys, bright) == {"low00001.png": "normal00001.png", "low-2.png": "normal_2.jpg"}
    assert references.match_references(["low1.png"], ["low1.jpg", "normal1.png"]) == {"low1.png": "low1.jpg"}
    with pytest.raises(AmbiguousReferenceError, match=r"high1.png and normal1.png are both a reference of low1.png"):
        references.match_references(["low1.png"], ["normal1.png", "high1.png"])


def test_pairs_of_a_list(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("scene,ref,low\n1,c.png,a.png\n1,c.png,b.png\n2,d.png,left out.png\n")
    assert references.read_pairs(str(path)) == [
        (2, "a.png", "c.png"),
        (3, "b.png", "c.png"),
        (4, "left out.png", "d.png"),
    ]
    keys, bright = ["a.png", "b.png", "e.png"], ["c.png", "d.png"]
    matched = references.match_pairs(str(path), keys, bright, lambda name: name == "left out.png")
    assert matched == {"a.png": "c.png", "b.png": "c.png"}
    for known, wrong in ((keys, ["c.png"]), (["a.png"], bright)):
        with pytest.raises(click.UsageError, match=r"pairs\.csv, line \d: .*\.png is not among the"):
            references.match_pairs(str(path), known, wrong, lambda name: False)


def test_an_image_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("low,ref\na.png,b.png\nc.png,b.png\na.png,b.png\n")
    with pytest.raises(click.UsageError, match=r"line 4: a\.png already has a reference in line 2"):
        references.read_pairs(str(tmp_path / "pairs.csv"))
