"""The command `zerodce export`: writes a model as one graph for other runtimes."""

from pathlib import Path

import click

import zerodce
from pipelines import models
from tfrecord_tools.records import printable
from zerodce.exporting.targets import TARGETS
from zerodce.inference.model import CurveModel

DEFAULT_STEM = "zerodce"
"""The name of what is written, without its suffix, if none is given."""


def export(model: str | None, to: str, out: str | None, overwrite: bool) -> None:
    """The command `zerodce export`.

    Args:
        model: Path of a model file; the shipped one if None.
        to: Name of the format.
        out: Path of what is written; in the current folder if None.
        overwrite: Whether to replace what exists there.

    Raises:
        click.ClickException: A library is missing, the model cannot be exported, or the file cannot be written.
        click.UsageError: There is something at `out`, or it has the wrong suffix.
    """
    target = TARGETS[to]
    if missing := target.missing():
        raise click.ClickException(f"--to {to} needs {', '.join(missing)}: pip install 'zerodce[export]'")
    path = Path(out or DEFAULT_STEM + target.suffix)
    if target.suffix and path.suffix != target.suffix:
        raise click.UsageError(f"the name of this format ends in {target.suffix}: write {path.name}{target.suffix}")
    if not overwrite and path.exists():
        raise click.UsageError(f"{path} exists: choose another name, or replace it with --overwrite")
    file = models.read_model(model)
    try:
        read = CurveModel.read(file.content)
    except ValueError as error:
        raise click.ClickException(f"{model} is not a model that `zerodce train` wrote ({error})") from error
    if not read.sees_whole:
        raise click.ClickException(
            f"a model of the recipe {read.recipe.name!r} sees parts of a photo and cannot be exported; a model of the "
            "recipe 'fusion', such as the shipped one, can"
        )
    about = {"zerodce": zerodce.__version__, "model_sha256": file.sha256, "recipe": read.recipe.name}
    from zerodce.exporting.graph import Graph
    from zerodce.exporting.targets import export as write

    try:
        written = write(Graph(read.weights), target, about, path)
    except OSError as error:
        raise click.ClickException(
            f"{error.filename2 or error.filename or path} cannot be written: {error.strerror or error}"
        ) from error
    for each in written:
        size = sum(part.stat().st_size for part in [each, *each.rglob("*")] if part.is_file())
        click.echo(f"{printable(str(each))}, {size / 1e6:.1f} MB")
