"""Settings objects whose fields are command-line options, and the fields that several commands share."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import click

from pipelines.options import PLACE, WordOrNumber

if TYPE_CHECKING:  # these import NumPy and numba, which --help does not need
    from zerodce.applying.enhancement import CurveSize, Denoise, Exposure
    from zerodce.applying.looks import Look


def option(default: Any, name: str = "", *, decisive: bool | Literal["if given"] = False, **more: Any) -> Any:
    """A field of a settings class that is also an option of a command.

    Args:
        default: The default as a user writes it. The field gets this value after `type` has converted it. A bool makes
            a flag that gives the opposite value.
        name: Name of the option, such as `--format`; if empty, the name of the field.
        decisive: Whether results depend on the option. If its value changes, all results are made again. "if given" is
            for an option that is newer than finished archives: its default changes no digest.
        more: Further arguments of `click.option`, such as `help` and `type`.
    """
    arguments = {"default": default, "show_default": True} | more
    if isinstance(default, bool):
        arguments |= {"is_flag": True, "flag_value": not default, "show_default": False}
    value = more["type"](default) if "type" in more else default
    return dataclasses.field(default=value, metadata={"name": name, "option": arguments, "decisive": decisive})


def options_of(settings: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command one option for each field of a settings class that `option` made, in their order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for field in reversed(dataclasses.fields(settings)):  # click lists the option that was added last first
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
    overwrite: bool = option(False, help="Start again, instead of going on from the results in OUT.")
    pairs: str | None = option(
        None,
        type=PLACE,
        metavar="CSV",
        help="CSV with the columns low,ref: the reference of each image, instead of the image of the same name. Paths "
        "are relative to the folder of the images; paths of references are relative to --reference, if given.",
    )
    beam_args: tuple[str, ...] = ()


beam_arguments = click.argument("beam_args", nargs=-1, type=click.UNPROCESSED, metavar="[-- BEAM OPTIONS]")
"""Gives a command its last argument: options for Beam."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Application:
    """How a model is applied to photos. Except `backend`, the fields are arguments of `Enhancer`."""

    backend: Literal["numpy", "tensorflow"] = option(
        "numpy",
        type=click.Choice(["numpy", "tensorflow"]),
        help="What runs the network. tensorflow also runs networks for which this version has no NumPy code.",
    )

    look: "Look" = option(
        "natural",
        decisive=True,
        type=click.Choice(["natural", "bright"]),
        help="natural: as much light as a photo's owner would keep. bright: lights everything, nights too.",
    )
    strength: float = option(
        1.0,
        decisive=True,
        type=click.FloatRange(0, 2),
        help="Multiplies the light that a photo gets. 0: the original; 2: the most.",
    )
    curve_size: "CurveSize" = option(
        "auto",
        decisive=True,
        type=WordOrNumber(click.IntRange(16), "auto", "full"),
        help="Long side, in PIXELS, of the copy from which the curves are estimated. full: all pixels; slow, and only "
        "for models of the recipes six, paper and original.",
    )
    exposure: "Exposure" = option(
        "auto",
        decisive=True,
        type=WordOrNumber(click.FloatRange(0, 1), "auto"),
        metavar="auto|VALUE",
        help="Target for the mean brightness, 0 to 1. If a photo does not reach it, its row has a note.",
    )
    denoise: "Denoise" = option(
        "auto",
        decisive=True,
        type=WordOrNumber(click.FloatRange(0, 10), "auto", "off"),
        metavar="auto|off|STRENGTH",
        help="Remove the noise that brightening amplifies. STRENGTH multiplies the amount that auto removes.",
    )

    @classmethod
    def of(cls, settings: "Application") -> "Application":
        """The options of this class alone, from the settings of a command."""
        return cls(**{field.name: getattr(settings, field.name) for field in dataclasses.fields(cls)})
