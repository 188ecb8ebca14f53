"""The options of `zerodce enhance` and their help."""

import gc
import sys
from typing import Any

import click

from pipelines import memory
from pipelines.enhance import supervisor
from pipelines.enhance.attempts import Attempts
from pipelines.enhance.settings import EnhanceSettings
from pipelines.options import (
    LOCAL_RUNNERS,
    ByteCount,
    curve_options,
    job_options,
    pairs_option,
    silence_libraries,
)
from pipelines.photos.formats import FORMATS


@click.command()
@click.argument("photos")
@click.argument("out")
@job_options
@click.option("--model", help="A model.keras that `zerodce train` wrote.  [default: the shipped weights]")
@click.option("--reference", help="Folder of well-exposed photos of the same names, for PSNR and SSIM.")
@pairs_option
@curve_options
@click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Ignore files and folders with such a relative path, as `*/raw` or `*.tmp.jpg`; may be given several times.",
)
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
    type=click.Choice([format_.label for format_ in FORMATS.values()], case_sensitive=False),
    help="Write all photos in this format.  [default: each its own, where it can be written]",
)
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    help="JPEG, WebP and AVIF quality.  [default: about the original's]",
)
@click.option("--strip-metadata", is_flag=True, help="Drop EXIF, ICC profile, XMP, DPI and the file time.")
@click.option(
    "--unchanged",
    type=click.Choice(["copy", "skip"]),
    default="copy",
    show_default=True,
    help="Copy a photo that needs no change byte for byte, or write no image of it.",
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=500_000_000,
    show_default=True,
    help="Refuse larger photos before they are decoded.",
)
@click.option(
    "--max-bytes",
    type=ByteCount(),
    default="4GB",
    show_default=True,
    help="Refuse larger files before they are read.",
)
@click.option(
    "--max-memory",
    type=ByteCount(),
    help="What the job may take: a large photo waits until there is room.  [default: all there is]",
)
@click.option(
    "--photo-timeout",
    type=click.IntRange(1),
    metavar="SECONDS",
    help="What a photo may take to be read and decoded, and again to be enhanced and written; then it has failed.  "
    "[default: 300, and 2 more a megabyte and 5 a megapixel]",
)
@click.option("--max-failures", type=click.IntRange(0), help="Stop once more photos than this have failed.")
@click.option("--verify", is_flag=True, help="Read all images that are there, and make again what is not as written.")
@click.option(
    "--same-archive",
    is_flag=True,
    help="Go on in OUT although PHOTOS has another path than before, if the photos that are done are the same by name, "
    "size and time.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Progress and result as JSON lines on standard output.")
def enhance(photos: str, out: str, **options: Any) -> None:
    """Enhance PHOTOS, a folder or one photo, into OUT."""
    if sys.stderr.isatty():
        click.echo("Starting takes a few seconds.", err=True)
    if not options["dry_run"] and options["runner"] in LOCAL_RUNNERS:
        try:
            code = supervisor.watch(Attempts.of(out, on_cluster=False))
        except PermissionError as error:
            raise click.ClickException(
                f"{error.filename} cannot be read ({error.strerror}): the run of another user left it; choose another "
                "folder for the results, or let that user go on"
            ) from error
        if code is not None:
            sys.exit(code)
    silence_libraries()
    memory.keep_freed()
    gc.disable()  # imports leave nothing to collect, and take a quarter longer with it
    from pipelines.enhance import command

    gc.freeze()
    gc.enable()
    code = command.enhance(photos, out, EnhanceSettings(**options))
    supervisor.end_undisturbed()
    sys.exit(code)
