"""The documentation site builds without a warning, its tutorial runs, its figures show the numbers of the tables."""

import json
import os
import re
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from sphinx.util.inventory import InventoryFile

import tfrecord_tools
import zerodce
from benchmarks import figures
from benchmarks.scenes import balls, photograph, render

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SCRIPTS = Path(sys.executable).parent
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Runs the command of `make docs` on another source folder, into another site."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    planned = subprocess.run(
        ["make", "-n", "docs"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    program, *arguments = shlex.split(planned.stdout.splitlines()[-1])
    assert program == ".venv/bin/python"
    assert arguments[-4:] == ["-c", "docs", ".", "out/site"]
    return subprocess.run(
        [sys.executable, *arguments[:-4], "-c", str(DOCS), str(source), str(site)],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


class Links(HTMLParser):
    """What the links of a page lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.targets += [value for name, value in attrs if name in ("href", "src") and value]


@pytest.mark.slow
def test_every_page_is_there(site: Path) -> None:
    sources = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), DOCS / "commands.rst"]
    assert len(sources) > 15
    assert [source for source in sources if not (site / source.relative_to(ROOT)).with_suffix(".html").exists()] == []
    assert 'url=docs/index.html"' in (site / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_public_name_has_an_entry(site: Path) -> None:
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    entries = {name for kind in inventory.data.values() for name in kind}
    assert {f"zerodce.{name}" for name in zerodce.__all__} - entries == set()
    assert {f"tfrecord_tools.{name}" for name in tfrecord_tools.__all__} - entries == set()


@pytest.mark.slow
def test_every_option_has_an_entry(site: Path) -> None:
    page = (site / "docs/commands.html").read_text(encoding="utf-8")
    assert {f'id="cmdoption-zerodce-{option}"' in page for option in ("enhance-look", "train-recipe")} == {True}


@pytest.mark.slow
def test_diagrams_are_drawn_not_quoted(site: Path) -> None:
    drawn = sum(path.read_text(encoding="utf-8").count('class="mermaid"') for path in site.rglob("*.html"))
    assert drawn == sum(path.read_text(encoding="utf-8").count("```mermaid") for path in DOCS.glob("*.md")) > 0


@pytest.mark.slow
def test_links_to_other_sites_are_well_formed(site: Path) -> None:
    """Whether they lead anywhere is not asked: tests have no network."""
    outside = set()
    for page in site.rglob("*.html"):
        links = Links()
        links.feed(page.read_text(encoding="utf-8"))
        outside |= {
            target for target in links.targets if re.match(r"\w+:|//", target) and not target.startswith("data:")
        }
    assert any("arxiv.org" in target for target in outside)
    wrong = [
        target
        for target in outside
        if urlsplit(target).scheme != "https"
        or not re.fullmatch(r"[\w-]+(\.[\w-]+)+", urlsplit(target).netloc)
        or re.search(r"[\s<>]", target)
    ]
    assert wrong == []


@pytest.mark.slow
def test_a_dead_link_fails_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Title\n\n[there](#title) [nowhere](nowhere.md) [gone](#gone)\n")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    assert "not found: 'nowhere.md'" in done.stderr
    assert "not found: 'gone'" in done.stderr
    assert "'title'" not in done.stderr


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A folder with the photos of which the tutorial speaks."""
    light = render(balls(7), 96, 64)
    for number in range(1, 25):
        exposures = {"night": 0.03, "long-exposure": 0.6} if number <= 6 else {"night": 0.03}
        for folder, exposure in exposures.items():
            (tmp_path / folder).mkdir(exist_ok=True)
            photo = photograph(np.roll(light, 4 * number, axis=1), exposure, number)
            Image.fromarray(photo).save(tmp_path / folder / f"IMG_{number:04}.jpg")
    return tmp_path


def installs(block: str) -> bool:
    return "pip install" in block


def run(kind: str, block: str, folder: Path) -> str:
    """What a block of the tutorial prints, without repeated blanks."""
    program = {"": ["bash", "-e", "-c"], "python": [sys.executable, "-c"]}[kind]
    environment = os.environ | {
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "120",
    }
    done = subprocess.run([*program, block], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return re.sub(r"[ \t]+", " ", done.stdout + done.stderr)


@pytest.mark.slow
def test_the_tutorial_runs(scratch: Path) -> None:
    """Each line that the tutorial shows as output is printed by the commands before it; `...` stands for anything."""
    blocks = BLOCK.findall((DOCS / "tutorial.md").read_text(encoding="utf-8"))
    assert {kind for kind, _ in blocks} == {"", "text", "python"}
    printed = ""
    for kind, block in blocks:
        if kind != "text":
            printed = "" if installs(block) else run(kind, block, scratch)
            continue
        for line in block.splitlines():
            wanted = r".*".join(re.escape(re.sub(r" +", " ", part)) for part in line.split("..."))
            assert re.search(wanted, printed), f"{line!r} is not in:\n{printed}"
    enhanced = np.asarray(Image.open(scratch / "from-python.png"))
    assert enhanced.mean() > 2 * np.asarray(Image.open(scratch / "night/IMG_0001.jpg")).mean()
    assert len(list((scratch / "mine/enhanced").iterdir())) == 25
    assert (scratch / "compared-mine/comparison.png").exists()


def test_the_tutorial_installs_extras_that_exist() -> None:
    blocks = [block for _, block in BLOCK.findall((DOCS / "tutorial.md").read_text("utf-8")) if installs(block)]
    wanted = {name for block in blocks for names in re.findall(r"\.\[([\w,]+)\]", block) for name in names.split(",")}
    assert wanted == {"heif", "raw", "train"}
    assert wanted <= set(re.findall(r"^([\w-]+) = \[", (ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE))


def test_the_figures_show_the_numbers_of_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["figures", str(tmp_path)])
    figures.main()
    drawn = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert drawn["curve-size"]["numbers"]["128 (auto)"] == {
        "six LoL pairs": 22.18,
        "14 FiveK pairs": 21.02,
        "estimate of a photo": 15,
    }
    assert drawn["quality"]["numbers"]["the paper's released weights"]["35 dark frames"] is None
    shipped = DOCS / "figures"
    stale = "a table has changed: run `python -m benchmarks.figures docs/figures`"
    assert json.loads((shipped / "figures.json").read_text(encoding="utf-8")) == drawn, stale
    page = (DOCS / "figures.md").read_text(encoding="utf-8")
    for figure in figures.FIGURES:
        assert f"(figures/{figure.name}.svg)" in page
        assert figure.command in page
        for folder in (shipped, tmp_path):
            text = (folder / f"{figure.name}.svg").read_text(encoding="utf-8")
            shown = {each for row in figures.read(figure).values() for each in row if each}
            assert {each for each in shown if f">{each}</text>" not in text} == set()


def test_a_number_is_read_from_a_cell_as_it_stands() -> None:
    cells = ["22.18 / .821", "**0.87 GB**", "0.85 GB", "1,111", "45 core-ms", "not measured", ""]
    assert [figures.number(cell) for cell in cells] == ["22.18", "0.87", "0.85", "1111", "45", None, None]
    assert figures.tables("text\n| a | b |\n|---|---|\n| 1 | 2 / 3 |\n\n| c |\n|---|\n") == [
        [["a", "b"], ["1", "2 / 3"]],
        [["c"]],
    ]
