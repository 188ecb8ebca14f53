"""The command `zerodce enhance` as the command line sees it; imports nothing heavy before it runs."""

import gc
import sys
from typing import Any

import click

from pipelines import memory
from pipelines.enhance import supervisor
from pipelines.enhance.attempts import Attempts
from pipelines.enhance.settings import EnhanceSettings
from pipelines.options import LOCAL_RUNNERS, PLACE, silence_libraries
from pipelines.settings import beam_arguments, options_of


@click.command()
@click.argument("photos", type=PLACE)
@click.argument("out", type=PLACE)
@beam_arguments
@options_of(EnhanceSettings)
def enhance(photos: str, out: str, **options: Any) -> None:
    """Enhance PHOTOS, a folder or one photo, into OUT."""
    if sys.stderr.isatty():
        click.echo("Starting.", err=True)
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
    from pipelines import first_run

    with first_run.compiling_beside():
        from pipelines.enhance import command

        gc.freeze()
        gc.enable()
        code = command.enhance(photos, out, EnhanceSettings(**options))
    supervisor.end_undisturbed()
    sys.exit(code)
