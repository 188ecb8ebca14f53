"""What `zerodce enhance` estimates of a run, beside what the run then took: room and time.

    python -m benchmarks.estimate photos
    python -m benchmarks.estimate lol/our485/low --copies 10

The time does not count the start of the command, nor the tables and the report.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import rich.console
import rich.markdown

from benchmarks.enhance import copies_of, photos_of
from pipelines import folders, models
from pipelines.enhance import estimate
from pipelines.enhance.journal import Journal
from pipelines.enhance.photo import PhotoProcessor
from pipelines.enhance.plan import make_plan
from pipelines.enhance.settings import EnhanceSettings


def of_photos(photos: Path, out: str) -> estimate.Estimate:
    """The estimate for a run with the default options."""
    settings = EnhanceSettings()
    processor = PhotoProcessor(str(photos), out, models.read_model(None), settings, Journal(f"{out}/journal"))
    found = estimate.estimate(processor, make_plan(folders.find(str(photos)), out, settings, "", {}, []).todo.values())
    assert found is not None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("--copies", type=int, default=10, help="how often each photo counts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        photos, out = copies_of(photos_of(arguments.photos), arguments.copies, Path(folder) / "photos"), f"{folder}/out"
        expected = of_photos(photos, out)
        subprocess.run(
            [sys.executable, "-m", "pipelines.cli", "enhance", photos, out], check=True, stdout=subprocess.DEVNULL
        )
        written = sum(path.stat().st_size for path in Path(out).rglob("*") if path.is_file())
        seconds = json.loads(Path(out, "run.json").read_text())["seconds"]
    rows = (
        ("MB written", (expected.enhanced + expected.others) / 1e6, written / 1e6),
        ("seconds", expected.seconds or 0.0, seconds),
    )
    lines = ["| | estimate | truth | estimate / truth |", "|---|---|---|---|"]
    lines += [f"| {name} | {guess:.1f} | {truth:.1f} | {guess / truth:.2f} |" for name, guess, truth in rows]
    rich.console.Console().print(rich.markdown.Markdown("\n".join(lines)))


if __name__ == "__main__":
    main()
