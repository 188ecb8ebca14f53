"""Start, memory and size of installations of zerodce, one beside the other: what one photo costs.

    python -m venv before && before/bin/pip install zerodce==...
    python -m venv now && now/bin/pip install '.[heif,raw]'
    python -m benchmarks.start photo.jpg before/bin/zerodce now/bin/zerodce

The commands take turns. The first run of each compiles the loops over pixels into a cache of its own, which the other
runs read.
"""

import argparse
import dataclasses
import os
import statistics
import tempfile
from pathlib import Path

import rich.console
import rich.markdown

from benchmarks.enhance import Run, measured


def run(command: Path, photo: Path, cache: Path) -> Run:
    """Enhances a photo into an empty folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as folder:
        arguments = [str(command), "enhance", str(photo), str(Path(folder) / "out")]
        return measured(arguments, environment | {"NUMBA_CACHE_DIR": str(cache)})


def size(command: Path) -> float:
    """Size of the environment of a command in MB, the space on the disk."""
    environment = command.absolute().parents[1]
    return sum(path.lstat().st_blocks * 512 for path in environment.rglob("*") if not path.is_symlink()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("commands", type=Path, nargs="+", help="each the `zerodce` of an environment")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as caches:
        cache = {command: Path(caches) / str(index) for index, command in enumerate(options.commands)}
        first = {command: run(command, options.photo, cache[command]) for command in options.commands}
        later: dict[Path, list[Run]] = {command: [] for command in options.commands}
        for _ in range(options.runs):
            for command in options.commands:
                later[command].append(run(command, options.photo, cache[command]))
    lines = [
        "| | first run ever, s | later runs, s | of the first command | core s | peak memory, MB | size, MB |",
        "|---|---|---|---|---|---|---|",
    ]
    base = None
    for command in options.commands:
        wall, core, peak = (
            statistics.median(values) for values in zip(*map(dataclasses.astuple, later[command]), strict=True)
        )
        base = base or wall
        lines.append(
            f"| {command} | {first[command].seconds:.1f} | {wall:.2f} | {wall / base:.2f} | {core:.2f} | {peak:.0f} "
            f"| {size(command):.0f} |"
        )
    rich.console.Console().print(rich.markdown.Markdown("\n".join(lines)))


if __name__ == "__main__":
    main()
