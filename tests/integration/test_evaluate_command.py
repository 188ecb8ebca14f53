"""`zerodce evaluate`: the numbers of real pairs and series, the files it leaves, and every mistake in one line."""

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from pipelines import evaluate
from pipelines.cli import main
from zerodce.evaluating.evaluation import METHODS, SCORES

pytestmark = pytest.mark.slow


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
    assert re.search(r"^ *mean of 6 +input +7\.97 +0\.202 +0\.00 ", result.output, re.MULTILINE)
    assert re.search(r"^ +gamma +15\.24 +0\.669 ", result.output, re.MULTILINE)
    with Image.open(tmp_path / "comparison.png") as sheet:
        assert sheet.width == (len(METHODS) + 1) * (320 + 4)  # and the reference


def test_the_list_of_the_six_lol_pairs(data: Path) -> None:
    listed = evaluate.listed_pairs(str(Path(__file__).parents[2] / "docs" / "lol-pairs.csv"), str(data / "lol"))
    found = evaluate.lol_pairs(str(data / "lol"))
    assert {(pair.low, pair.reference) for pair in listed} == {(pair.low, pair.reference) for pair in found}


def test_names_are_shown_as_they_are(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    images, names = tmp_path / "images", ["x[/bold].png", "night [edited].png", "a:cat:.png", "b\n$x$.png"]
    for name in names:
        (images / name).parent.mkdir(exist_ok=True)
        shutil.copy(images / "1_dark.png", images / name)
    with pairs.open("w", newline="") as file:
        csv.writer(file).writerows([["low", "ref"], *([name, "1_bright.png"] for name in names), ["[b].png", "2.png"]])
    result = run("--pairs", pairs, "--out", tmp_path / "out")
    assert result.exit_code == 1, result.output
    assert "[b].png: " in result.output
    for name in ("x[/bold].png", "night [edited].png", "a:cat:.png", r"b\n$x$.png"):
        assert name in result.output
    assert list(rows(tmp_path / "out"))[:4] == names


def test_pairs_of_a_list(pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("--pairs", pairs, "--out", out)
    assert result.exit_code == 0, result.output
    table = rows(out)
    assert list(table) == ["1_dark.png", "2_dark.png", "mean of 2"]
    assert list(table["1_dark.png"]) == ["path", "part", *SCORES]
    for name in SCORES:
        *values, average = (row[name] for row in table.values())
        if name.startswith(("hue", "noise")):  # no light in these images, and no block of a mean below 0.15
            assert {*values, average} == {""}
        else:
            assert float(average) == pytest.approx(np.mean([*map(float, values)]), abs=1e-4)
    dark, bright = (
        np.asarray(Image.open(pairs.parent / "images" / f"1_{side}.png"), float) for side in ("dark", "bright")
    )
    assert float(table["1_dark.png"]["psnr_input_db"]) == pytest.approx(
        10 * np.log10(255**2 / np.mean((dark - bright) ** 2)), abs=1e-4
    )
    assert all(method in result.output for method in METHODS)


@pytest.fixture
def brackets(tmp_path: Path) -> Path:
    """A list of two series of eleven and three exposures, in steps of 20, of means 0.04 to 0.82 and 0.04 to 0.2."""
    (tmp_path / "images").mkdir(exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 20, (24, 40, 3), dtype=np.uint8)
    lines = ["scene,image"]
    for scene, count in (("house", 11), ("tree", 3)):
        for stop in range(count):
            Image.fromarray(noise + np.uint8(20 * stop)).save(tmp_path / "images" / f"{scene}{stop}.png")
            lines.append(f"{scene},{scene}{stop}.png")
    (tmp_path / "brackets.csv").write_text("\n".join(lines) + "\n")
    return tmp_path / "brackets.csv"


def test_dark_images_of_a_series_against_its_fusion(brackets: Path, tmp_path: Path) -> None:
    """Means are (9.5 + 20 i) / 255: five of the first series, up to 89.5 / 255 = 0.35, are below 0.4."""
    result = run("--brackets", brackets, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    table = rows(tmp_path / "out")
    dark = [*(f"house{i}.png" for i in range(5)), *(f"tree{i}.png" for i in range(3))]
    assert list(table) == [*dark, "mean of 8"]
    assert "8 dark images of 2 scenes, 0 failed" in result.output
    for scene, used in (("house", (0, 1, 2, 4, 5, 6, 8, 9, 10)), ("tree", (0, 1, 2))):  # of 11, nine: 0, 1.25, 2.5 ...
        shots = [np.asarray(Image.open(brackets.parent / "images" / f"{scene}{i}.png")) for i in used]
        reference = np.rint(255 * np.clip(cv2.createMergeMertens(1, 1, 1).process(shots), 0, 1))
        error = np.mean((shots[0] - reference) ** 2)
        expected = 10 * np.log10(255**2 / error)
        assert float(table[f"{scene}0.png"]["psnr_input_db"]) == pytest.approx(expected, abs=1e-4)


def test_a_scene_that_cannot_be_fused_is_one_line(brackets: Path, tmp_path: Path) -> None:
    images = brackets.parent / "images"
    (images / "house7.png").write_bytes(b"no image")
    Image.new("RGB", (9, 9)).save(images / "odd.png")
    Image.new("RGB", (24, 24), "white").save(images / "bright.png")
    with brackets.open("a") as file:
        file.write("odd,tree0.png\nodd,odd.png\ngone,nowhere.png\nsnow,bright.png\n")
    result = run("--brackets", brackets, "--out", tmp_path / "out")
    assert result.exit_code == 1
    failures = [line for line in result.output.splitlines() if line.startswith("scene ")]
    assert len(failures) == 3
    assert re.fullmatch(r"scene house: .*house7\.png: not an image.*", failures[0])
    assert failures[1] == "scene odd: odd.png is 9x9, tree0.png 40x24"
    assert re.fullmatch(r"scene gone: .*nowhere\.png: No such file.*", failures[2])
    assert "3 dark images of 2 scenes, 3 failed" in result.output
    assert list(rows(tmp_path / "out")) == ["tree0.png", "tree1.png", "tree2.png", "mean of 3"]


def test_what_cannot_be_measured_is_empty(brackets: Path, tmp_path: Path) -> None:
    """Grey noise has no lights whose hue could turn."""
    result = run("--brackets", brackets, "--out", tmp_path / "out")
    table = rows(tmp_path / "out")
    assert {row["hue_input_degrees"] for row in table.values()} == {""}
    assert re.search(r"^ *mean of 8 +input( +[0-9.]+){3} +- +[0-9.]+ *$", result.output, re.MULTILINE)
    assert 0 < float(table["tree0.png"]["noise_input"]) < float(table["tree0.png"]["noise_gamma"])


def test_the_table_fits_into_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With all the methods: 100 columns, no number folded."""
    methods, scores = METHODS, SCORES
    monkeypatch.setenv("COLUMNS", "100")
    row = {"path": "our485/low/123.png", "part": "our485", **dict.fromkeys(scores, 12.34)}
    evaluate.show([row], [{**row, "path": "mean of 100"}])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    table = [line.split() for line in lines]
    assert ["our485/low/123.png", *["12.34"] * 8] in table
    for method in methods[1:]:
        assert [method, "12.34", "12.340", "12", "of", "1", "1234.00", "12.3", "12.3"] in table


def test_a_folder_of_pairs(tmp_path: Path) -> None:
    """Three pairs, one of which the model moves away from: its reference is darker than it is."""
    random = np.random.default_rng(0)
    for folder in ("input", "target"):
        (tmp_path / "pairs" / folder / "sub").mkdir(parents=True)
    for name, target in (("a.png", 3.0), ("b.png", 2.0), ("sub/c.png", 0.5)):
        pixels = random.integers(10, 60, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pairs" / "input" / name)
        Image.fromarray((pixels * target).astype(np.uint8)).save(
            (tmp_path / "pairs" / "target" / name).with_suffix(".bmp")
        )
    Image.new("RGB", (9, 9)).save(tmp_path / "pairs" / "input" / "alone.png")
    result = run("--pairs", tmp_path / "pairs", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    table = rows(tmp_path / "out")
    assert list(table) == ["a.png", "b.png", "sub/c.png", "mean of 3"]
    nearer = [float(row["psnr_model_db"]) > float(row["psnr_input_db"]) for row in list(table.values())[:3]]
    assert nearer[0]
    assert not nearer[2]
    assert [bool(float(row["nearer_model"])) for row in list(table.values())[:3]] == nearer
    assert re.search(rf"^ +model .* {sum(nearer)} of 3 ", result.output, re.MULTILINE)


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
    assert "its size is 9x9, that of its reference 30x20" in result.output
    assert "2_dark.png: not an image" in result.output
    assert "nowhere.png: No such file" in result.output
    assert "1 pairs, 3 failed" in result.output
    assert list(rows(tmp_path / "out")) == ["1_dark.png", "mean of 1"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "name the LoL folder, or a list with --pairs or --brackets"),
        (("{tmp}/nowhere",), 2, "nowhere does not exist"),
        (("{tmp}/images",), 2, "list the pairs of another folder in a CSV file for --pairs"),
        (("--pairs", "{tmp}/nowhere.csv"), 2, "nowhere.csv cannot be read"),
        (("--pairs", "{tmp}/images/1_dark.png"), 2, "is not a CSV file"),
        (("--pairs", "{tmp}/images"), 2, "contains neither the folders input and target nor low and high"),
        (("--pairs", "{tmp}/empty.csv"), 2, "does not list pairs: it needs the columns low,ref"),
        (("--pairs", "{tmp}/pairs.csv", "--model", "{tmp}/pairs.csv"), 1, "is not a model that `zerodce train` wrote"),
        (("--pairs", "{tmp}/pairs.csv", "--out", "/proc/out"), 1, "cannot be written"),
        (("--pairs", "{tmp}/pairs.csv", "--brackets", "{tmp}/bright.csv"), 2, "name one of them"),
        (("--brackets", "{tmp}/nowhere.csv"), 2, "nowhere.csv cannot be read"),
        (("--brackets", "{tmp}/pairs.csv"), 2, "does not list series of exposures: it needs the columns scene,image"),
        (("{tmp}/images", "--brackets", "{tmp}/lost.csv"), 2, "lost.png is not in {tmp}/images"),
        (("--brackets", "{tmp}/bright.csv"), 1, "none of the 1 scenes could be read and has an image of a mean below"),
    ],
)
def test_mistakes_are_one_line(
    pairs: Path, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "empty.csv").write_text("low,other\n")
    (tmp_path / "bright.csv").write_text("scene,image\n1,1_bright.png\n")
    (tmp_path / "lost.csv").write_text("scene,image\n1,lost.png\n")
    result = run(*(part.format(tmp=tmp_path) for part in arguments))
    assert result.exit_code == code, result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert message.format(tmp=tmp_path) in line
