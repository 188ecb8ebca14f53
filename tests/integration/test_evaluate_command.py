"""`zerodce evaluate`: the numbers of real pairs, the files it leaves, and every mistake in one line."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from pipelines.cli import main
from zerodce.evaluation import METHODS, SCORES


@pytest.fixture(scope="module", autouse=True)
def shared_terminal() -> Iterator[None]:
    """The commands run in this process, whose standard error is not theirs to take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.cli.silence_libraries", lambda: None)
        yield


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "evaluation.csv").open(newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """A list of two pairs, with the images in `images` beside it; the second image is a third as bright."""
    random = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in (1, 2):
        pixels = random.integers(90, 240, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}_bright.png")
        Image.fromarray(pixels // 3).save(tmp_path / "images" / f"{number}_dark.png")
    (tmp_path / "pairs.csv").write_text("scene,low,ref\n1,1_dark.png,1_bright.png\n2,2_dark.png,2_bright.png\n")
    return tmp_path / "pairs.csv"


def test_the_six_lol_pairs(data: Path, tmp_path: Path) -> None:
    """The scores of the methods without a model were measured independently, with float images."""
    result = run(data / "lol", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    table = rows(tmp_path)
    assert list(table) == [
        "eval15/low/493.png", "eval15/low/547.png", "our485/low/2.png", "our485/low/5.png", "our485/low/6.png",
        "our485/low/9.png", "mean of 2", "mean of 4", "mean of 6",
    ]  # fmt: skip
    mean = table["mean of 6"]
    for method, psnr, ssim in (("input", 7.97, 0.202), ("autocontrast", 14.83, 0.510), ("gamma", 15.24, 0.670)):
        assert float(mean[f"psnr_{method}_db"]) == pytest.approx(psnr, abs=0.006)
        assert float(mean[f"ssim_{method}"]) == pytest.approx(ssim, abs=0.001)
    assert "7.97 / 0.202" in result.output
    with Image.open(tmp_path / "comparison.png") as sheet:
        assert sheet.width == 5 * (320 + 4)


def test_pairs_of_a_list(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("--pairs", pairs, "--out", out)
    assert result.exit_code == 0, result.output
    table = rows(out)
    assert list(table) == ["1_dark.png", "2_dark.png", "mean of 2"]
    assert list(table["1_dark.png"]) == ["path", "part", *SCORES]
    for name in SCORES:
        values = [float(table[f"{number}_dark.png"][name]) for number in (1, 2)]
        assert float(table["mean of 2"][name]) == pytest.approx(np.mean(values), abs=1e-4)
    dark, bright = (
        np.asarray(Image.open(pairs.parent / "images" / f"1_{side}.png"), float) for side in ("dark", "bright")
    )
    assert float(table["1_dark.png"]["psnr_input_db"]) == pytest.approx(
        10 * np.log10(255**2 / np.mean((dark - bright) ** 2)), abs=1e-4
    )
    assert all(method in result.output for method in METHODS)


def test_the_folder_of_the_list_can_be_named(pairs: Path, tmp_path: Path) -> None:
    (pairs.parent / "images").rename(tmp_path / "elsewhere")
    lost = run("--pairs", pairs, "--out", tmp_path / "out")
    assert lost.exit_code == 2
    assert "name the folder of the images" in lost.output
    assert run(tmp_path / "elsewhere", "--pairs", pairs, "--out", tmp_path / "out").exit_code == 0


def test_pairs_that_cannot_be_scored_are_named_and_left_out(pairs: Path, tmp_path: Path) -> None:
    (pairs.parent / "images" / "2_dark.png").write_bytes(b"no image")
    Image.new("RGB", (9, 9)).save(pairs.parent / "images" / "3.png")
    with pairs.open("a") as file:
        file.write("3,3.png,1_bright.png\n4,nowhere.png,1_bright.png\n")
    result = run("--pairs", pairs, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "it is 9x9, its reference 30x20" in result.output
    assert "2_dark.png: not an image" in result.output
    assert "nowhere.png: No such file" in result.output
    assert "1 pairs, 3 failed" in result.output
    assert list(rows(tmp_path / "out")) == ["1_dark.png", "mean of 1"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "name the LoL folder, or a list with --pairs"),
        (("{tmp}/nowhere",), 2, "nowhere does not exist"),
        (("{tmp}/images",), 2, "list the pairs of another in a CSV file for --pairs"),
        (("--pairs", "{tmp}/nowhere.csv"), 2, "nowhere.csv cannot be read"),
        (("--pairs", "{tmp}/images/1_dark.png"), 2, "is not a CSV file"),
        (("--pairs", "{tmp}/empty.csv"), 2, "does not list pairs: it needs the columns low,ref"),
        (("--pairs", "{tmp}/pairs.csv", "--model", "{tmp}/pairs.csv"), 1, "is not a model that `zerodce train` wrote"),
        (("--pairs", "{tmp}/pairs.csv", "--out", "/proc/out"), 1, "cannot be written"),
    ],
)
def test_mistakes_are_one_line(
    pairs: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "empty.csv").write_text("low,other\n")
    result = run(*(part.format(tmp=tmp_path) for part in arguments))
    assert result.exit_code == code, result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert message in line
