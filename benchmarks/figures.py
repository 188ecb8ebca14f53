"""Draws the figures of docs/figures.md from the tables of README and docs: `python -m benchmarks.figures docs/figures`.

A figure is a table as bars: a panel for each column, a bar for each row. So no number stands anywhere but in its table.
`figures.json` holds what was drawn.
"""

import argparse
import dataclasses
import json
import re
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parents[1]
OTHERS, OURS = "#8a9bb0", "#c4512d"
"""Colours of bars."""

LABEL_WIDTH = 34
"""Characters in a line of a label."""


@dataclasses.dataclass(frozen=True)
class Figure:
    """A table to draw.

    Attributes:
        name: Name of the file, without its extension.
        page: The page that has the table, relative to the repository.
        command: The command that measures the numbers, as the page has it.
        columns: The columns to draw, by the beginnings of their headings, and the titles of their panels.
        ours: Label of the row that stands for zerodce as shipped; None if all rows do.
        log: Columns whose panels have a logarithmic axis.
    """

    name: str
    page: str
    command: str
    columns: dict[str, str]
    ours: str | None = None
    log: tuple[str, ...] = ()


FIGURES = (
    Figure(
        "quality",
        "README.md",
        "zerodce evaluate lol --pairs docs/lol-pairs.csv",
        {
            "six LoL pairs": "six LoL pairs\nPSNR, dB: higher is better",
            "14 photos of MIT-Adobe FiveK": "14 FiveK photos\nPSNR, dB: higher is better",
            "35 dark frames": "35 dark frames\nPSNR, dB: higher is better",
        },
        ours="as shipped",
    ),
    Figure(
        "speed",
        "README.md",
        "python -m benchmarks.enhance speed --photos photos --small lol/our485/low --no-peers",
        {
            "share of the codec floor": "share of the codec floor,\nwall time: higher is better",
            "the same, core time": "share of the codec floor,\ncore time: higher is better",
            "peak memory": "peak memory, GB:\nlower is better",
        },
    ),
    Figure(
        "start",
        "README.md",
        "python -m benchmarks.start photo.jpg before/bin/zerodce now/bin/zerodce",
        {
            "later runs": "one photo, with start-up,\nseconds: lower is better",
            "peak memory": "peak memory, MB:\nlower is better",
            "size of the environment": "size of the environment,\nGB: lower is better",
        },
        ours="now",
    ),
    Figure(
        "curve-size",
        "docs/curve-size.md",
        "python -m benchmarks.curve_size lol fivek",
        {
            "six LoL pairs": "six LoL pairs\nPSNR, dB: higher is better",
            "14 FiveK pairs": "14 FiveK pairs\nPSNR, dB: higher is better",
            "estimate of a photo": "estimate of a photo,\ncore-ms: lower is better",
        },
        ours="128 (auto)",
    ),
    Figure(
        "denoising",
        "docs/denoising.md",
        "python -m benchmarks.denoise lol",
        {
            "LoL, 6 pairs": "six LoL pairs\nPSNR, dB: higher is better",
            "SICE, 107 pairs": "107 SICE pairs\nPSNR, dB: higher is better",
            "core-ms / MP": "core-ms per megapixel:\nlower is better",
        },
        ours="--denoise auto",
        log=("core-ms / MP",),
    ),
    Figure(
        "data-set",
        "docs/dataset.md",
        "python -m benchmarks.preprocess writing",
        {
            "small PNG": "small PNG, images per\nCPU second: higher is better",
            "large photos": "large photos, images per\nCPU second: higher is better",
        },
        ours="zerodce preprocess",
    ),
    Figure(
        "steps",
        "docs/profile.md",
        "python -m benchmarks.enhance profile --photos photos --small lol/our485/low",
        {
            "12 photos": "12 camera photos,\ncore-ms per megapixel",
            "the 9 dark ones": "the 9 dark ones,\ncore-ms per megapixel",
            "50 small PNG": "50 small PNG,\ncore-ms per megapixel",
        },
    ),
)


Numbers = dict[str, list[str | None]]
"""By the label of each row: the digits of a number, or None, for each column that is drawn."""


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a Markdown text: rows of cells, the headings first, without the line of dashes."""
    found = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    split = [[[cell.strip() for cell in line[1:-1].split("|")] for line in table.splitlines()] for table in found]
    return [[table[0], *table[2:]] for table in split]


def number(cell: str) -> str | None:
    """The first number of a cell, in its own unit and with its own digits; None if the cell has none."""
    match = re.search(r"\d[\d,]*\.?\d*", cell)
    return match[0].replace(",", "") if match else None


def read(figure: Figure) -> Numbers:
    """The numbers of a figure, from its table.

    Raises:
        ValueError: The page has no table with these columns, or lacks the command or the row of zerodce.
    """
    text = (ROOT / figure.page).read_text(encoding="utf-8")
    if figure.command not in text:
        raise ValueError(f"{figure.page} has no command {figure.command!r}: correct the figure {figure.name!r}")
    for headings, *rows in tables(text):
        places = [[i for i, each in enumerate(headings) if each.startswith(column)] for column in figure.columns]
        if all(places):
            columns = [place[0] for place in places]
            numbers = {re.sub(r"[*`]", "", row[0]): [number(row[column]) for column in columns] for row in rows}
            if figure.ours not in (None, *numbers):
                raise ValueError(f"the table has no row {figure.ours!r}: correct the figure {figure.name!r}")
            return numbers
    raise ValueError(f"no table of {figure.page} has the columns {list(figure.columns)}: correct {figure.name!r}")


def draw(figure: Figure, numbers: Numbers, path: Path) -> None:
    """Draws one panel of horizontal bars for each column."""
    labels = [textwrap.fill(label, LABEL_WIDTH) for label in numbers]
    colours = [OURS if label == figure.ours else OTHERS for label in numbers]
    lines = sum(label.count("\n") + 1.6 for label in labels)
    with pyplot.rc_context({"svg.hashsalt": figure.name, "svg.fonttype": "none", "font.size": 9}):
        size = (10, 0.9 + 0.17 * lines)
        drawing, panels = pyplot.subplots(1, len(figure.columns), figsize=size, sharey=True, layout="constrained")
        for index, (panel, (column, title)) in enumerate(zip(panels, figure.columns.items(), strict=True)):
            values = [row[index] for row in numbers.values()]
            bars = panel.barh(labels, [float(value or 0) for value in values], color=colours)
            panel.bar_label(bars, [value or "not measured" for value in values], padding=3)
            panel.set_title(title, fontsize=9)
            if column in figure.log:
                panel.set_xscale("symlog")  # it shows 0 too
            panel.margins(x=0.2)
            panel.xaxis.set_visible(False)
            panel.spines[["top", "right", "bottom"]].set_visible(False)
            panel.tick_params(left=False)
        panels[0].invert_yaxis()
        drawing.savefig(path, metadata={"Date": None})
        pyplot.close(drawing)


def main() -> None:
    """Draws every figure into the folder that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for figure in FIGURES:
        numbers = read(figure)
        draw(figure, numbers, folder / f"{figure.name}.svg")
        drawn[figure.name] = {
            "page": figure.page,
            "command": figure.command,
            "numbers": {
                label: {column: value and float(value) for column, value in zip(figure.columns, row, strict=True)}
                for label, row in numbers.items()
            },
        }
    (folder / "figures.json").write_text(json.dumps(drawn, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
