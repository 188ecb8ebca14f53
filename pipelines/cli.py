"""The `zerodce` command line: commands, options and their help. Everything heavy is imported inside the command."""

import os
import signal
import sys
from typing import Any

import click

from pipelines.enhance.options import enhance
from pipelines.options import open_standard_streams, silence_libraries, standard_output
from pipelines.preprocess.options import preprocess
from pipelines.settings import Application, options_of

_NO_READER = 141
"""Exit code where the reader of standard output has gone: what a shell shows for SIGPIPE."""

EXTRAS = {
    "tensorflow": ("TensorFlow", "train"),
    "keras": ("Keras", "train"),
    "matplotlib": ("Matplotlib", "train"),
    "gdown": ("gdown", "lol"),
}
"""What some commands need besides: module, its name, and the extra that brings it."""


def _printable(line: str) -> str:
    """A line of an error: names in it may hold what steers a terminal."""
    from tfrecord_tools.records import printable

    return printable(line)


class _OneLineErrors(click.Group):
    """Says what is wrong in one line, without the lines on usage before it; interrupted, it exits with 130."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        open_standard_streams()
        try:
            with standard_output():
                return super().main(*args, **kwargs)
        finally:
            try:
                sys.stderr.flush()
            except OSError:  # a full disk: Python would end with 120, whatever the command returns
                sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (what is left to print has no place)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            if isinstance(error, click.UsageError):
                error.ctx = None
            error.message = "\n".join(map(_printable, error.message.split("\n")))  # type: ignore[misc]
            raise
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in EXTRAS:
                raise
            package, extra = EXTRAS[missing]
            raise click.ClickException(f"{package} is not installed: pip install 'zerodce[{extra}]'") from error
        except BrokenPipeError:
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (what is left to print has no reader)
            sys.exit(_NO_READER)
        except KeyboardInterrupt:  # before the command itself took care of it
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a signal to the group arrives twice
            click.echo("Interrupted.", err=True)
            sys.exit(130)


@click.group(
    cls=_OneLineErrors, context_settings={"auto_envvar_prefix": "ZERODCE", "help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="zerodce")
def main() -> None:
    """Bring light into archives of dark photos."""


main.add_command(enhance)
main.add_command(preprocess)


@main.command()
@click.argument("out")
@click.option("--url", help="Where the archive is instead of the project's drive.")
@click.option("--sha256", help="Refuse an archive with another SHA-256.")
def download(out: str, url: str | None, sha256: str | None) -> None:
    """Download the LoL data set into OUT, ready for `preprocess`; an interrupted download goes on."""
    silence_libraries()
    from pipelines import download as job

    sys.exit(job.download(out, url=url, sha256=sha256))


@main.command()
@click.argument("dataset")
@click.argument("out")
@click.option("--epochs", type=click.IntRange(1), default=100, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True)
@click.option(
    "--learning-rate", type=click.FloatRange(0, min_open=True), help="Of Adam.  [default: 2e-3 for fusion, else 1e-4]"
)
@click.option(
    "--recipe",
    type=click.Choice(["fusion", "six", "paper", "original", "default"]),
    default="fusion",
    show_default=True,
    help="The network, its losses and their weights. fusion: that of the shipped weights; six was once called default; "
    "README.md has all.",
)
@click.option(
    "--schedule",
    type=click.Choice(["constant", "cosine"]),
    help="What the learning rate does; cosine: falls to 0 at the end.  [default: cosine for fusion, else constant]",
)
@click.option("--crop", type=click.IntRange(16), help="Train on random squares of so many pixels.")
@click.option("--no-flip", "flip", is_flag=True, flag_value=False, default=True, help="Do not mirror images at random.")
@click.option(
    "--shuffle-channels/--no-shuffle-channels",
    default=None,
    help="Exchange red, green and blue at random: no colour is favoured.  [default: for fusion]",
)
@click.option(
    "--average",
    type=click.FloatRange(0, 1, max_open=True),
    help="Momentum of the average of the weights that is validated and kept; 0: the weights themselves.  "
    "[default: 0.98 for fusion, else 0.999]",
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
def train(
    dataset: str, out: str, recipe: str, mixed_precision: str, resume: bool, overwrite: bool, **options: Any
) -> None:
    """Train a model on DATASET, which `preprocess` wrote, and leave it in OUT."""
    silence_libraries()
    from pipelines import train as job
    from zerodce.recipes import OF_RECIPE, RECIPES
    from zerodce.training import run as training

    dtype = {"auto": training.fastest_dtype(), "bfloat16": "mixed_bfloat16", "off": "float32"}[mixed_precision]
    chosen = RECIPES["six" if recipe == "default" else recipe]
    options |= {name: getattr(chosen, name) for name in OF_RECIPE if options[name] is None}
    settings = training.TrainingSettings(recipe=chosen, dtype=dtype, **options)
    sys.exit(job.train(dataset, out, settings, resume=resume, overwrite=overwrite))


@main.command()
@click.argument("lol", required=False)
@click.option(
    "--pairs",
    help="Instead of the LoL layout: a folder with `input` and `target` (or `low` and `high`) in it; or a CSV with the "
    "columns low,ref, whose paths are relative to LOL or, without it, to the CSV's folder or `images` beside it.",
)
@click.option(
    "--brackets",
    help="CSV with the columns scene,image: series of exposures, in order. The reference of each dark image is the "
    "exposure fusion of its scene. Paths as for --pairs.",
)
@click.option("--out", default="evaluation", show_default=True, help="Folder for evaluation.csv and comparison.png.")
@click.option("--model", help="A model.keras that `zerodce train` wrote.  [default: the shipped weights]")
@options_of(Application)
def evaluate(lol: str | None, **options: Any) -> None:
    """Compare with the well-exposed images of LOL, the LoL data set or a part of it, at native size.

    PSNR and SSIM of the input as it is, autocontrast, gamma 0.4 and the model, nothing matched in brightness; how many
    images come nearer to their reference than the input is; and what brightening does: the share of pixels newly
    clipped, by how many degrees the hue of bright saturated pixels turns, and the noise in flat dark places, a standard
    deviation in steps of 1/255.
    """
    silence_libraries()
    from pipelines import evaluate as job

    sys.exit(job.evaluate(lol, job.EvaluateSettings(**options)))


@main.group()
def records() -> None:
    """Look into a data set that `preprocess` wrote."""


@records.command("inspect")
@click.argument("dataset")
def records_inspect(dataset: str) -> None:
    """Print splits, counts, sizes, keys and a few rows of DATASET."""
    silence_libraries()
    from pipelines import records as tools

    tools.inspect(dataset)


@records.command("verify")
@click.argument("dataset")
@click.option("--workers", type=click.IntRange(1), help="Images decoded at a time.  [default: one for each core]")
def records_verify(dataset: str, workers: int | None) -> None:
    """Read every byte of DATASET: checksums, counts, records, images. Exits with 1 if anything is wrong."""
    silence_libraries()
    from pipelines import records as tools

    sys.exit(tools.check(dataset, workers))


@records.command("stats")
@click.argument("dataset")
@click.option("--out", help="Folder for statistics.json and statistics.png.  [default: DATASET]")
@click.option("--workers", type=click.IntRange(1), help="Images decoded at a time.  [default: one for each core]")
def records_stats(dataset: str, out: str | None, workers: int | None) -> None:
    """Histograms of brightness and size of each split of DATASET, as numbers and as a picture."""
    silence_libraries()
    from pipelines import records as tools

    tools.stats(dataset, out, workers)


@records.command("export")
@click.argument("dataset")
@click.option("--out", help="Folder for the images.  [default: DATASET/export]")
@click.option("--sheet", is_flag=True, help="A contact sheet of each split as well.")
def records_export(dataset: str, out: str | None, sheet: bool) -> None:
    """Write the images of DATASET as files again."""
    silence_libraries()
    from pipelines import records as tools

    tools.export(dataset, out, sheet)


if __name__ == "__main__":
    main()
