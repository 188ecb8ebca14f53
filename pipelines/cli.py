"""The `zerodce` command line: commands, options and their help. Each command imports its heavy modules itself."""

import os
import sys
from typing import Any

try:
    import click

    from pipelines.enhance.options import enhance
    from pipelines.options import PLACE, open_standard_streams, run, silence_libraries, standard_output
    from pipelines.preprocess.options import preprocess
    from pipelines.settings import Application, options_of
except KeyboardInterrupt:
    sys.exit(130)

_NO_READER = 141
"""Exit code if the reader of standard output has gone: 128 + SIGPIPE, as shells show it."""

EXTRAS = {
    "tensorflow": ("TensorFlow", "train"),
    "keras": ("Keras", "train"),
    "matplotlib": ("Matplotlib", "train"),
    "gdown": ("gdown", "lol"),
}
"""Modules that only some commands need: by module, its name and the extra that installs it."""


def _printable(line: str) -> str:
    """A line of an error message without terminal control characters, which file names may contain."""
    from tfrecord_tools.records import printable

    return printable(line)


class _OneLineErrors(click.Group):
    """Prints each error in one line, without click's usage text. Exits with 130 after an interrupt."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        open_standard_streams()
        try:
            with standard_output():
                run(super().main, *args, **kwargs)
        finally:
            try:
                sys.stderr.flush()
            except OSError:  # a full disk: at exit, Python would replace the exit code by 120
                sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (stays open until the process ends)

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
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (stays open until the process ends)
            sys.exit(_NO_READER)


def _print_versions(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    """Prints the version in the first line, and those of the packages that matter in the next lines."""
    if not asked or ctx.resilient_parsing:
        return
    from pipelines import versions

    found = versions.of_installation()
    click.echo(f"zerodce, version {found.pop('zerodce')}")
    for name, version in found.items():
        click.echo(f"{name} {version}")
    ctx.exit()


@click.group(
    cls=_OneLineErrors, context_settings={"auto_envvar_prefix": "ZERODCE", "help_option_names": ["-h", "--help"]}
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_versions,
    help="Show the version, and those of the packages that matter.",
)
def main() -> None:
    """Brighten archives of dark photos."""


main.add_command(enhance)
main.add_command(preprocess)


@main.command("try")
@click.argument("photos", type=PLACE, metavar="PHOTO...", nargs=-1, required=True)
@click.option(
    "--out", type=PLACE, metavar="PAGE.html", default="try.html", show_default=True, help="The page to write."
)
def try_(photos: tuple[str, ...], out: str) -> None:
    """Write a page that shows each PHOTO with several settings, and the command for those you choose.

    The page has three strengths, both looks, and the noise removed or kept. It works offline.
    """
    silence_libraries()
    from pipelines import first_run

    with first_run.compiling_beside():
        from pipelines.trying import command

        code = command.try_settings(photos, out)
    sys.exit(code)


@main.command()
@click.argument("out", type=PLACE)
@click.option("--url", help="Address of the archive.  [default: the project's drive]")
@click.option("--sha256", help="Refuse an archive with another SHA-256.")
def download(out: str, url: str | None, sha256: str | None) -> None:
    """Download the LoL data set into OUT, ready for `preprocess`. The same command goes on after an interrupt."""
    silence_libraries()
    from pipelines import download as job

    sys.exit(job.download(out, url=url, sha256=sha256))


@main.command()
@click.argument("dataset", type=PLACE)
@click.argument("out", type=PLACE)
@click.option("--epochs", type=click.IntRange(1), default=100, show_default=True)
@click.option("--batch-size", type=click.IntRange(1), default=32, show_default=True)
@click.option(
    "--learning-rate", type=click.FloatRange(0, min_open=True), help="For Adam.  [default: 2e-3 for fusion, else 1e-4]"
)
@click.option(
    "--recipe",
    type=click.Choice(["fusion", "six", "paper", "original", "default"]),
    default="fusion",
    show_default=True,
    help="The network, its losses and their weights. fusion: the recipe of the shipped weights. default is an old name "
    "of six. README.md explains all recipes.",
)
@click.option(
    "--schedule",
    type=click.Choice(["constant", "cosine"]),
    help="Learning-rate schedule. cosine: the rate falls to 0 at the end.  [default: cosine for fusion, else constant]",
)
@click.option("--crop", type=click.IntRange(16), help="Train on random squares with this many pixels a side.")
@click.option("--no-flip", "flip", is_flag=True, flag_value=False, default=True, help="Do not mirror images at random.")
@click.option(
    "--shuffle-channels/--no-shuffle-channels",
    default=None,
    help="Exchange red, green and blue at random, so that the model favours no colour.  [default: for fusion]",
)
@click.option(
    "--average",
    type=click.FloatRange(0, 1, max_open=True),
    help="Momentum of the moving average of the weights. The average is validated and kept. 0: no average.  "
    "[default: 0.98 for fusion, else 0.999]",
)
@click.option(
    "--monitor",
    type=click.Choice(["total_loss", "psnr", "ssim"]),
    default="total_loss",
    show_default=True,
    help="The measure on the validation images that picks the best epoch. PSNR and SSIM need references.",
)
@click.option("--patience", type=click.IntRange(1), help="Stop after this many epochs without improvement.")
@click.option("--seed", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--mixed-precision",
    type=click.Choice(["auto", "bfloat16", "off"]),
    default="auto",
    show_default=True,
    help="auto: bfloat16 if the processor has instructions for it.",
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted run in OUT.")
@click.option("--overwrite", is_flag=True, help="Delete the run in OUT, and start a new one.")
def train(
    dataset: str, out: str, recipe: str, mixed_precision: str, resume: bool, overwrite: bool, **options: Any
) -> None:
    """Train a model on DATASET, which `preprocess` wrote, and write it into OUT."""
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
@click.argument("lol", type=PLACE, required=False)
@click.option(
    "--pairs",
    type=PLACE,
    help="Pairs in another layout: a folder with the folders `input` and `target` (or `low` and `high`), or a CSV with "
    "the columns low,ref. Its paths are relative to LOL; without LOL, to the CSV's folder or `images` beside it.",
)
@click.option(
    "--brackets",
    type=PLACE,
    help="CSV with the columns scene,image: exposure series, in order. The reference of each dark image is the "
    "exposure fusion of its scene. Paths are relative as for --pairs.",
)
@click.option(
    "--out", type=PLACE, default="evaluation", show_default=True, help="Folder for evaluation.csv and comparison.png."
)
@click.option("--model", type=PLACE, help="A model.keras that `zerodce train` wrote.  [default: the shipped weights]")
@options_of(Application)
def evaluate(lol: str | None, **options: Any) -> None:
    """Compare enhanced images with the well-exposed images of LOL, the LoL data set or a part of it.

    Images are compared at native size, and no brightness is matched. The table has a row for the input, autocontrast,
    gamma 0.4 and the model. Its columns: PSNR and SSIM; how many images are nearer to their reference than the input
    is; the share of newly clipped pixels; the rotation of the hue of bright saturated pixels, in degrees; and the noise
    in flat dark places, as a standard deviation in steps of 1/255.
    """
    silence_libraries()
    from pipelines import evaluate as job

    sys.exit(job.evaluate(lol, job.EvaluateSettings(**options)))


@main.command()
@click.argument("out", type=PLACE)
@click.option("--json", "as_json", is_flag=True, help="One line of JSON on standard output.")
def status(out: str, as_json: bool) -> None:
    """Say what the last `enhance` into OUT has done, and how fast it is; also while it runs, from any host."""
    silence_libraries()
    from pipelines.enhance import status as job

    job.status(out, as_json)


@main.command()
@click.argument("model", type=PLACE, required=False)
@click.option(
    "--to",
    type=click.Choice(["onnx", "litert", "openvino", "savedmodel"]),
    required=True,
    help="onnx: ONNX Runtime and others. litert: LiteRT (TensorFlow Lite). openvino: OpenVINO. savedmodel: TensorFlow.",
)
@click.option("--out", type=PLACE, help="The file, or the folder of a SavedModel.  [default: zerodce, with its suffix]")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
def export(model: str | None, to: str, out: str | None, overwrite: bool) -> None:
    """Write MODEL, or the shipped model, as one graph for other runtimes: phones, browsers, C++.

    The graph takes an image of any size and how much light it gets, and gives the enhanced image. docs/export.md has a
    script for each runtime.
    """
    silence_libraries()
    from pipelines import export as job

    job.export(model, to, out, overwrite)


@main.group()
def records() -> None:
    """Show, check and export a data set that `preprocess` wrote."""


@records.command("inspect")
@click.argument("dataset", type=PLACE)
def records_inspect(dataset: str) -> None:
    """Print splits, counts, sizes, keys and the first records of DATASET."""
    silence_libraries()
    from pipelines import records as tools

    tools.inspect(dataset)


@records.command("verify")
@click.argument("dataset", type=PLACE)
@click.option(
    "--workers", type=click.IntRange(1), help="Number of images decoded at a time.  [default: one for each core]"
)
def records_verify(dataset: str, workers: int | None) -> None:
    """Read every byte of DATASET, and check checksums, counts, records and images. Exits with 1 after a fault."""
    silence_libraries()
    from pipelines import records as tools

    sys.exit(tools.check(dataset, workers))


@records.command("stats")
@click.argument("dataset", type=PLACE)
@click.option("--out", type=PLACE, help="Folder for statistics.json and statistics.png.  [default: DATASET]")
@click.option(
    "--workers", type=click.IntRange(1), help="Number of images decoded at a time.  [default: one for each core]"
)
def records_stats(dataset: str, out: str | None, workers: int | None) -> None:
    """Write histograms of brightness and size for each split of DATASET, as numbers and as a picture."""
    silence_libraries()
    from pipelines import records as tools

    tools.stats(dataset, out, workers)


@records.command("export")
@click.argument("dataset", type=PLACE)
@click.argument("out", type=PLACE, required=False)
@click.option(
    "--to",
    type=click.Choice(["images", "webdataset", "parquet"]),
    default="images",
    show_default=True,
    help="images: image files in a folder for each split. webdataset, parquet: one file for each shard; the same "
    "command goes on after an interrupt.",
)
@click.option("--out", "out_option", type=PLACE, hidden=True)  # its name in earlier versions
@click.option("--sheet", is_flag=True, help="Also write a contact sheet of each split. Only with --to images.")
def records_export(dataset: str, out: str | None, to: str, out_option: str | None, sheet: bool) -> None:
    """Write the images of DATASET into OUT, as files or in another format. The encoded images keep their bytes.

    Without OUT they are written into DATASET/export. OUT/_checksums.sha256 has the SHA-256 of every file.
    """
    silence_libraries()
    from pipelines import records as tools

    tools.export(dataset, out or out_option, to, sheet)


@main.command()
@click.argument("folder", type=PLACE, default=".")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def doctor(folder: str, as_json: bool) -> None:
    """Say what this machine and this installation can do, and what to do about the rest.

    It tries the formats, enhances a small photo, and writes 16 MB into FOLDER, which it removes again. FOLDER is the
    current folder if it is not given. The exit code is 0 if enhancing works here, else 1.
    """
    if sys.stderr.isatty():
        click.echo("Checking. The first time, this compiles for the processor.", err=True)
    silence_libraries()
    try:
        from pipelines.doctor import command

        code = command.doctor(folder, as_json)
    except ImportError as error:  # of a package without which nothing works
        raise click.ClickException(f"{error}: pip install --force-reinstall zerodce") from error
    sys.exit(code)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script with which SHELL completes commands, options and paths.

    \b
    bash, in ~/.bashrc:                   eval "$(zerodce completion bash)"
    zsh, in ~/.zshrc after compinit:      eval "$(zerodce completion zsh)"
    fish, in ~/.config/fish/config.fish:  zerodce completion fish | source
    """  # noqa: D301 (click reads the control character)
    from click.shell_completion import get_completion_class

    if found := get_completion_class(shell):
        click.echo(found(main, {}, "zerodce", "_ZERODCE_COMPLETE").source())


if __name__ == "__main__":
    main()
