"""The `zerodce` command line: options and their help. Everything heavy is imported inside the command it serves."""

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

import click

_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GRPC_VERBOSITY": "ERROR",
    "KERAS_BACKEND": "tensorflow",
}


def _silence_libraries() -> None:
    """Keeps the terminal for what the command says: native libraries (TensorFlow, libtiff) write to nowhere.

    What Python writes to standard error still appears. To be called before anything heavy is imported.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger().setLevel(logging.CRITICAL)  # what concerns a user is an error row, not a log line
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


class _OneLineErrors(click.Group):
    """Says what is wrong in one line, without the lines on usage before it; interrupted, it exits with 130."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            error.ctx = None
            raise
        except KeyboardInterrupt:  # before the command itself took care of it
            click.echo("Interrupted.", err=True)
            sys.exit(130)


@click.group(
    cls=_OneLineErrors, context_settings={"auto_envvar_prefix": "ZERODCE", "help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="zerodce")
def main() -> None:
    """Bring light into archives of dark photos."""


class WordOrNumber(click.ParamType):
    """A number of a type, or one of some words."""

    name = "value"

    def __init__(self, number: click.ParamType, *words: str) -> None:
        self.number = number
        self.words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in self.words:
            return value
        try:
            number = self.number.convert(value, param, ctx)
            if number != number:  # a range holds no NaN, but click lets it pass
                raise click.BadParameter(f"{value!r} is not a number.")
            return number
        except click.BadParameter as error:
            self.fail(f"{error.message} Or use {' or '.join(self.words)}.", param, ctx)


def _job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What both Beam jobs take."""
    for decorate in (
        click.argument("beam_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM OPTIONS]"),
        click.option("--overwrite", is_flag=True, help="Start anew instead of going on from what OUT holds."),
        click.option(
            "--workers",
            type=click.IntRange(1),
            help="Threads per process.  [default: one for each core]",
        ),
        click.option(
            "--runner",
            default="DirectRunner",
            show_default=True,
            help="DirectRunner (this machine), FlinkRunner, DataflowRunner, ... Their options follow `--`.",
        ),
    ):
        command = decorate(command)
    return command


def _curve_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How a model is applied to a photo."""
    for decorate in (
        click.option(
            "--denoise",
            type=WordOrNumber(click.FloatRange(0, 10), "auto", "off"),
            default="auto",
            show_default=True,
            metavar="auto|off|STRENGTH",
            help="Take out the noise that brightening adds; STRENGTH multiplies what auto takes out.",
        ),
        click.option(
            "--exposure",
            type=WordOrNumber(click.FloatRange(0, 1), "auto"),
            default="auto",
            show_default=True,
            metavar="auto|VALUE",
            help="The mean brightness aimed at, 0 to 1. A well-exposed photo stays as it is, and night stays night.",
        ),
        click.option(
            "--curve-size",
            type=WordOrNumber(click.IntRange(16), "auto", "full"),
            default="auto",
            show_default=True,
            help="Where the curves are estimated: auto, full (every pixel; slow), or the long side in PIXELS.",
        ),
    ):
        command = decorate(command)
    return command


@main.command()
@click.argument("photos")
@click.argument("out")
@_job_options
@click.option("--model", help="A model.keras that `zerodce train` wrote.  [default: the shipped weights]")
@click.option("--reference", help="Folder of well-exposed photos of the same names, for PSNR and SSIM.")
@_curve_options
@click.option(
    "--no-autocontrast",
    "autocontrast",
    is_flag=True,
    flag_value=False,
    default=True,
    help="Leave out the PIL-autocontrast baselines.",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["JPEG", "PNG", "WebP", "TIFF", "BMP", "JPEG2000", "AVIF"], case_sensitive=False),
    help="Write all photos in this format.  [default: each its own, where it can be written]",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    help="JPEG, WebP and AVIF quality.  [default: about the original's]",
)
@click.option("--strip-metadata", is_flag=True, help="Drop EXIF, ICC profile, XMP, DPI and the file time.")
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=500_000_000,
    show_default=True,
    help="Refuse larger photos before they are decoded.",
)
@click.option("--max-failures", type=click.IntRange(0), help="Stop once more photos than this have failed.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Progress and result as JSON lines on standard output.")
def enhance(**options: Any) -> None:
    """Enhance PHOTOS, a folder or one photo, into OUT."""
    _silence_libraries()
    from pipelines import enhance as job

    sys.exit(job.enhance(**options))


@main.command()
@click.argument("data")
@click.argument("out")
@_job_options
@click.option("--size", default="256", show_default=True, help="Pixels, or WIDTHxHEIGHT.")
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
@click.option(
    "--resize",
    type=click.Choice(["stretch", "fit", "crop"]),
    default="stretch",
    show_default=True,
    help="How an image of another shape comes to the size; fit keeps its shape, so a side may be shorter.",
)
@click.option("--encoding", type=click.Choice(["png", "jpeg"]), default="png", show_default=True)
@click.option("--shard-records", type=click.IntRange(1), help="Records in a shard.  [default: about 64 MiB]")
@click.option(
    "--max-rejected",
    type=click.IntRange(0),
    help="Accept so many unreadable images, and fail if there are more.  [default: accept any, but exit with 1]",
)
def preprocess(**options: Any) -> None:
    """Convert DATA, the LoL data set or a folder of images, into TFRecord shards in OUT."""
    _silence_libraries()
    from pipelines import preprocess as job

    sys.exit(job.preprocess(**options))


@main.command()
@click.argument("out")
@click.option("--url", help="Where the archive is instead of the project's drive.")
@click.option("--sha256", help="Refuse an archive with another SHA-256.")
def download(**options: Any) -> None:
    """Download the LoL data set into OUT, ready for `preprocess`; an interrupted download goes on."""
    _silence_libraries()
    from pipelines import download as job

    sys.exit(job.download(**options))


@main.command()
@click.argument("dataset")
@click.argument("out")
@click.option("--epochs", type=click.IntRange(1), default=100, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True)
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=1e-4, show_default=True)
@click.option(
    "--recipe",
    type=click.Choice(["default", "paper", "original"]),
    default="default",
    show_default=True,
    help="The losses and their weights; README.md says why the write-up's original is not the default.",
)
@click.option(
    "--schedule",
    type=click.Choice(["constant", "cosine"]),
    default="constant",
    show_default=True,
    help="What the learning rate does; cosine: falls to 0 at the end.",
)
@click.option("--crop", type=click.IntRange(16), help="Train on random squares of so many pixels.")
@click.option("--no-flip", "flip", is_flag=True, flag_value=False, default=True, help="Do not mirror images at random.")
@click.option("--shuffle-channels", is_flag=True, help="Exchange red, green and blue at random: no colour is favoured.")
@click.option(
    "--average",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.999,
    show_default=True,
    help="Momentum of the average of the weights that is validated and kept; 0: the weights themselves.",
)
@click.option(
    "--monitor",
    type=click.Choice(["total_loss", "psnr", "ssim"]),
    default="total_loss",
    show_default=True,
    help="What picks the best epoch on the validation images; PSNR and SSIM need references.",
)
@click.option("--patience", type=click.IntRange(1), help="Stop after so many epochs without a better one.")
@click.option("--seed", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--mixed-precision",
    type=click.Choice(["auto", "bfloat16", "off"]),
    default="auto",
    show_default=True,
    help="auto: bfloat16 where the processor multiplies it by itself.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in OUT where it was broken off.")
@click.option("--overwrite", is_flag=True, help="Delete the run in OUT, and start anew.")
def train(**options: Any) -> None:
    """Train a model on DATASET, which `preprocess` wrote, and leave it in OUT."""
    _silence_libraries()
    from pipelines import train as job

    sys.exit(job.train(**options))


@main.command()
@click.argument("lol", required=False)
@click.option(
    "--pairs",
    help="CSV with the columns low,ref instead of the LoL layout; its paths are relative to LOL or, without it, to "
    "the CSV's folder or `images` beside it.",
)
@click.option(
    "--brackets",
    help="CSV with the columns scene,image: series of exposures, in order. The reference of each dark image is the "
    "exposure fusion of its scene. Paths as for --pairs.",
)
@click.option("--out", default="evaluation", show_default=True, help="Folder for evaluation.csv and comparison.png.")
@click.option("--model", help="A model.keras that `zerodce train` wrote.  [default: the shipped weights]")
@_curve_options
def evaluate(**options: Any) -> None:
    """Compare with the well-exposed images of LOL, the LoL data set or a part of it, at native size.

    PSNR and SSIM of the input as it is, autocontrast, gamma 0.4 and the model, nothing matched in brightness; and what
    brightening does: the share of pixels newly clipped, by how many degrees the hue of bright saturated pixels turns,
    and the noise in flat dark places, a standard deviation in steps of 1/255.
    """
    _silence_libraries()
    from pipelines import evaluate as job

    sys.exit(job.evaluate(**options))


@main.group()
def records() -> None:
    """Look into a data set that `preprocess` wrote."""


@records.command("inspect")
@click.argument("dataset")
def records_inspect(dataset: str) -> None:
    """Print splits, counts, sizes, keys and a few rows of DATASET."""
    _silence_libraries()
    from pipelines import records as tools

    tools.inspect(dataset)


@records.command("verify")
@click.argument("dataset")
@click.option("--workers", type=click.IntRange(1), help="Images decoded at a time.  [default: one for each core]")
def records_verify(dataset: str, workers: int | None) -> None:
    """Read every byte of DATASET: checksums, counts, records, images. Exits with 1 if anything is wrong."""
    _silence_libraries()
    from pipelines import records as tools

    sys.exit(tools.check(dataset, workers))


@records.command("stats")
@click.argument("dataset")
@click.option("--out", help="Folder for statistics.json and statistics.png.  [default: DATASET]")
@click.option("--workers", type=click.IntRange(1), help="Images decoded at a time.  [default: one for each core]")
def records_stats(dataset: str, out: str | None, workers: int | None) -> None:
    """Histograms of brightness and size of each split of DATASET, as numbers and as a picture."""
    _silence_libraries()
    from pipelines import records as tools

    tools.stats(dataset, out, workers)


@records.command("export")
@click.argument("dataset")
@click.option("--out", help="Folder for the images.  [default: DATASET/export]")
@click.option("--sheet", is_flag=True, help="A contact sheet of each split as well.")
def records_export(dataset: str, out: str | None, sheet: bool) -> None:
    """Write the images of DATASET as files again."""
    _silence_libraries()
    from pipelines import records as tools

    tools.export(dataset, out, sheet)


if __name__ == "__main__":
    main()
