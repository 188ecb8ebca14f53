"""The options of `zerodce preprocess` and their help."""

import sys
from typing import Any

import click

from pipelines.options import job_options, pairs_option, silence_libraries
from pipelines.preprocess.settings import PreprocessSettings, parse_size


@click.command()
@click.argument("data")
@click.argument("out")
@job_options
@click.option(
    "--size",
    default="256",
    show_default=True,
    callback=lambda context, parameter, value: parse_size(value),
    help="Pixels, or WIDTHxHEIGHT.",
)
@click.option(
    "--train-count",
    type=click.IntRange(1),
    default=400,
    show_default=True,
    help="LoL: how many images, in sorted order, are for training.",
)
@click.option("--split", help="Any folder: train=0.8,val=0.1,test=0.1, by a stable hash of the name.")
@click.option("--split-file", help="CSV with the columns path,split.")
@click.option("--reference", help="Folder of well-exposed images of the same names.")
@pairs_option
@click.option(
    "--resize",
    type=click.Choice(["stretch", "fit", "crop"]),
    default="stretch",
    show_default=True,
    help="How an image of another shape comes to the size; fit keeps its shape, so a side may be shorter.",
)
@click.option("--encoding", type=click.Choice(["png", "jpeg"]), default="png", show_default=True)
@click.option(
    "--damaged",
    type=click.Choice(["keep", "reject"]),
    default="keep",
    show_default=True,
    help="JPEG files that the decoder warns of: keep what it makes of them, or reject them.",
)
@click.option("--shard-records", type=click.IntRange(1), help="Records in a shard.  [default: about 64 MiB]")
@click.option(
    "--max-rejected",
    type=click.IntRange(0),
    help="Accept so many unreadable images, and fail if there are more.  [default: accept any, but exit with 1]",
)
@click.option(
    "--verify", is_flag=True, help="Read all of a finished data set, and make again what is not as it was made."
)
def preprocess(data: str, out: str, **options: Any) -> None:
    """Convert DATA, the LoL data set or a folder of images, into TFRecord shards in OUT."""
    silence_libraries()
    from pipelines.preprocess import command

    sys.exit(command.preprocess(data, out, PreprocessSettings(**options)))
