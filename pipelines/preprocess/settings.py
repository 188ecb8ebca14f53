"""The options of `zerodce preprocess` and their help, as one object from the command line to the workers."""

import dataclasses
import re
from typing import Any

import click

from pipelines.layouts import AUTO, LAYOUTS, PLAIN
from pipelines.options import PLACE
from pipelines.settings import JobSettings, option


def parse_size(text: str) -> tuple[int, int]:
    """Width and height from `256` or `320x240`.

    Raises:
        click.UsageError: It is neither.
    """
    match = re.fullmatch(r"([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?", text.strip().lower())
    if not match:
        raise click.UsageError(f"--size {text} is neither a number of pixels nor WIDTHxHEIGHT, such as 256 or 320x240")
    return int(match[1]), int(match[2] or match[1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreprocessSettings(JobSettings):
    """How a data set is made, and how the run is done. Each field is an option of `zerodce preprocess`.

    Attributes:
        size: Width and height, in pixels.
        reference: None is for those of the layout, or none.
    """

    size: tuple[int, int] = option("256", type=parse_size, metavar="TEXT", help="Pixels, or WIDTHxHEIGHT.")
    layout: str = option(
        AUTO,
        type=click.Choice([AUTO, PLAIN, *LAYOUTS]),
        help="Folders and names of DATA, which say the pairs and splits. auto: the layout whose folders DATA has and "
        "nothing else, or LoL, or else plain. plain: every image is one to convert. docs/dataset.md shows all layouts.",
    )
    train_count: int = option(
        400, type=click.IntRange(1), help="LoL: how many images, in sorted order, are for training."
    )
    split: str | None = option(None, help="Any folder: train=0.8,val=0.1,test=0.1, by a stable hash of the name.")
    split_file: str | None = option(None, type=PLACE, help="CSV with the columns path,split.")
    reference: str | None = option(None, type=PLACE, help="Folder of well-exposed images of the same names.")
    resize: str = option(
        "stretch",
        type=click.Choice(["stretch", "fit", "crop"]),
        help="How an image of another shape comes to the size; fit keeps its shape, so a side may be shorter.",
    )
    encoding: str = option("png", type=click.Choice(["png", "jpeg"]))
    damaged: str = option(
        "keep",
        type=click.Choice(["keep", "reject"]),
        help="JPEG files that the decoder warns of: keep what it makes of them, or reject them.",
    )
    shard_records: int | None = option(
        None, type=click.IntRange(1), help="Records in a shard.  [default: about 64 MiB]"
    )
    max_rejected: int | None = option(
        None,
        type=click.IntRange(0),
        help="Accept so many unreadable images, and fail if there are more.  [default: accept any, but exit with 1]",
    )
    verify: bool = option(False, help="Read all of a finished data set, and make again what is not as it was made.")

    def decisive(self, split_rule: str) -> dict[str, Any]:
        """All that the shards depend on besides the images, as `manifest.json` holds it."""
        return {
            "size": f"{self.size[0]}x{self.size[1]}",
            "resize": self.resize,
            "encoding": self.encoding,
            "split_rule": split_rule,
            "shard_records": self.shard_records,
            # None for the default, as in a manifest of an older version
            "damaged": None if self.damaged == "keep" else self.damaged,
        }
