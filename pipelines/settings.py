"""Options as fields of a settings object: how a field becomes an option, and the fields that commands share."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import click

from pipelines.options import WordOrNumber

if TYPE_CHECKING:  # these bring NumPy and numba along, which help does without
    from zerodce.applying.enhancement import CurveSize, Denoise, Exposure
    from zerodce.applying.looks import Look


def option(default: Any, name: str = "", *, decisive: bool = False, **more: Any) -> Any:
    """A field of a settings class that is an option of the command as well.

    Args:
        default: The default as a user writes it; the field holds what `type` makes of it. A bool makes a flag, which
            gives the opposite.
        name: Name of the option, such as `--format`; that of the field if empty.
        decisive: Whether a result depends on the option: where it differs, the result is made anew.
        more: Further arguments of `click.option`, such as `help` and `type`.
    """
    arguments = {"default": default, "show_default": True} | more
    if isinstance(default, bool):
        arguments |= {"is_flag": True, "flag_value": not default, "show_default": False}
    value = more["type"](default) if "type" in more else default
    return dataclasses.field(default=value, metadata={"name": name, "option": arguments, "decisive": decisive})


def options_of(settings: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command the options of a settings class: each field that `option` made, in their order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for field in reversed(dataclasses.fields(settings)):  # click has the decorator applied last come first
            if "option" in field.metadata:
                name = field.metadata["name"] or f"--{field.name.replace('_', '-')}"
                command = click.option(name, field.name, **field.metadata["option"])(command)
        return command

    return decorate


@dataclasses.dataclass(frozen=True, kw_only=True)
class JobSettings:
    """The options that both Beam jobs take.

    Attributes:
        beam_args: Further Beam options; `beam_arguments` takes them from the command line.
    """

    runner: str = option(
        "DirectRunner",
        help="DirectRunner (this machine), FlinkRunner, DataflowRunner, ... Their options follow `--`.",
    )
    workers: int | None = option(
        None, type=click.IntRange(1), help="Threads per process.  [default: one for each core]"
    )
    overwrite: bool = option(False, help="Start anew instead of going on from what OUT holds.")
    pairs: str | None = option(
        None,
        metavar="CSV",
        help="CSV with the columns low,ref: which reference belongs to which image, instead of the same name. Paths "
        "are relative to the folder of the images, those of references to --reference where it is given.",
    )
    beam_args: tuple[str, ...] = ()


beam_arguments = click.argument("beam_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM OPTIONS]")
"""Gives a command its last argument: options for Beam."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Application:
    """How a model is applied to photos: what runs it, and options with the names of the arguments of `Enhancer`."""

    backend: Literal["numpy", "tensorflow"] = option(
        "numpy",
        type=click.Choice(["numpy", "tensorflow"]),
        help="What runs the network. tensorflow: also a network that this version has no NumPy code for.",
    )

    look: "Look" = option(
        "natural",
        decisive=True,
        type=click.Choice(["natural", "bright"]),
        help="natural: as much light as a photo's owner would keep. bright: everything is lit, nights too.",
    )
    strength: float = option(
        1.0,
        decisive=True,
        type=click.FloatRange(0, 2),
        help="Multiplies the light that a photo gets: 0 is the original, 2 the most.",
    )
    curve_size: "CurveSize" = option(
        "auto",
        decisive=True,
        type=WordOrNumber(click.IntRange(16), "auto", "full"),
        help="Long side in PIXELS of the copy that the curves are estimated on. full: every pixel, which is slow, "
        "for models of the recipes six, paper and original.",
    )
    exposure: "Exposure" = option(
        "auto",
        decisive=True,
        type=WordOrNumber(click.FloatRange(0, 1), "auto"),
        metavar="auto|VALUE",
        help="The mean brightness aimed at, 0 to 1. A note in its row tells of a photo that does not reach it.",
    )
    denoise: "Denoise" = option(
        "auto",
        decisive=True,
        type=WordOrNumber(click.FloatRange(0, 10), "auto", "off"),
        metavar="auto|off|STRENGTH",
        help="Take out the noise that brightening adds; STRENGTH multiplies what auto takes out.",
    )

    @classmethod
    def of(cls, settings: "Application") -> "Application":
        """These options alone, out of those of a command."""
        return cls(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(cls)})
