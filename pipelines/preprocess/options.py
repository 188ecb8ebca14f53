"""The command `zerodce preprocess` as the command line sees it; imports nothing heavy before it runs."""

import sys
from typing import Any

import click

from pipelines.options import PLACE, silence_libraries
from pipelines.preprocess.settings import PreprocessSettings
from pipelines.settings import beam_arguments, options_of


@click.command()
@click.argument("data", type=PLACE)
@click.argument("out", type=PLACE)
@beam_arguments
@options_of(PreprocessSettings)
def preprocess(data: str, out: str, **options: Any) -> None:
    """Convert DATA, the LoL data set or a folder of images, into TFRecord shards in OUT."""
    silence_libraries()
    from pipelines.preprocess import command

    sys.exit(command.preprocess(data, out, PreprocessSettings(**options)))
