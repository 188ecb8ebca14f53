"""The options of `zerodce preprocess`, as one object from the command line to the workers."""

import dataclasses
import re
from typing import Any

import click


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreprocessSettings:
    """How a data set is made, and how the run is done; each as `zerodce preprocess --help` explains the option.

    Attributes:
        size: Width and height of the stored images, in pixels.
        train_count: LoL: number of images, in sorted order, that are for training.
        split: Fractions such as `train=0.8,val=0.1,test=0.1`; None for the default rule.
        split_file: Path of a CSV with the columns path,split; None for the default rule.
        reference: Folder of well-exposed images; None for LoL's own, or none.
        pairs: Path of a CSV with the columns low,ref; None for references of the same names.
        resize: `stretch`, `fit` or `crop`.
        encoding: `png` or `jpeg`.
        damaged: `keep` or `reject`, of JPEG files that the decoder warns of.
        shard_records: Records in a shard, at most; None for about 64 MiB.
        max_rejected: Number of rejected images that is accepted; None for any, with exit code 1.
        workers: Threads per process; None for one a core.
        runner: Name of the Beam runner.
        beam_args: Further Beam options.
        overwrite: Whether the data set in the folder is deleted first.
        verify: Whether a finished data set is read whole, and not only counted, before it is called complete.
    """

    size: tuple[int, int]
    train_count: int
    split: str | None
    split_file: str | None
    reference: str | None
    pairs: str | None = None
    resize: str
    encoding: str
    damaged: str = "keep"
    shard_records: int | None
    max_rejected: int | None
    workers: int | None
    runner: str
    beam_args: tuple[str, ...]
    overwrite: bool
    verify: bool

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


def parse_size(text: str) -> tuple[int, int]:
    """Width and height from `256` or `320x240`.

    Raises:
        click.UsageError: It is neither.
    """
    match = re.fullmatch(r"([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?", text.strip().lower())
    if not match:
        raise click.UsageError(f"--size {text} is neither a number of pixels nor WIDTHxHEIGHT, such as 256 or 320x240")
    return int(match[1]), int(match[2] or match[1])
